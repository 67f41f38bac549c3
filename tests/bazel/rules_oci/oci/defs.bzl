"""oci_image and oci_image_index as rules_oci has them, as far as these tests look.

Like the real ones: the only provider is DefaultInfo; the image is a folder in OCI layout; its
blobs are relative symlinks to what other targets made, which therefore come along as runfiles;
`<name>.digest` holds the manifest's digest.
"""

_TARS = [".tar", ".tgz", ".tar.gz", ".tzst", ".tar.zst"]

_COMMON = ["compatible_with", "exec_compatible_with", "exec_properties", "features", "restricted_to", "tags", "target_compatible_with", "testonly", "visibility"]

def _run(ctx, spec, inputs, outputs, mnemonic):
    file = ctx.actions.declare_file("%s.%s.json" % (ctx.label.name, mnemonic))
    ctx.actions.write(file, json.encode_indent(spec))
    arguments = ctx.actions.args()
    arguments.add_all([ctx.file._program, file])
    ctx.actions.run_shell(
        command = "exec python3 -B \"$@\"",
        arguments = [arguments],
        inputs = depset([ctx.file._program, file], transitive = inputs),
        outputs = outputs,
        mnemonic = mnemonic,
        use_default_shell_env = True,
    )

def _files(target):
    return [target[DefaultInfo].files, target[DefaultInfo].default_runfiles.files]

def _image_impl(ctx):
    if ctx.attr.base and (ctx.attr.os or ctx.attr.architecture):
        fail("'os' and 'architecture' come from 'base'")
    image = ctx.actions.declare_directory(ctx.label.name)
    texts = {
        key: getattr(ctx.file, key).path
        for key in ["entrypoint", "cmd", "env", "labels", "annotations"]
        if getattr(ctx.file, key)
    }
    spec = {
        "verb": "image",
        "out": image.path,
        "base": ctx.file.base.path if ctx.attr.base else None,
        "os": ctx.attr.os,
        "architecture": ctx.attr.architecture,
        "tars": [tar.path for tar in ctx.files.tars],
        "texts": texts,
        "user": ctx.attr.user,
        "workdir": ctx.attr.workdir,
        "created_by": "bazel build %s" % ctx.label,
    }
    inputs = [target.files for target in ctx.attr.tars]
    inputs.append(depset([getattr(ctx.file, key) for key in texts]))
    if ctx.attr.base:
        inputs += _files(ctx.attr.base)
    _run(ctx, spec, inputs, [image], "OCIImage")
    return [DefaultInfo(
        files = depset([image]),
        runfiles = ctx.runfiles(
            [image] + ctx.files.tars,
            transitive_files = depset(transitive = inputs),
        ),
    )]

_program = {"_program": attr.label(default = "//oci:layout.py", allow_single_file = True)}

_image = rule(
    implementation = _image_impl,
    attrs = {
        "base": attr.label(allow_single_file = True),
        "os": attr.string(),
        "architecture": attr.string(),
        "tars": attr.label_list(allow_files = _TARS),
        "entrypoint": attr.label(allow_single_file = True),
        "cmd": attr.label(allow_single_file = True),
        "env": attr.label(allow_single_file = True),
        "labels": attr.label(allow_single_file = True),
        "annotations": attr.label(allow_single_file = True),
        "user": attr.string(),
        "workdir": attr.string(),
    } | _program,
)

def _text_impl(ctx):
    file = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(file, "\n".join(ctx.attr.lines))
    return [DefaultInfo(files = depset([file]))]

_text = rule(implementation = _text_impl, attrs = {"lines": attr.string_list()})

def _digest_impl(ctx):
    file = ctx.actions.declare_file(ctx.label.name + ".txt")
    image = ctx.file.image
    spec = {"verb": "digest", "image": image.path, "out": file.path}
    _run(ctx, spec, _files(ctx.attr.image), [file], "OCIDigest")
    return [DefaultInfo(files = depset([file]))]

_digest = rule(
    implementation = _digest_impl,
    attrs = {"image": attr.label(allow_single_file = True)} | _program,
)

def _helper(kwargs):
    """Attributes of a target that is ours: no tag of the caller's makes it part of `//...`."""
    kept = {key: value for key, value in kwargs.items() if key in _COMMON}
    return kept | {"tags": depset(kept.get("tags", []) + ["manual"]).to_list()}

def oci_image(name, **kwargs):
    """An image of `base` and `tars`; lists and dictionaries become files as in rules_oci."""
    for key in ["entrypoint", "cmd", "env", "labels", "annotations"]:
        value = kwargs.get(key)
        if type(value) == "dict":
            value = ["%s=%s" % item for item in value.items()]
        if type(value) == "list":
            _text(name = "_%s_%s" % (name, key), lines = value, **_helper(kwargs))
            kwargs[key] = ":_%s_%s" % (name, key)
    _image(name = name, **kwargs)
    _digest(name = name + ".digest", image = name, **_helper(kwargs))

def _to_platform_impl(_settings, attr):
    if not attr.platforms:
        return {"same": {}}
    return {str(each): {"//command_line_option:platforms": str(each)} for each in attr.platforms}

_to_platform = transition(
    implementation = _to_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

def _index_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    images = [image for images in ctx.split_attr.images.values() for image in images]
    paths = [image[DefaultInfo].files.to_list()[0].path for image in images]
    inputs = [files for image in images for files in _files(image)]
    _run(ctx, {"verb": "index", "out": out.path, "images": paths}, inputs, [out], "OCIIndex")
    return [DefaultInfo(
        files = depset([out]),
        runfiles = ctx.runfiles(transitive_files = depset(transitive = inputs)),
    )]

_index = rule(
    implementation = _index_impl,
    attrs = {
        "images": attr.label_list(mandatory = True, cfg = _to_platform),
        "platforms": attr.label_list(),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    } | _program,
)

def oci_image_index(name, images, platforms = [], **kwargs):
    """One index of `images`, each built for each of `platforms`."""
    _index(name = name, images = images, platforms = platforms, **kwargs)
    _digest(name = name + ".digest", image = name, **_helper(kwargs))
