"""The attributes that all rules have, in the groups in which runcommit's options stand."""

_COMMANDS = {
    "commands": attr.string_list(
        doc = "Commands for one shell in the container; the first that fails stops. Nothing of " +
              "them is expanded on this side, and no quoting is needed.",
    ),
    "argv": attr.string_list(doc = "One program and its arguments, without any shell."),
    "script": attr.label(allow_single_file = True, doc = "A script to run; its `#!` is honoured."),
    "shell": attr.string_list(doc = "The shell for `commands` and `script`. Default: the base's, else `/bin/sh -c`."),
}

_RUN = {
    "env": attr.string_dict(
        doc = "Variables for the run, in no image. Make variables and `$(location)` are expanded.",
    ),
    "env_files": attr.label_list(
        allow_files = True,
        doc = "Files of `NAME=VALUE` lines, for the run alone, e.g. made by a stamped target.",
    ),
    "user": attr.string(doc = "`USER[:GROUP]` for the run. Default: the base's."),
    "workdir": attr.string(doc = "Folder for the run. Default: the base's."),
    "network": attr.string(doc = "`none`, `host`, or one that the engine knows."),
    "inputs": attr.label_keyed_string_dict(
        allow_files = True,
        doc = "Files and folders that are there during the run and never in the layer, each with " +
              "its absolute path in the container; several files of one target go below that path.",
    ),
    "mounts": attr.string_list(doc = "Mounts for the run, as `docker run --mount` takes them."),
    "secrets": attr.string_list(
        doc = "Names of variables whose values are in `/run/secrets/NAME` during the run (pass " +
              "them with `--action_env=NAME`), or secrets as runcommit's `--secret` takes them.",
    ),
    "memory": attr.string(doc = "A limit for the run, e.g. `512m`."),
    "cpus": attr.string(doc = "A limit for the run, e.g. `1.5`."),
    "timeout": attr.int(doc = "Seconds after which the run is ended. Default: no limit."),
    "run_flags": attr.string_list(
        doc = "Further flags for the engine's run, split like a shell does.",
    ),
    "docker_run_flags": attr.string_list(
        doc = "Flags as rules_docker took them, split like a shell does; user, env, workdir and " +
              "network mean the same with every engine, an entrypoint is not in the way anyhow.",
    ),
    "extra_deps": attr.label_list(
        allow_files = True,
        doc = "Further inputs of the action, for mounts or `$(location)`.",
    ),
    "platform": attr.string(
        doc = "`os/architecture[/variant]`, to choose from a base with several images. Otherwise " +
              "the base's own, whatever Bazel's target platform is.",
    ),
}

_LAYER = {
    "clean": attr.string_list(
        doc = "Profiles (`apt`, `dnf`, `apk`, `pip`, …) of what the layer does without.",
    ),
    "exclude": attr.string_list(doc = "Patterns of paths that count as unchanged."),
    "source_date_epoch": attr.string(
        doc = "Seconds since 1970; nothing in the layer is newer. Default: the base's `created`.",
    ),
    "mtime": attr.string(values = ["", "clamp", "set"], doc = "`clamp` (default) or `set`."),
    "xattrs": attr.bool(doc = "Keep `user.*` attributes, which docker loses."),
}

_ACTION = {
    "backend": attr.string(
        doc = "The backend for this target. Default: the flag's, else the toolchain's.",
    ),
    "transport": attr.string(
        values = ["", "auto", "registry", "archive"],
        doc = "How images travel to and from the engine. Default: `auto`.",
    ),
    "execution_requirements": attr.string_dict(
        doc = "Changes to the action's execution requirements; an empty value takes one away, " +
              "e.g. `{\"no-remote-exec\": \"\"}`.",
    ),
    "_backend": attr.label(default = "//bazel:backend"),
    "_env": attr.label(default = "//bazel:env"),
}

ATTRIBUTES = {
    "base": attr.label(
        allow_single_file = True,
        mandatory = True,
        doc = "The base image: a folder in OCI layout (`oci_image`, `oci_pull`, …), or an image " +
              "tar (OCI or docker-archive).",
    ),
} | _COMMANDS | _RUN | _LAYER | _ACTION

# Names that a macro over oci_image can take for the run without meaning another thing
RUN_ATTRIBUTES = [
    name
    for name in ATTRIBUTES
    if name not in ["base", "env", "user", "workdir"] and not name.startswith("_")
]
