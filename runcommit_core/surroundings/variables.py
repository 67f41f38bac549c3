"""How the run's variables get to an engine: no value stands in a command line.

Everybody on the machine sees the words of a process, and we show them in errors and explanations.
An environment and a private file are seen by their own user alone.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import UsageError
from runcommit_core.interface.values import EPOCH_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.interface.job import Job

PUBLIC_VARIABLES = frozenset((EPOCH_VARIABLE,))
"""What we set ourselves, and tell the value of."""

_OF_CLIENTS = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|TERM|TMPDIR|TMP|TEMP|HOSTNAME|TZ|TZDIR|LANG|LANGUAGE"
    r"|ENV|IFS|CDPATH|SHELLOPTS|PS[0-4]|NO_COLOR|GNUPGHOME|OPENSSL_CONF|SSL_CERT_(FILE|DIR)"
    r"|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS|NLSPATH|LOCPATH|GCONV_PATH|[A-Za-z]+_(proxy|PROXY)"
    r"|GO(DEBUG|GC|MAXPROCS|MEMLIMIT|ROOT|TRACEBACK|COVERDIR)|NOTIFY_SOCKET|JOURNAL_STREAM"
    r"|SSH_(AUTH_SOCK|AGENT_PID|ASKPASS\w*|SK_\w+|PKCS11_HELPER)|LISTEN_(FDS|FDNAMES|PID)"
    r"|REGISTRY_AUTH_FILE|DISABLE_HC_SYSTEMD|SUPPRESS_BOLTDB_WARNING|KRB5\w+|PYTHON\w+|PERL5\w+"
    r"|_?(BASH|BUILDAH|BUILDKIT|CNI|CONMON|CONTAINER|CONTAINERD|CONTAINERS|CRUN|DBUS|DOCKER|GLIBC"
    r"|GRPC|LC|LD|LIBPOD|MALLOC|NETAVARK|OTEL|PODMAN|REGISTRIES|ROOTLESSKIT|RUNC|STORAGE|SYSTEMD"
    r"|XDG)_\w+"
)
"""Names that the engines' clients, their libraries or Go itself take for themselves."""

_LINE = 32 * 1024
"""How long a line of a file may be: docker's client takes 64 KiB."""


def scratch_environment(job: Job) -> dict[str, str]:
    """The environment of a client that leaves its temporary files where it is ended.

    They are in the job's folder, which goes with the job; but without XDG_RUNTIME_DIR a user's
    client may keep its state below TMPDIR, which then must stay.
    """
    environment = process.environment()
    if os.geteuid() == 0 or "XDG_RUNTIME_DIR" in environment:
        environment["TMPDIR"] = str(job.folder)
    return environment


def variable_words(job: Job) -> list[str]:
    """The run's variables as words, for engines that spell them like docker.

    They stand in a file of the job's, which changes nothing of the client itself.  What cannot
    stand in a line is named alone, and taken from :func:`client_environment`.

    Raises UsageError for what neither can hold.
    """
    words = []
    lines = []
    for name, value in job.run.env.items():
        if name in PUBLIC_VARIABLES:
            words += ["--env", f"{name}={value}"]
        elif _is_line(name, value):
            lines.append(f"{name}={value}\n")
        else:
            _check_client(name)
            words += ["--env", name]
    if not lines:
        return words
    path = job.folder / f"env-{job.id}"
    _write_privately(path, "".join(lines))
    return [*words, "--env-file", os.fspath(path)]


def client_environment(job: Job) -> dict[str, str]:
    """The environment of a client that is given :func:`variable_words`."""
    env = job.run.env
    own = {name: value for name, value in env.items() if not _is_line(name, value)}
    return process.environment() | {name: own[name] for name in own.keys() - PUBLIC_VARIABLES}


def variable_stand_ins(job: Job) -> tuple[dict[str, str], dict[str, str]]:
    """The run's variables for an engine that expands ``${NAME}`` from its own environment.

    That is what its environment is to have, under names of our own, which change nothing of the
    engine itself; and each variable with what is to be expanded.  An empty value stands as it is.
    """
    own = {name: value for name, value in job.run.env.items() if name not in PUBLIC_VARIABLES}
    names = {name: f"RUNCOMMIT_{job.id}_{n}" for n, name in enumerate(own)}
    values = {names[name]: value for name, value in own.items() if value}
    return values, {name: value and f"${{{names[name]}}}" for name, value in own.items()}


def _is_line(name: str, value: str) -> bool:
    line = f"{name}={value}"
    try:
        size = len(line.encode())
    except UnicodeEncodeError:
        return False
    awkward = "\n" in line or "\r" in line or "\0" in line or size > _LINE
    return not awkward and not name.startswith("#") and not any(map(str.isspace, name))


def _check_client(name: str) -> None:
    """Refuse what would be taken by the client as well; podman takes a * for any ending."""
    if _OF_CLIENTS.fullmatch(name) or name.endswith("*"):
        raise UsageError(
            f"--env: the value of {name} has several lines or is very long, and would have to go"
            " through the environment of the engine's client, which it means something to",
            tip=f"set {name} in the command itself",
        )


def _write_privately(path: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
