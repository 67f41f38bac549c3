"""container_run_and_commit_layer: the new layer."""

load(":action.bzl", "run_job")
load(":attributes.bzl", "ATTRIBUTES")
load(":toolchain.bzl", "TYPE")

_SUFFIXES = {"none": ".tar", "gzip": ".tar.gz", "zstd": ".tar.zst"}

def _impl(ctx):
    layer = ctx.outputs.layer
    diff_id = ctx.actions.declare_file(ctx.label.name + ".diff_id")
    outputs = {"always_layer": True, "diff_id": diff_id.path, "layer": layer.path}
    if ctx.attr.compression != "none":
        outputs["compression"] = ctx.attr.compression
    groups = run_job(ctx, "RunCommitLayer", outputs, [layer, diff_id])
    return [
        DefaultInfo(files = depset([layer]), runfiles = ctx.runfiles([layer])),
        OutputGroupInfo(diff_id = depset([diff_id]), **groups),
    ]

_run_and_commit_layer = rule(
    implementation = _impl,
    doc = "Run commands on `base`; the new layer is `<name>.tar`.",
    attrs = ATTRIBUTES | {
        "compression": attr.string(
            default = "none",
            doc = "`none`, `gzip[:LEVEL]` (`<name>.tar.gz`) or `zstd[:LEVEL]` (`<name>.tar.zst`).",
        ),
        "layer": attr.output(mandatory = True),
    },
    toolchains = [TYPE],
)

def run_and_commit_layer(name, compression = "none", **kwargs):
    """The target of a layer, whose file is named after its compression."""
    method, _, _ = compression.partition(":")
    if method not in _SUFFIXES:
        fail("{}: compression is {}, expected none, gzip[:LEVEL] or zstd[:LEVEL]".format(
            name,
            repr(compression),
        ))
    _run_and_commit_layer(
        name = name,
        compression = compression,
        layer = name + _SUFFIXES[method],
        **kwargs
    )
