"""The folder engine's backend with one thing wrong, and what the contract must say of it.

As a backend this module is ``tests.defects:backend``; the environment names the defect.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from runcommit_core import (
    CommandError,
    Container,
    EngineOptions,
    Image,
    Lack,
    Layer,
    Layers,
    SavedImage,
    UsageError,
    hookimpl,
    process,
)
from runcommit_core.layer.canonical import LayerReport
from runcommit_core.tar.digests import DiffId
from runcommit_core.testing import bases, scratch
from tests import defects_of_files, defects_of_runs  # noqa: F401  they are defects as well
from tests.defect_kinds import Defect, Ignoring, OfTheRun, Tampering
from tests.folder_engine import FolderBackend, copy, place, remove

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from runcommit_core import EngineInfo, Job, Leftover

VARIABLE = "RUNCOMMIT_TEST_DEFECT"


# --- the run's options


class IgnoresUser(Ignoring):
    test, change = "env_user_and_workdir", "job.run.user"
    instead: ClassVar = {"user": ""}


class IgnoresWorkdir(Ignoring):
    test, change = "env_user_and_workdir", "job.run.workdir"
    instead: ClassVar = {"workdir": ""}


class IgnoresEnv(Ignoring):
    test, change = "variables_come_from_files", "job.run.env"
    instead: ClassVar = {"env": {}}


class IgnoresNetwork(Ignoring):
    test, change = "no_network_means_none", "job.run.network"
    instead: ClassVar = {"network": "host"}


class IsolatesAlways(Ignoring):
    test, change = "the_machines_network", "job.run.network"
    instead: ClassVar = {"network": "none"}


class IgnoresTimeout(Ignoring):
    test, change = "a_timeout_ends_the_run", "timeout=job.run.timeout"
    instead: ClassVar = {"timeout": None}


class MakesNoMounts(Ignoring):
    test, change = "mounts_leave_no_trace", "every one of job.run.mounts"
    instead: ClassVar = {"mounts": ()}


class MountsWritably(OfTheRun):
    test, change = "mounts_leave_no_trace", "read-only where read_only says so"

    def altered(self, job: Job) -> Job:
        mounts = tuple(replace(mount, read_only=False) for mount in job.run.mounts)
        return replace(job, run=replace(job.run, mounts=mounts))


class IgnoresModeOfTmpfs(OfTheRun):
    test, change = "mounts_leave_no_trace", "with size and mode"

    def altered(self, job: Job) -> Job:
        mounts = (m if m.source else replace(m, mode=None) for m in job.run.mounts)
        return replace(job, run=replace(job.run, mounts=tuple(mounts)))


class CopiesSecrets(Defect):
    test, hook, change = "a_secret_is_nowhere", "run", "it is a bind mount"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        copied = place("containers", f"{job.name}-copied")
        job.containers.callback(remove, copied)
        copy(image.name, copied)
        for mount in job.run.mounts:
            target = copied / mount.target.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(mount.source, target)
        return super().run(replace(job, run=replace(job.run, mounts=())), Image(str(copied)))


class DropsFlags(Defect):
    test, hook, change = "flags_reach_the_engine", "run", "give job.run.flags"

    @hookimpl
    def lacks(self) -> list[Lack]:
        return [Lack(name, "there are no cgroups") for name in ("memory", "cpus")]


class BoastsOfMemory(Defect):
    test, hook, change = "memory_is_limited", "run", "limit the memory to"
    lacks = None  # type: ignore[assignment]  # a step that is not there


class BoastsOfProcessors(Defect):
    test, hook, change = "processors_are_limited", "run", "limit the processors to"
    lacks = None  # type: ignore[assignment]  # a step that is not there


class ChangesItsReasons(Defect):
    test, hook, change = "memory_is_limited", "lacks", "with the same reason"

    @hookimpl
    def lacks(self) -> list[Lack]:
        return [Lack("memory", f"there are no cgroups ({random.random()})")]


class DeclaresWhatWorks(Defect):
    test, hook, change = "mounts_leave_no_trace", "lacks", "for every job that needs it"

    @hookimpl
    def lacks(self, wanted: Any) -> list[Lack]:
        return [Lack("mount", "there are no mounts")] if "cpus" in wanted else []


class RefusesTooLate(Defect):
    test, hook, change = "memory_is_limited", "lacks", "return Lack('memory', reason)"
    lacks = None  # type: ignore[assignment]  # a step that is not there

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        if job.run.memory:
            raise UsageError("there are no cgroups")
        return super().run(job, image)


class AsksForNoEmulation(Defect):
    test, hook, change = "a_platform_that_no_emulator_runs", "load", "call check_emulation"

    @hookimpl
    def load(self, job: Job) -> Image:
        return super().load(replace(job, run=replace(job.run, platform="")))


# --- the command


class SwallowsExitCodes(Defect):
    test, hook, change = "no_exit_code_is_taken", "run", "raise process.command_failure"
    arguments: ClassVar = {"code": 1}

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        try:
            return super().run(job, image)
        except CommandError:
            return Container(job.name)


class Takes125ForTheEngines(Defect):
    test, hook, change = "no_exit_code_is_taken", "run", "only when the engine failed"
    arguments: ClassVar = {"code": 125}

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        try:
            return super().run(job, image)
        except CommandError as error:
            code = error.command_exit_code
            raise process.failure(("engine", "run"), code, error.output) from error


class TakesMissingProgramsForItsOwn(Defect):
    test, hook, change = "a_program_that_is_not_there", "run", "whether the container had started"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        try:
            return super().run(job, image)
        except CommandError as error:
            raise process.failure(("engine", "run"), 127, error.output) from error


class HasAShellBetween(OfTheRun):
    test, change = "exec_form_takes_each_word", "word by word"

    def altered(self, job: Job) -> Job:
        return replace(job, argv=("/bin/sh", "-c", " ".join(job.argv)))


class RunsTheEntrypoint(OfTheRun):
    test, change = "the_config_is_the_bases", "job.transport.config"
    hook = "load"

    def altered(self, job: Job) -> Job:
        entrypoint = json.loads(job.base.config)["config"].get("Entrypoint", [])
        return replace(job, argv=(*entrypoint, *job.argv))


class KeepsTheOutput(OfTheRun):
    test, change = "output_is_live_and_complete", "console=job.console"

    def altered(self, job: Job) -> Job:
        return replace(job, console=lambda _: None)


class HoldsTheOutputBack(Defect):
    test, hook, change = "a_timeout_ends_the_run", "run", "says at once"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        said: list[bytes] = []
        container = super().run(replace(job, console=said.append), image)
        job.console(b"".join(said))
        return container


class HasAnEngineOfItsOwn(OfTheRun):
    test, change = "a_cached_result_needs_no", "job.engine.command(PROGRAM)"

    def altered(self, job: Job) -> Job:
        return replace(job, engine=EngineOptions())

    @hookimpl
    def save(self, job: Job, image: Image) -> SavedImage:
        return super().save(self.altered(job), image)


# --- the layer


class DropsAFile(Tampering):
    test = "the_layer_holds_exactly"

    def tamper(self, root: Path) -> None:
        (root / "data/added").unlink()


class DropsADeletion(Tampering):
    test = "the_layer_holds_exactly"

    def tamper(self, root: Path) -> None:
        (root / "data/deleted").write_text("deleted")


class DropsAMode(Tampering):
    test = "types_and_modes_arrive"

    def tamper(self, root: Path) -> None:
        (root / "new/suid").chmod(0o755)


class DropsAVolume(Tampering):
    test, hook, change = "the_config_is_the_bases", "load", "job.transport.config"

    def tamper(self, root: Path) -> None:
        shutil.rmtree(root / "vol")


class LeavesFilesOfItsOwn(Tampering):
    test = "nothing_changed_means_no_layer"
    change = "an image without changes"

    def tamper(self, root: Path) -> None:
        (root / "etc/of-the-engine").touch()


class SavesNothing(Defect):
    test, hook, change = "the_layer_holds_exactly", "save", "every layer that the image has"

    @hookimpl
    def save(self, job: Job) -> SavedImage:  # type: ignore[override]  # hooks may take less
        return SavedImage(b"", job.base.diff_ids, ())


class HasTheBaseInTheLayer(Defect):
    test, hook, change = "the_layer_holds_exactly", "save", "nothing else"

    @hookimpl
    def extract(self, job: Job) -> Layers:
        with tarfile.open(job.output, "w") as tar:
            tar.add(place("containers", job.name), ".")
        return written(job)


class WritesTheLayerItself(Defect):
    test, hook, change = "the_layer_holds_exactly", "save", "to the core's extract"

    @hookimpl(wrapper=True)
    def extract(self, job: Job) -> Generator[None, Layers, Layers]:
        yield
        with tarfile.open(job.output) as tar:
            members = [(member, tar.extractfile(member)) for member in tar]
            with tarfile.open(job.output.with_name("own"), "w") as own:
                for member, data in members:
                    own.addfile(member, data)
        job.output.with_name("own").rename(job.output)
        return written(job)


def written(job: Job) -> Layers:
    data = job.output.read_bytes()
    diff_id, size = DiffId(bases.digest_of(data)), len(data)
    report = LayerReport(diff_id=diff_id, size=size, entries=1, changes=(), warnings=())
    return Layers((Layer(job.output, diff_id, size, report),))


class RunsInTheBase(Defect):
    test, hook, change = "the_same_job_gives", "run", "a new container"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        container = place("containers", job.name)
        job.containers.callback(remove, container)
        container.symlink_to(image.name)
        scratch.run(job, image)
        return Container(job.name)


class LoadsOneLayer(Defect):
    test, hook, change = "the_image_is_a_base_again", "load", "all layers of job.base"

    @hookimpl
    def load(self, job: Job) -> Image:
        base = replace(job.base, layers=job.base.layers[:1])
        return super().load(replace(job, base=base))


class RemembersABase(Defect):
    test, hook, change = "a_layer_for_each_command", "load", "each time load is called"

    def __init__(self) -> None:
        self.known: list[Image] = []

    @hookimpl
    def load(self, job: Job) -> Image:
        self.known.append(super().load(job))
        return self.known[0]


class ShowsAnotherRoot(Defect):
    test, hook, change = "base_and_layer_are_what", "root", "of the finished container"

    @hookimpl
    def root(self, job: Job) -> SavedImage:  # type: ignore[override]  # hooks may take less
        return scratch.root(job, Container(str(place("bases", job.transport.name))))


class TellsNoTransport(Defect):
    test, hook, change = "metadata_tells_what", "save", "collect_upper or save_root"

    @hookimpl
    def save(self, job: Job, image: Image) -> SavedImage:
        return replace(super().save(job, image), transport="")


class TakesTheRegistryAlways(Defect):
    test, hook, change = "both_transports_give", "load", "with both ways"

    @hookimpl
    def save(self, job: Job, image: Image) -> SavedImage:
        return replace(super().save(job, image), transport="registry")


class TellsNoVersion(Defect):
    test, hook, change = "metadata_tells_what", "describe", "the engine's version"

    @hookimpl
    def describe(self, engine: EngineOptions) -> EngineInfo:
        return replace(super().describe(engine), version="")


# --- what stays


class Forgets(Defect):
    """What is wrong is when, or whether, a container's removal is registered."""

    hook, change = "whichever made it", "job.containers"

    def afterwards(self, job: Job, container: Path) -> None:
        """Do nothing about it."""

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        container = place("containers", job.name)
        copy(image.name, container)
        scratch.run(job, Image(str(container)))
        self.afterwards(job, container)
        return Container(job.name)


