"""The one action: a job file, and `runcommit job` to run it."""

load(":flags.bzl", "BackendInfo", "VariablesInfo", "check_backend")
load(":toolchain.bzl", "TYPE")

# podman's store is read-only in the sandbox and Bazel's user namespace has too few ids; the cache
# of a remote executor may serve; ending by SIGTERM lets runcommit clean up
_REQUIREMENTS = {
    "no-remote-exec": "1",
    "no-sandbox": "1",
    "supports-graceful-termination": "1",
}

_AS_THEY_ARE = [
    "argv",
    "clean",
    "commands",
    "cpus",
    "docker_run_flags",
    "exclude",
    "memory",
    "mounts",
    "mtime",
    "network",
    "platform",
    "run_flags",
    "shell",
    "timeout",
    "transport",
    "user",
    "workdir",
    "xattrs",
]

def run_job(ctx, mnemonic, outputs, files):
    """Declare the action that runs the target's job.

    Args:
        ctx: the rule's context, with ATTRIBUTES
        mnemonic: the action's
        outputs: what goes into the job file beside the attributes
        files: the files that the job writes

    Returns:
        the output groups that every rule has
    """
    toolchain = ctx.toolchains[TYPE]
    log = ctx.actions.declare_file(ctx.label.name + ".log")
    metadata = ctx.actions.declare_file(ctx.label.name + ".metadata.json")
    spec = ctx.actions.declare_file(ctx.label.name + ".job.json")
    written = {"log": log.path, "metadata": metadata.path}
    ctx.actions.write(spec, json.encode_indent(_job(ctx, toolchain) | written | outputs) + "\n")
    ctx.actions.run(
        executable = toolchain.executable,
        arguments = toolchain.arguments + ["job", spec.path],
        inputs = _inputs(ctx, spec, toolchain),
        outputs = files + [log, metadata],
        mnemonic = mnemonic,
        progress_message = "Running commands for %{label}",
        env = toolchain.env | ctx.attr._env[VariablesInfo].values,
        use_default_shell_env = True,
        execution_requirements = _requirements(ctx, toolchain),
        toolchain = TYPE,
    )
    return {
        "log": depset([log]),
        "metadata": depset([metadata]),
        "spec": depset([spec]),
    }

def _job(ctx, toolchain):
    _check_commands(ctx)
    job = {name: getattr(ctx.attr, name) for name in _AS_THEY_ARE} | {
        "backend": _backend(ctx, toolchain),
        "engine_flags": toolchain.engine_flags,
        "engine_path": toolchain.engine_path,
        "env": _expanded(ctx),
        "env_files": [file.path for file in ctx.files.env_files],
        "inputs": _mounted(ctx),
        "script": ctx.file.script.path if ctx.file.script else "",
        "secrets": [_secret(each) for each in ctx.attr.secrets],
        "source_date_epoch": _epoch(ctx),
    }
    # Bazel has a cache of its own
    return {"base": ctx.file.base.path, "cache": "off"} | {
        key: value
        for key, value in job.items()
        if value or (key == "source_date_epoch" and value != None)
    }

def _check_commands(ctx):
    given = [name for name in ["commands", "argv", "script"] if getattr(ctx.attr, name)]
    if len(given) != 1:
        fail("{}: expected one of commands, argv and script, found {}".format(
            _shown(ctx.label),
            " and ".join(given) or "none",
        ))

def _backend(ctx, toolchain):
    if ctx.attr.backend:
        check_backend(ctx.attr.backend, "backend of {}".format(_shown(ctx.label)))
    return ctx.attr.backend or ctx.attr._backend[BackendInfo].name or toolchain.backend

def _expanded(ctx):
    targets = ctx.attr.extra_deps + ctx.attr.inputs.keys()
    return {
        ctx.expand_make_variables("env", name, {}): ctx.expand_make_variables(
            "env",
            ctx.expand_location(value, targets),
            {},
        )
        for name, value in ctx.attr.env.items()
    }

def _mounted(ctx):
    found = []
    for target, place in ctx.attr.inputs.items():
        files = target[DefaultInfo].files.to_list()
        for file in files:
            inside = place if len(files) == 1 else "{}/{}".format(
                place.rstrip("/"),
                _below(target.label.package, file),
            )
            found.append("{}:{}".format(file.path, inside))
    return found

def _below(package, file):
    """A file's place in its package, else its name."""
    prefix = package + "/" if package else ""
    if file.owner.package == package and file.short_path.startswith(prefix):
        return file.short_path.removeprefix(prefix)
    return file.basename

def _secret(text):
    return text if "=" in text else "id={0},env={0}".format(text)

def _epoch(ctx):
    text = ctx.attr.source_date_epoch
    if not text:
        return None
    if not text.isdigit():
        fail("{}: source_date_epoch is {}, expected seconds since 1970".format(
            _shown(ctx.label),
            repr(text),
        ))
    return int(text)

def _inputs(ctx, spec, toolchain):
    targets = [ctx.attr.base] + ctx.attr.extra_deps + ctx.attr.inputs.keys()
    return depset(
        [spec] + ctx.files.script + ctx.files.env_files,
        transitive = [toolchain.inputs] +
                     [target[DefaultInfo].files for target in targets] +
                     # the blobs of an oci_image are links to what other targets made
                     [target[DefaultInfo].default_runfiles.files for target in targets],
    )

def _requirements(ctx, toolchain):
    network = {} if ctx.attr.network == "none" else {"requires-network": "1"}
    found = _REQUIREMENTS | network | toolchain.execution_requirements
    found = found | ctx.attr.execution_requirements
    return {name: value for name, value in found.items() if value}

def _shown(label):
    return str(label).removeprefix("@@")
