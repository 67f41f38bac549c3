"""Children of a helper program of ours that go on in namespaces.

A process enters a namespace of process ids by a child alone, and makes mounts of its own before it
becomes what it is to run: no program that is merely started can do either.  Only a program with one
thread may fork, so this is for helper programs, which are started as all others are.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FAILED = 1
"""How a child ends that fails unexpectedly; the error is on standard error."""


def forked(child: Callable[[], int]) -> int:
    """Call ``child`` in a new process, which ends with the code that it answers; the process's id.

    What it raises is told on its standard error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = FAILED
    try:
        code = child()
    except BaseException as error:  # noqa: BLE001 - no child goes on with the work of its parent
        sys.stderr.write(f"{error}\n" if isinstance(error, OSError) else f"{error!r}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def become(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Go on as the program ``argv[0]``, looked for in ``env``'s PATH; raises OSError.

    It has the signals' own handling, which Python changes for its own.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - as everywhere, from a list


def ended(pid: int) -> int:
    """Wait for a child; its exit code, as a shell tells it of one that a signal has ended."""
    while True:
        pid_ended, status = os.waitpid(pid, 0)
        if pid_ended == pid:
            return shell_code(status)


def shell_code(status: int) -> int:
    """A status of wait(2) as an exit code, 128 and its number for a signal."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
