"""Rules that run commands on a base image.

`//bazel:oci.bzl` has `oci_run_and_commit`, the macro over rules_oci's `oci_image`.
"""

load("//bazel/private:common.bzl", "public")
load("//bazel/private:extract.bzl", "run_and_extract")
load("//bazel/private:image.bzl", "run_and_commit")
load("//bazel/private:layer.bzl", "run_and_commit_layer")
load("//bazel/private:toolchain.bzl", _runcommit_toolchain = "runcommit_toolchain")

runcommit_toolchain = _runcommit_toolchain

def container_run_and_commit_layer(name, base = None, image = None, **kwargs):
    """Run commands on a base image and get exactly the new layer, `<name>.tar`.

    Output groups: `diff_id`, `metadata` (JSON), `log` (what the commands said), `spec` (the job).

    Args:
        name: the target's
        base: the base image: a folder in OCI layout or an image tar
        image: another word for `base`, rules_docker's
        **kwargs: attributes of `run_and_commit_layer`, and those of all rules
    """
    run_and_commit_layer(name = name, base = _one(name, base, image), **public(kwargs))

def container_run_and_commit(name, base = None, image = None, **kwargs):
    """Run commands on a base image and get the complete image, `<name>_commit.tar`.

    The config is the base's: nothing of the run reaches it.  Prefer `oci_run_and_commit` or the
    layer alone: this one writes all of the image anew.

    Args:
        name: the target's
        base: the base image: a folder in OCI layout or an image tar
        image: another word for `base`, rules_docker's
        **kwargs: attributes of `run_and_commit`, and those of all rules
    """
    run_and_commit(
        name = name,
        base = _one(name, base, image),
        image = name + "_commit.tar",
        **public(kwargs)
    )

def container_run_and_extract(name, base = None, image = None, **kwargs):
    """Run commands on a base image and take files and directories out of the result.

    `extract_file = "/foo.txt"` gives `<name>/foo.txt`.

    Args:
        name: the target's
        base: the base image: a folder in OCI layout or an image tar
        image: another word for `base`, rules_docker's
        **kwargs: attributes of `run_and_extract`, and those of all rules
    """
    run_and_extract(name = name, base = _one(name, base, image), **public(kwargs))

def _one(name, base, image):
    if (base == None) == (image == None):
        fail("{}: expected one of base and image".format(name))
    return image if base == None else base