class ForgetsContainers(Forgets):
    test = "a_script_runs"


class ForgetsFailedContainers(Forgets):
    test = "the_first_failure_stops"

    def afterwards(self, job: Job, container: Path) -> None:
        job.containers.callback(remove, container)


class ForgetsAnInterruptedImage(Defect):
    test, hook, change = "a_signal_between_steps", "commit", "all that it made"
    arguments: ClassVar = {"step": "commit", "number": 15}

    @hookimpl
    def commit(self, job: Job, container: Container) -> Image:
        place("images", job.name).touch()
        return Image(container.name)

    @hookimpl
    def save(self, job: Job, image: Image) -> SavedImage:
        job.cleanup.callback(remove, place("images", job.name))
        return super().save(job, image)


class ForgetsAnInterruptedBase(Defect):
    test, hook, change = "a_signal_between_steps", "load", "all that it made"
    arguments: ClassVar = {"step": "load", "number": 2}

    @hookimpl
    def load(self, job: Job) -> Image:
        place("images", f"{job.name}-loading").touch()
        return super().load(job)

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        remove(place("images", f"{job.name}-loading"))
        return super().run(job, image)


class SwallowsSignals(Defect):
    test, hook, change = "a_signal_cleans_up", "run", "catch no BaseException"
    arguments: ClassVar = {"number": 15}

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        try:
            return super().run(job, image)
        except BaseException:  # noqa: BLE001 - that is the defect
            return Container(job.name)


