"""A folder made by Bazel, as oci_pull and oci_image give one."""

def _unpacked_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        command = "tar -xf \"$1\" -C \"$2\"",
        arguments = [ctx.file.src.path, folder.path],
        inputs = [ctx.file.src],
        outputs = [folder],
        mnemonic = "Unpack",
    )
    return [DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles([folder]))]

unpacked = rule(
    implementation = _unpacked_impl,
    attrs = {"src": attr.label(allow_single_file = [".tar"], mandatory = True)},
)
