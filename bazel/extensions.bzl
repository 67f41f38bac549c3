"""What of the machine's environment concerns container engines.

Not frozen: Bazel looks at every variable and file that is read here before each build, and reads
again what has changed.
"""

_VARIABLES = [
    "BUILDAH_ISOLATION",
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINER_CONNECTION",
    "CONTAINER_HOST",
    "CONTAINER_SSHKEY",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "HOME",
    "REGISTRY_AUTH_FILE",
    "RUNCOMMIT_CACHE_DIR",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
    "XDG_RUNTIME_DIR",
]

# what runcommit finds by itself, so that the keys of actions are the same for all users
_LOGIN = """
echo "XDG_RUNTIME_DIR=/run/user/$(id -u)"
echo "HOME=$(getent passwd "$(id -u)" | cut -d: -f6)"
"""

_BUILD = """\
load("@runcommit//bazel/private:toolchain.bzl", "host_variables")

package(default_visibility = ["//visibility:public"])

exports_files(["stamp.json"])

host_variables(
    name = "env",
    values = {values},
)
"""

def _host_impl(rctx):
    usual = rctx.execute(["/bin/sh", "-c", _LOGIN]).stdout.splitlines()
    found = {name: rctx.getenv(name) for name in _VARIABLES}
    values = {
        name: value
        for name, value in found.items()
        if value and "{}={}".format(name, value) not in usual
    }
    rctx.file("BUILD.bazel", _BUILD.format(values = repr(values)))
    rctx.file("stamp.json", _stamp(rctx))

def _stamp(rctx):
    """What tells one installed runcommit from another, or nothing where there is none."""
    for folder in rctx.getenv("PATH", "").split(":"):
        if folder.startswith("/"):
            rctx.watch("{}/runcommit".format(folder))  # also where it is not there yet
    program = rctx.which("runcommit")
    if not program:
        return "{}"
    stamp = rctx.execute([program, "stamp"])
    if stamp.return_code:
        return "{}"
    found = json.decode(stamp.stdout)
    for folder in found.pop("folders"):
        rctx.watch_tree(folder)
    return json.encode(found)

_host_repository = repository_rule(
    implementation = _host_impl,
    doc = "The variables of engines' clients, and a stamp of the installed runcommit.",
)

def _extension_impl(_mctx):
    _host_repository(name = "runcommit_host")

host = module_extension(implementation = _extension_impl)