class LeavesTheCommandRunning(Defect):
    test, hook, change = "a_signal_cleans_up", "run", "kills and removes it"
    arguments: ClassVar = {"number": 15}

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        container = place("containers", job.name)
        job.containers.callback(remove, container)
        copy(image.name, container)
        words = ("/usr/sbin/chroot", str(container), *job.argv)
        child = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)
        for line in child.stdout or ():
            job.console(line)
        return Container(job.name)


class FindsNoLeftovers(Defect):
    test, hook, change = "prune_removes_what_a_killed", "leftovers", "by the ids of jobs"

    @hookimpl
    def leftovers(self) -> list[Leftover]:  # type: ignore[override]  # hooks may take less
        return []


class ListsNoCopies(Defect):
    test, hook, change = "prune_removes_copies_of_bases", "base_copies", "names that load gave"

    @hookimpl
    def base_copies(self) -> list[Leftover]:
        return []


class RemovesNoCopies(Defect):
    test, hook, change = "prune_removes_copies_of_bases", "base_copies", "with what removes it"

    @hookimpl
    def base_copies(self) -> list[Leftover]:
        return [replace(copy, remove=lambda: None) for copy in super().base_copies()]


class KeepsNoFailedContainer(Defect):
    test, hook, change = "a_failed_container_is_kept", "run", "not on job.cleanup"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        job.cleanup.callback(remove, place("containers", job.name))
        return super().run(job, image)


