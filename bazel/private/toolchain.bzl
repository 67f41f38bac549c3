"""The toolchain: which runcommit executes the actions, on which engine, with which variables."""

load(":flags.bzl", "VariablesInfo", "check_backend")

TYPE = "@runcommit//bazel:toolchain_type"

def _host_variables_impl(ctx):
    return VariablesInfo(values = ctx.attr.values)

host_variables = rule(
    implementation = _host_variables_impl,
    doc = "Variables of the machine that concern container engines.",
    attrs = {"values": attr.string_dict()},
)

def _toolchain_impl(ctx):
    check_backend(ctx.attr.backend, "backend of {}".format(ctx.label))
    if ctx.attr.tool and ctx.attr.tool_path:
        fail("{}: give tool or tool_path, not both".format(ctx.label))
    inherited = ctx.attr._host[VariablesInfo].values
    return platform_common.ToolchainInfo(
        executable = ctx.attr.tool[DefaultInfo].files_to_run if ctx.attr.tool else ctx.file._launcher,
        arguments = [] if ctx.attr.tool else [ctx.attr.tool_path or "runcommit"],
        inputs = depset(ctx.files.stamp),
        backend = ctx.attr.backend,
        engine_path = ctx.attr.engine_path,
        engine_flags = ctx.attr.engine_flags,
        env = ({} if ctx.attr.bare_env else inherited) | ctx.attr.env,
        execution_requirements = ctx.attr.execution_requirements,
    )

runcommit_toolchain = rule(
    implementation = _toolchain_impl,
    doc = """Says how actions call runcommit.

Refer to it from a `toolchain()` of type `@runcommit//bazel:toolchain_type`; what an executor must
have (an engine) belongs into that one's `exec_compatible_with`, for the action runs there,
wherever the image is for.""",
    attrs = {
        "tool": attr.label(
            executable = True,
            cfg = "exec",
            doc = "The program as a target, e.g. `@runcommit//bazel/hermetic:runcommit`.",
        ),
        "tool_path": attr.string(
            doc = "The installed program, looked up when the action runs. Default: `runcommit` on PATH.",
        ),
        "stamp": attr.label(
            allow_single_file = True,
            doc = "A file that changes with the program of `tool_path`, whose code Bazel does not see.",
        ),
        "backend": attr.string(
            default = "auto",
            doc = "`docker`, `podman`, `buildah`, an installed one, `package.module[:object]`, or " +
                  "`auto`. A target's `backend` and the flag `//bazel:backend` win over it.",
        ),
        "engine_path": attr.string(doc = "The engine's program. Default: the backend's, on PATH."),
        "engine_flags": attr.string_list(
            doc = "Flags of the engine before its verb, e.g. `-H tcp://…`; split like a shell does.",
        ),
        "env": attr.string_dict(
            doc = "Variables for runcommit and the engine's client. The flag `//bazel:env` wins.",
        ),
        "bare_env": attr.bool(
            doc = "Take no variables (`DOCKER_HOST`, …) over from the machine that runs Bazel, e.g. " +
                  "because actions run elsewhere.",
        ),
        "execution_requirements": attr.string_dict(
            doc = "Changes to the actions' execution requirements; an empty value takes one away.",
        ),
        "_host": attr.label(default = "@runcommit_host//:env"),
        "_launcher": attr.label(default = ":runcommit.sh", allow_single_file = True),
    },
)
