"""The part of the contract about the machine that a command finds: what programs count on."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from runcommit_core.testing.duties import Duty
from runcommit_core.testing.questions import Question, expect_answers

if TYPE_CHECKING:
    from runcommit_core.testing import bases
    from runcommit_core.testing.bench import Bench

_DEVICES = Duty("run", "let /dev have null, zero, full, random, urandom and tty, open to everybody")
_STREAMS = Duty("run", "let /dev/fd, stdin, stdout and stderr be links into /proc/self/fd")
_SHM = Duty(
    "run", "mount a tmpfs with the mode 1777 at /dev/shm: POSIX shared memory is files there"
)
_PTS = Duty("run", "mount devpts at /dev/pts and let /dev/ptmx lead there: ptys are made of it")
_PROC = Duty("run", "mount proc at /proc, of the pid namespace that the command is in")
_SYS = Duty("run", "mount sysfs at /sys, or show the machine's there")
_LOOPBACK = Duty("run", "bring the interface lo up, also with --network none: tests talk to it")
_HOSTNAME = Duty("run", "call the machine runcommit: layers must not depend on where they are made")

_NODES = "null zero full random urandom tty"
_NODE = "character special file 666 "
_NUMBERS = ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0")


def _questions(mark: str) -> tuple[Question, ...]:
    return (
        Question(
            "/proc",
            "set -- $(sh -c 'echo $$; exec readlink /proc/self'); test $1 = $2 && echo own",
            "own",
            _PROC,
        ),
        Question(
            "the devices",
            f"cd /dev; for d in {_NODES}; do stat -c '%F %a %t:%T' $d; done",
            "\n".join(f"{_NODE}{number}" for number in _NUMBERS),
            _DEVICES,
        ),
        Question(
            "what devices do",
            "echo x > /dev/null; head -c 2 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c",
            "2\n3",
            _DEVICES,
        ),
        Question(
            "the links in /dev",
            "cd /dev; for l in fd stdin stdout stderr; do readlink $l; done",
            "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2",
            _STREAMS,
        ),
        Question(
            "/dev/shm",
            f"cd /dev/shm && stat -c %a . && echo shared > {mark} && cat {mark} && rm {mark};"
            " grep -q ' /dev/shm tmpfs ' /proc/mounts && echo tmpfs",
            "1777\nshared\ntmpfs",
            _SHM,
        ),
        Question(
            "/dev/pts",
            "test -c /dev/ptmx && grep -q ' /dev/pts devpts ' /proc/mounts && echo there",
            "there",
            _PTS,
        ),
        Question(
            "the loopback interface",
            "ip -o addr show up dev lo | grep -o ' 127.0.0.1/8'",
            " 127.0.0.1/8",
            _LOOPBACK,
        ),
        Question("/sys", "test -d /sys/kernel && echo there", "there", _SYS),
        Question("the name of the machine", "hostname", "runcommit", _HOSTNAME),
    )


class MachineContract:
    """What is around a command besides the base."""

    def test_a_command_finds_a_machine(self, bench: Bench, base: bases.Base) -> None:
        questions = _questions(f"runcommit-{secrets.token_hex(4)}")
        expect_answers(bench, base.ref, questions, "--user", "user")
