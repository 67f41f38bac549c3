"""Build settings whose values are checked when they are read."""

BackendInfo = provider(doc = "The backend that a flag chose.", fields = {"name": "\"\" for none"})
VariablesInfo = provider(doc = "Variables that a flag set.", fields = {"values": "name to value"})

_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:"

def check_backend(name, where):
    """Fail unless `name` can be the name of a backend, or package.module[:object]."""
    if [letter for letter in name.elems() if letter not in _NAME]:
        fail(("{}: {} can be no backend; auto, docker, podman, buildah, an installed one, " +
              "or package.module[:object]").format(where, repr(name)))

def _backend_flag_impl(ctx):
    check_backend(ctx.build_setting_value, str(ctx.label).lstrip("@"))
    return BackendInfo(name = ctx.build_setting_value)

backend_flag = rule(
    implementation = _backend_flag_impl,
    build_setting = config.string(flag = True),
    doc = "The backend for all targets that choose none themselves.",
)

def _variables_flag_impl(ctx):
    pairs = [item.partition("=") for item in ctx.build_setting_value]
    for name, separator, _ in pairs:
        if not name or not separator:
            fail("{}: expected NAME=VALUE, found {}".format(ctx.label, repr(name)))
    return VariablesInfo(values = {name: value for name, _, value in pairs})

variables_flag = rule(
    implementation = _variables_flag_impl,
    build_setting = config.string_list(flag = True, repeatable = True),
    doc = "Variables for the engine's client, as NAME=VALUE.",
)
