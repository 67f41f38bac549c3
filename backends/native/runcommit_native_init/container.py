"""One container, from namespaces to the command's exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from runcommit_core import forks
from runcommit_native_init import furnishing, overlay, privileges
from runcommit_native_init.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    PR_SET_PDEATHSIG,
    change_root,
    control,
    unshare,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_OURS = 1
"""The exit code of what fails before there is a command."""


def contain(place: str, name: str, *, own_ids: bool) -> int:
    """Run the command that the file ``name`` in the folder ``place`` tells of; its exit code.

    How it ended is in ``NAME.ended`` then, which is empty where no command was started.
    """
    with open(f"{place}/{name}", encoding="utf-8") as file:
        told = json.load(file)
    _die_with_parent()
    os.umask(0o022)
    for path in told["cgroups"]:
        with open(path, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    root = _merged(place, told, own_ids=own_ids)
    unshare(_kinds(told))
    begun, beginning = os.pipe()
    # where it lies is out of reach as soon as the first process has its own root
    ending = os.open(f"{place}/{name}.ended", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    first = forks.forked(lambda: _first(root, told, beginning))
    os.close(beginning)
    _end_with_us(first, interactive=told["interactive"])
    code = forks.ended(first)
    if os.read(begun, 1):
        os.write(ending, b"%d" % code)
    return code


def _die_with_parent() -> None:
    """Have the kernel end us with whoever waits for us, and so all that we started."""
    control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _merged(place: str, told: Mapping[str, Any], *, own_ids: bool) -> str:
    folders, files = furnishing.targets(told["mounts"])
    folders += [*furnishing.FOLDERS, told["workdir"]]
    lowers = told["lowers"]
    if not told["again"]:
        lowers = overlay.with_stubs(place, lowers, folders, [*files, *told["files"]], own=own_ids)
    elif os.path.isdir(f"{place}/stubs"):
        lowers = [*lowers, f"{place}/stubs"]
    return overlay.merge(place, lowers, own=own_ids)


def _kinds(told: Mapping[str, Any]) -> int:
    network = CLONE_NEWNET if told["own_network"] else 0
    return CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | network


def _end_with_us(first: int, *, interactive: bool) -> None:
    """Told to end, end the whole pid namespace at once: a command may ignore the signal."""

    def end(_number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)

    for number in _ENDING:
        # at a terminal Ctrl-C is for the shell
        handler = signal.SIG_IGN if interactive and number == signal.SIGINT else end
        signal.signal(number, handler)


def _first(root: str, told: Mapping[str, Any], beginning: int) -> int:
    """The first process of the namespace: furnish it, start the command, reap until it ends."""
    if os.getpid() != 1:
        raise RuntimeError("this is no namespace of its own")
    _die_with_parent()
    furnishing.furnish(root, told["files"], own_network=told["own_network"])
    for each in told["mounts"]:
        furnishing.make_mount(root, each)
    change_root(root)
    command = forks.forked(lambda: _command(told, beginning))
    os.close(beginning)
    _forward(command, interactive=told["interactive"])
    return _reaped(command)


def _forward(command: int, *, interactive: bool) -> None:
    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(command, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    signal.signal(signal.SIGINT, signal.SIG_IGN if interactive else forward)


def _reaped(command: int) -> int:
    """Reap whoever ends; the command's exit code when it is the command."""
    while True:
        pid, status = os.wait()
        if pid == command:
            return forks.shell_code(status)


def _command(told: Mapping[str, Any], beginning: int) -> int:
    _as_usual()
    privileges.close_calls()
    privileges.drop_capabilities()
    privileges.become_user(told["uid"], told["gid"], told["groups"])
    argv, env = told["argv"], told["env"]
    try:
        os.chdir(told["workdir"])
        os.write(beginning, b"1")
        forks.become(argv, env)
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]}: {os.strerror(error.errno or 0)}\n")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE


def _as_usual() -> None:
    """Handle signals as a program expects it that was started by a shell."""
    for number in (*_FORWARDED, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
