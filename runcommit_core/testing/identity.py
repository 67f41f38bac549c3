"""The part of the contract about who a command is, and what it must not have of its caller."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.testing.duties import Duty
from runcommit_core.testing.oddbase import odd_base
from runcommit_core.testing.questions import Question, expect_answers

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

_CALLER = 'umask 077; trap "" HUP USR1 INT; export FROM_THE_CALLER=yes; echo typed | "$@"'
"""How a caller may be that nobody expects: none of this is the command's."""

_ODD = "a=b \n\"c' $d \\ ä"

_IDS = Duty(
    "run",
    "find job.run.user in the base's /etc/passwd and /etc/group, not in this machine's, and run as"
    " these ids",
)
_GROUPS = Duty(
    "run",
    "give the command the supplementary groups that the base's /etc/group has for the user (none"
    " where job.run.user names a group), and drop those of your own process",
)
_HOME = Duty("run", "set HOME to the user's home in the base's /etc/passwd, unless the base has it")
_VARIABLES = Duty(
    "run",
    "give the command the variables of job.transport.config, then job.run.env over them, each cut"
    " at its first equals sign only, empty ones too, and none of your own process",
)
_WORKDIR = Duty("run", "begin in job.run.workdir or, where it is empty, in the base's WorkingDir")
_POWERS = Duty("run", "leave another user than root no effective capabilities, as docker does")
_SETUID = Duty("run", "let setuid programs work: without no_new_privs")
_OWNING = Duty(
    "run", "give root docker's capabilities: packages that are unpacked want to own and to read all"
)
_UMASK = Duty("run", "begin with the umask 022, whatever your own process has")
_SIGNALS = Duty(
    "run", "begin with no signal ignored or blocked (env --default-signal, or the engine's way)"
)
_INPUT = Duty("run", "let the command's standard input be empty: nobody can type into a job")
_TERMINAL = Duty("run", "allocate no terminal: it changes the ends of lines and what programs say")
_FILES = Duty("run", "hand no open file on to the command but its three streams")

_OF_A_USER = (
    Question("the ids", "id -u; id -g", "1500\n1600", _IDS),
    Question("the groups", "id -G", "1600 2001 2002", _GROUPS),
    Question("HOME", 'echo "$HOME"', "/home/app", _HOME),
    Question("PATH", 'echo "$PATH"', "/it/bin:/bin", _VARIABLES),
    Question("a variable that base and job have", 'echo "$OURS"', "job", _VARIABLES),
    Question("a variable with equals signs", 'echo "$EQUAL"', "a=b==c", _VARIABLES),
    Question("empty variables", 'echo "${EMPTY-unset}${NONE-unset}"', "", _VARIABLES),
    Question("a variable with all kinds of bytes", 'echo "$ODD"', _ODD, _VARIABLES),
    Question("a variable of the caller's", 'echo "$FROM_THE_CALLER"', "", _VARIABLES),
    Question("the working directory", "pwd", "/home/app", _WORKDIR),
    Question(
        "the capabilities", "grep CapEff /proc/self/status", "CapEff:\t0000000000000000", _POWERS
    ),
    Question(
        "what setuid programs lose", "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0", _SETUID
    ),
    Question("the umask", "umask", "0022", _UMASK),
    Question(
        "the signals that are blocked and ignored",
        "grep -E '^Sig(Blk|Ign)' /proc/self/status",
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000",
        _SIGNALS,
    ),
    Question("a terminal", "if test -t 0 || test -t 2; then echo yes; fi", "", _TERMINAL),
    Question(
        "what can be read from standard input",
        "timeout 9 cat || echo nothing, but it does not end",
        "",
        _INPUT,
    ),
    # buildah's chroot isolation has a pipe of its own at 3
    Question("the open files", "ls /proc/$$/fd | grep -v '^[0-3]$'", "", _FILES),
)

_OF_ROOT = (
    Question("the ids", "id -u; id -g", "0\n0", _IDS),
    Question("the groups", "id -G", "0 4", _GROUPS),
    Question("HOME", 'echo "$HOME"', "/root", _HOME),
    Question(
        "what root may do to files",
        "cd /tmp && : > it && chown 5:6 it && chmod 4751 it && stat -c '%a %u:%g' it && rm it",
        "4751 5:6",
        _OWNING,
    ),
    Question("what root may read", "cat /it/closed && echo all", "all", _OWNING),
)

_WITH_A_GROUP = (
    Question("the ids", "id -u; id -g", "1500\n2002", _IDS),
    Question("the groups", "id -G", "2002", _GROUPS),
    Question("HOME", 'echo "$HOME"', "/home/app", _HOME),
)


class IdentityContract:
    """Who runs, and nothing of who called."""

    def test_a_user_is_who_the_base_says(self, bench: Bench) -> None:
        base = odd_base(bench.folder / "odd").ref
        shell = ("/bin/sh", "-c", _CALLER, "sh", *bench.command)
        called = dataclasses.replace(bench, command=shell)
        given = ("-e", "OURS=job", "-e", "NONE=", "-e", f"ODD={_ODD}")
        expect_answers(called, base, _OF_A_USER, *given)
        expect_answers(bench, base, _OF_ROOT, "--user", "root")
        expect_answers(bench, base, _WITH_A_GROUP, "--user", "app:second")
