"""What the last lines of ``buildah run`` say of the command, as 1.28 writes them."""

from __future__ import annotations

import pytest

from runcommit_buildah.ending import exit_code

OCI = "Error: while running runtime: exit status {}\n"
SUB = "subprocess exited with status {0}\n"
CHROOT = SUB + "Error: exit status {0}\n"
CREATING = "error running container: from /usr/bin/runc creating container for [/it]: {}\n"
RUNC = 'level=error msg="runc create failed: unable to start container process: {}"'
CRUN = "executable file `it` not found in $PATH: No such file or directory"
FAILED = ": exit status 1\n"
STARTING = "process failed to start with error: {}process exited with error: exec: not started"


def created(said: str) -> str:
    return CREATING.format(said) + FAILED + OCI.format(1)


ENDS = {
    "an OCI runtime": (3, OCI.format(3), 3),
    "chroot": (3, SUB.format(3) + CHROOT.format(3), 3),
    "chroot after an open line": (3, "saidsubprocess exited with status 3\n" + CHROOT.format(3), 3),
    "killed": (1, "container exited on killed\n" + OCI.format(1), 137),
    "killed in chroot": (1, "subprocess exited on killed\n" + CHROOT.format(1), 137),
    "ended by another signal": (1, "subprocess exited on terminated\n" + CHROOT.format(1), 143),
    "not found": (1, created(RUNC.format("exec: it: executable file not found in $PATH")), 127),
    "not found by crun": (1, created(CRUN), 127),
    "not executable": (1, created(RUNC.format("exec: it: permission denied")), 126),
    "not executable for crun": (1, created("open executable: Permission denied"), 126),
    "not found in chroot": (
        1, STARTING.format("exec: it: executable file not found in $PATH") + CHROOT.format(1), 127
    ),
    "not executable in chroot": (
        1, STARTING.format("fork/exec /it: permission denied") + CHROOT.format(1), 126
    ),
    "a mount that fails": (1, created(RUNC.format("error mounting tmpfs: not a directory")), None),
    "a mount that fails in chroot": (
        1, "error running subprocess: examining x: not a directory\nError: exit status 1\n", None
    ),
    "a folder that is none in chroot": (
        1, 'error chdir()ing into directory "/it": not a directory\n' + CHROOT.format(1), None
    ),
    "a busy machine in chroot": (255, CHROOT.format(255), 255),
    "a busy machine in chroot, and much was said": (1, "said\nand" + CHROOT.format(1), 1),
    "no such user": (125, "Error: determining run uid: user: unknown user\n", None),
    "another exit code than was told": (125, OCI.format(1), None),
    "no words": (1, "", None),
    "the command's own words": (1, created("it: no such file or directory") + OCI.format(1), 1),
    "the command's own words in chroot": (
        1, STARTING.format("it") + CHROOT.format(1) + SUB.format(1) + CHROOT.format(1), 1
    ),
    "the command's own words of an end": (3, "a container exited on tuesday\n" + OCI.format(3), 3),
    "the command's own killing": (7, "container exited on killed\nsaid\n" + OCI.format(7), 7),
}  # fmt: skip


@pytest.mark.parametrize(("code", "output", "told"), ENDS.values(), ids=ENDS)
def test_the_last_lines_tell_how_the_command_ended(code: int, output: str, told: int | None):
    assert exit_code(("it",), code, output) == told
