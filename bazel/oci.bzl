"""The macro over rules_oci's `oci_image`; the only file that loads rules_oci."""

load("@rules_oci//oci:defs.bzl", "oci_image")
load("//bazel/private:attributes.bzl", "RUN_ATTRIBUTES")
load("//bazel/private:common.bzl", "private", "public")
load("//bazel/private:layer.bzl", "run_and_commit_layer")

_RENAMED = {"run_env": "env", "run_user": "user", "run_workdir": "workdir"}
_OURS = RUN_ATTRIBUTES + ["compression"]

def oci_run_and_commit(name, base, tars = [], **kwargs):
    """An `oci_image` whose layers are those of `base`, the one the commands make, and `tars`.

    What runs (`commands`, `argv`, `script`, …) and how (`inputs`, `network`, `clean`, …) are the
    attributes of `container_run_and_commit_layer`; three of them have another name here, because
    `env`, `user` and `workdir` are the image's: `run_env`, `run_user`, `run_workdir`.  Whatever is
    not ours goes to `oci_image`.  The layer alone is `:<name>_layer`.

    Args:
        name: the image's
        base: the base image, as `oci_image` takes it
        tars: further layers, on top of the new one
        **kwargs: attributes of the run, of `oci_image`, and of all rules
    """
    ours = {key: kwargs.pop(key) for key in _OURS if key in kwargs}
    ours |= {to: kwargs.pop(key) for key, to in _RENAMED.items() if key in kwargs}
    run_and_commit_layer(name = name + "_layer", base = base, **(ours | private(kwargs)))
    oci_image(
        name = name,
        base = base,
        tars = [name + "_layer"] + tars,
        **public(kwargs)
    )
