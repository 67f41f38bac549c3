"""Defects in who a command is, in what it finds around it, and in how its end is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar
from unittest import mock

from runcommit_core import (
    CommandError,
    Container,
    EngineError,
    Image,
    UsageError,
    hookimpl,
    process,
)
from runcommit_core.testing import scratch
from tests.defect_kinds import Defect, Giving, OfTheRun, Preparing
from tests.folder_engine import copy, place, remove

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runcommit_core import Job
    from runcommit_core.testing.accounts import Account

_BEGIN = '"$@" &'
"""Where the script begins the command: its words are those of env, chroot and the command."""

# --- who it is


class OfAUser(Defect):
    """What is wrong is what becomes of the base's user."""

    test, hook = "a_user_is_who", "run"

    def account(self, found: Account) -> Account:
        raise NotImplementedError

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        find = scratch.account

        def changed(root: Path, wanted: str) -> Account:
            return self.account(find(root, wanted))

        with mock.patch.object(scratch, "account", changed):
            return super().run(job, image)


class LosesGroups(OfAUser):
    change = "supplementary groups that the base's /etc/group has"

    def account(self, found: Account) -> Account:
        return found._replace(groups=())


class KeepsTheMachinesGroups(OfAUser):
    change = "drop those of your own process"

    def account(self, found: Account) -> Account:
        return found._replace(groups=(*found.groups, 4242))


class GivesAllGroupsToAGroup(OfAUser):
    change = "none where job.run.user names a group"

    def account(self, found: Account) -> Account:
        return found._replace(groups=(2001, 2002) if found.uid else found.groups)


class TakesTheUserForTheGroup(OfAUser):
    change = "the base's /etc/passwd and /etc/group"

    def account(self, found: Account) -> Account:
        return found._replace(gid=found.uid)


class SetsAHomeOfItsOwn(OfAUser):
    change = "set HOME to the user's home"

    def account(self, found: Account) -> Account:
        return found._replace(home="/root")


class LeavesHomeUnset(OfTheRun):
    test, change = "a_user_is_who", "set HOME to the user's home"

    def altered(self, job: Job) -> Job:
        return replace(job, argv=("/bin/env", "-u", "HOME", *job.argv))


class BeginsAtTheRoot(OfTheRun):
    test, change = "a_user_is_who", "in the base's WorkingDir"

    def altered(self, job: Job) -> Job:
        return replace(job, run=replace(job.run, workdir=job.run.workdir or "/"))


