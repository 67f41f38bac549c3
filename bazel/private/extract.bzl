"""container_run_and_extract: files and directories out of the result."""

load(":action.bzl", "run_job")
load(":attributes.bzl", "ATTRIBUTES")
load(":toolchain.bzl", "TYPE")

def _impl(ctx):
    found = ctx.outputs.files + [
        ctx.actions.declare_directory(_place(ctx.label.name, path))
        for path in ctx.attr.extract_dirs
    ]
    if not found:
        fail("expected extract_file, extract_files or extract_dirs")
    outputs = {
        "paths": ctx.attr.extract_files + ctx.attr.extract_dirs,
        "places": [file.path for file in found],
    }
    groups = run_job(ctx, "RunCommitExtract", outputs, found)
    return [
        DefaultInfo(files = depset(found), runfiles = ctx.runfiles(found)),
        OutputGroupInfo(**groups),
    ]

def _place(name, path):
    if not path.startswith("/") or path.endswith("/") or "/../" in path + "/":
        fail("{} is no absolute path of a file or directory in the image".format(repr(path)))
    return name + path

_run_and_extract = rule(
    implementation = _impl,
    doc = "Run commands on `base`; each path of the result is at `<name>/<path>`.",
    attrs = ATTRIBUTES | {
        "extract_files": attr.string_list(doc = "Absolute paths of files; `extract_file` is one."),
        "extract_dirs": attr.string_list(doc = "Absolute paths of directories."),
        "files": attr.output_list(),
    },
    toolchains = [TYPE],
)

def run_and_extract(name, extract_file = None, extract_files = [], **kwargs):
    """The target of an extraction, whose files have labels."""
    paths = ([extract_file] if extract_file else []) + extract_files
    _run_and_extract(
        name = name,
        extract_files = paths,
        files = [_place(name, path) for path in paths],
        **kwargs
    )
