"""container_run_and_commit: the complete image as a docker-archive."""

load(":action.bzl", "run_job")
load(":attributes.bzl", "ATTRIBUTES")
load(":toolchain.bzl", "TYPE")

_NAMED = "abcdefghijklmnopqrstuvwxyz0123456789"

def _impl(ctx):
    image = ctx.outputs.image
    name = ctx.attr.repo_tag or _repo_tag(ctx.label)
    outputs = {"image": "docker-archive:{}:{}".format(image.path, name)}
    groups = run_job(ctx, "RunCommitImage", outputs, [image])
    return [
        DefaultInfo(files = depset([image]), runfiles = ctx.runfiles([image])),
        OutputGroupInfo(**groups),
    ]

def _repo_tag(label):
    """bazel/PACKAGE:NAME as rules_docker had it, in the letters that names of images have."""
    parts = [_cleaned(part) for part in (label.package or "default").split("/")]
    return "bazel/{}:{}".format("/".join(parts), _cleaned(label.name))

def _cleaned(text):
    letters = [letter if letter in _NAMED else "-" for letter in text.lower().elems()]
    return "".join(letters).strip("-") or "x"

run_and_commit = rule(
    implementation = _impl,
    doc = "Run commands on `base`; the image, all of it, is `<name>_commit.tar` (docker-archive).",
    attrs = ATTRIBUTES | {
        "repo_tag": attr.string(
            doc = "The image's name in the archive. Default: `bazel/<package>:<name>`.",
        ),
        "image": attr.output(mandatory = True),
    },
    toolchains = [TYPE],
)