# --- jobs beside each other


class HasOneNameForAll(Defect):
    test, hook, change = "jobs_side_by_side", "load or run", "by another name with job.id in it"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        container = place("containers", "the-only-one")
        container.mkdir()
        job.containers.callback(remove, container)
        copy(f"{image.name}/.", container)
        scratch.run(job, Image(str(container)))
        return Container(container.name)


class MixesUpJobs(Defect):
    test, hook, change = "jobs_side_by_side", "run", "nothing of a job in global variables"

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        argv = place("images", "argv")
        job.cleanup.callback(remove, argv)
        with contextlib.suppress(FileExistsError), argv.open("x") as file:
            json.dump(job.argv, file)
        return super().run(replace(job, argv=json.loads(argv.read_text())), image)


class LoadsWhereOthersLook(Defect):
    test, hook, change = "jobs_side_by_side", "load or run", "a copy that is not complete"

    @hookimpl
    def load(self, job: Job) -> Image:
        base = place("bases", job.transport.name)
        if not base.exists():
            base.mkdir()
            shutil.copytree(scratch.load(job).name, base, symlinks=True, dirs_exist_ok=True)
        return Image(str(base))


def _complete(defect: type[Defect]) -> Iterator[type[Defect]]:
    kinds = defect.__subclasses__()
    if not kinds:
        yield defect
    for kind in kinds:
        yield from _complete(kind)


DEFECTS = {defect.__name__: defect for defect in _complete(Defect)}
backend: FolderBackend = DEFECTS.get(os.environ.get(VARIABLE, ""), FolderBackend)()