class HasAPathOfItsOwn(Giving):
    test, change = "a_user_is_who", "the variables of job.transport.config"

    def variables(self, job: Job) -> Mapping[str, str]:
        return {**job.run.env, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class DropsEmptyVariables(Giving):
    test, change = "a_user_is_who", "empty ones too"

    def variables(self, job: Job) -> Mapping[str, str]:
        return {name: value for name, value in job.run.env.items() if value}


class LetsTheBasesVariablesWin(Giving):
    test, change = "a_user_is_who", "then job.run.env over them"

    def variables(self, job: Job) -> Mapping[str, str]:
        theirs = json.loads(job.transport.config)["config"].get("Env", ())
        return {**job.run.env, **dict(item.split("=", 1) for item in theirs)}


class CutsVariablesAtEveryEqualsSign(Giving):
    test, change = "a_user_is_who", "at its first equals sign only"

    def variables(self, job: Job) -> Mapping[str, str]:
        return {name: value.split("=")[0] for name, value in job.run.env.items()}


class HandsItsVariablesOn(Giving):
    test, change = "a_user_is_who", "none of your own process"

    def variables(self, job: Job) -> Mapping[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in ("PATH", "HOME")}
        return {**own, **job.run.env}


class OfTheCaller(Preparing):
    test = "a_user_is_who"
    line = _BEGIN


class GivesEverybodyCapabilities(OfTheCaller):
    change = "no effective capabilities"
    instead = (
        "caps=+sys_chroot,+dac_read_search; test $# -lt 5 || case $4 in --userspec=1500*) shift 5;"
        " set -- --reuid=1500 --regid=1600 --groups=2001,2002 --inh-caps=$caps"
        ' --ambient-caps=$caps /usr/sbin/chroot "$@";'
        ' set -- /usr/bin/setpriv "$@";; esac\n"$@" &'
    )


class ForbidsSetuid(OfTheCaller):
    change = "without no_new_privs"
    instead = '/usr/bin/setpriv --no-new-privs "$@" &'


class TakesRootsPowers(OfTheCaller):
    change = "give root docker's capabilities"
    instead = '/usr/bin/setpriv --bounding-set=-fowner "$@" &'


class KeepsTheCallersUmask(OfTheCaller):
    change = "begin with the umask 022"
    line = "umask 022\n"


class KeepsIgnoredSignals(OfTheCaller):
    change = "no signal ignored or blocked"
    instead = 'shift 2; "$@" &'


class HandsItsInputOn(OfTheCaller):
    change = "standard input be empty"
    instead = 'echo typed | "$@" &'


class LeavesItsInputOpen(OfTheCaller):
    change = "standard input be empty"
    instead = 'mkfifo "$started.input"; "$@" <>"$started.input" &'


class AllocatesATerminal(OfTheCaller):
    change = "allocate no terminal"
    instead = (
        f"{sys.executable} -c 'import os, pty, sys;"
        ' sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))\' "$@" &'
    )


class KeepsFilesOpen(OfTheCaller):
    change = "hand no open file on"
    instead = '"$@" 9<"$started" &'


# --- what it finds


class OfTheMachine(Preparing):
    test = "a_command_finds"


class HasNoSharedMemory(OfTheMachine):
    change = "at /dev/shm"
    line = 'mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"\n'


class ClosesSharedMemory(OfTheMachine):
    change = "the mode 1777 at /dev/shm"
    line, instead = "-o mode=1777", "-o mode=755"


class HasNoTerminals(OfTheMachine):
    change = "devpts at /dev/pts"
    line = 'mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"\n'


class HasNullAlone(OfTheMachine):
    change = "null, zero, full, random, urandom and tty"
    line, instead = "for name in null zero full random urandom tty", "for name in null"


class HasDevicesOfRootAlone(OfTheMachine):
    change = "open to everybody"
    line = '  mount --bind "/dev/$name" "$root/dev/$name"\n'
    instead = '  rm "$root/dev/$name" && mknod -m 600 "$root/dev/$name" c 1 3\n'


class HasNoStreams(OfTheMachine):
    change = "links into /proc/self/fd"
    line = 'ln -s /proc/self/fd/1 "$root/dev/stdout"\n'


class HasNoProc(OfTheMachine):
    change = "mount proc at /proc"
    line = 'mount -t proc proc "$root/proc"\n'


class ShowsTheMachinesProcesses(OfTheMachine):
    change = "of the pid namespace that the command is in"
    line, instead = 'mount -t proc proc "$root/proc"', 'mount --rbind /proc "$root/proc"'


class HasNoSys(OfTheMachine):
    change = "mount sysfs at /sys"
    line = 'mount --rbind /sys "$root/sys"\n'


class HasATmpOfItsOwn(OfTheMachine):
    hook, change = "save", "all that differs from the base"
    line, instead = _BEGIN, f'mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"\n{_BEGIN}'


class HasARunOfItsOwn(Preparing):
    test, hook, change = "changes_of_all_kinds", "save", "what took a place"
    line = _BEGIN
    instead = f'mkdir -p "$root/run" && mount -t tmpfs tmpfs "$root/run"\n{_BEGIN}'


class LeavesTheLoopbackDown(OfTheMachine):
    change = "bring the interface lo up"
    line = 'test "$network" != none || ip link set lo up\n'


class KeepsTheMachinesName(OfTheMachine):
    change = "call the machine runcommit"
    line = "echo runcommit > /proc/sys/kernel/hostname\n"


# --- its mounts


class Mounting(OfTheRun):
    test, change = "mounts_leave_no_trace", "every one of job.run.mounts"


class IgnoresSizeOfTmpfs(Mounting):
    change = "with size and mode"

    def altered(self, job: Job) -> Job:
        mounts = tuple(replace(mount, size=0) for mount in job.run.mounts)
        return replace(job, run=replace(job.run, mounts=mounts))


class MountsInAnotherOrder(Mounting):
    change = "in their order"

    def altered(self, job: Job) -> Job:
        return replace(job, run=replace(job.run, mounts=job.run.mounts[::-1]))


class ForgetsCaches(Mounting):
    def altered(self, job: Job) -> Job:
        mounts = (replace(m, source="") if m.kind == "cache" else m for m in job.run.mounts)
        return replace(job, run=replace(job.run, mounts=tuple(mounts)))


class ShowsSecretsToAll(Mounting):
    test = "a_secret_is_nowhere"

    def altered(self, job: Job) -> Job:
        mounts = []
        for number, mount in enumerate(job.run.mounts):
            copied = job.folder / f"secret-{number}"
            shutil.copy(mount.source, copied)
            copied.chmod(0o444)
            mounts.append(replace(mount, source=str(copied)))
        return replace(job, run=replace(job.run, mounts=tuple(mounts)))


class SplitsNames(Preparing):
    test, change = "mounts_leave_no_trace", "every one of job.run.mounts"
    line, instead = 'mount --bind "$source" "$target"', "mount --bind $source $target"


class FillsTmpfs(Preparing):
    test, change = "mounts_leave_no_trace", "a new tmpfs"
    line = '    mount -t tmpfs -o "$mode" tmpfs "$target"\n'
    instead = f'    cp -r "$target" "$started.copy"\n{line}    cp -r "$started.copy/." "$target"\n'


# --- its end


class Telling(Defect):
    """What is wrong is what becomes of the command's failure."""

    hook = "run"

    def told(self, error: CommandError) -> Exception:
        raise NotImplementedError

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        try:
            return super().run(job, image)
        except CommandError as error:
            raise self.told(error) from error


class Takes126ForTheEngines(Telling):
    test, change = "a_program_that_may_not", "whether the container had started"

    def told(self, error: CommandError) -> Exception:
        return process.failure(("engine", "run"), error.command_exit_code, error.output)


class BelievesTheCommandsWords(Telling):
    test, change = "no_exit_code_is_taken", "nor do words tell"
    arguments: ClassVar = {"code": 1}

    def told(self, error: CommandError) -> Exception:
        if "executable file not found" not in error.output:
            return error
        return CommandError("the command failed with exit code 127", command_exit_code=127)


class BelievesTheCommandsLastLine(Telling):
    test, change = "no_exit_code_is_taken", "nor do words tell"
    arguments: ClassVar = {"code": 1}

    def told(self, error: CommandError) -> Exception:
        code = int(error.output.split()[-1])
        return CommandError(f"the command failed with exit code {code}", command_exit_code=code)


class TellsNoSignals(Telling):
    test, change = "a_signal_that_ends", "code=128 + N"

    def told(self, error: CommandError) -> Exception:
        code = 1 if error.command_exit_code > 128 else error.command_exit_code
        return CommandError(f"the command failed with exit code {code}", command_exit_code=code)


class TellsItsFailureAsTheCommands(Defect):
    test, hook, change = "the_engines_failure", "run", "where the command was never begun"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        try:
            return super().run(job, image)
        except (EngineError, UsageError) as error:
            raise CommandError(
                "the command failed with exit code 1", command_exit_code=1
            ) from error


class RunsAsRootWhereThereIsNoUser(OfTheRun):
    test, change = "the_engines_failure", "where the command was never begun"

    def altered(self, job: Job) -> Job:
        known = job.run.user in ("", "root", "user")
        return job if known else replace(job, run=replace(job.run, user="root"))


class WaitsForAllThatRuns(Preparing):
    test, change = "what_a_command_leaves", "when the command itself ends"
    line, instead = "wait $!\n", "wait $!\ncode=$?\nsleep 7\nexit $code\n"


class CutsLongCommands(OfTheRun):
    test, change = "a_script_runs", "word by word"

    def altered(self, job: Job) -> Job:
        return replace(job, argv=tuple(word[:65536] for word in job.argv))


class EndsItsProgramAlone(Defect):
    test, hook, change = "a_timeout_ends", "run", "as end=… the command that kills the container"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        container = place("containers", job.name)
        job.containers.callback(remove, container)
        copy(image.name, container)
        words = ("/usr/sbin/chroot", str(container), *job.argv)
        with (job.folder / "said").open("wb") as said:
            subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)
        time.sleep(job.run.timeout or 0)
        job.console((job.folder / "said").read_bytes())
        raise process.CommandTimeoutError(f"it did not end within {job.run.timeout:g} s")
