"""Kinds of defects: where a backend goes wrong, and what the contract must say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

from runcommit_core import Container, Image, hookimpl
from runcommit_core.testing import scratch
from tests.folder_engine import FolderBackend, place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runcommit_core import Job


class Defect(FolderBackend):
    """A backend of which the contract's ``test`` must say what ``hook`` has to ``change``.

    ``test`` is the beginning of a name, ``change`` a part of what is said; ``arguments`` choose
    among the cases of a test that has several.
    """

    test: ClassVar[str]
    hook: ClassVar[str]
    change: ClassVar[str]
    arguments: ClassVar[Mapping[str, Any]] = {}


class OfTheRun(Defect):
    """What is wrong is in how a run begins."""

    hook = "run"

    def altered(self, job: Job) -> Job:
        """What it takes the job for."""
        return job

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        return super().run(self.altered(job), image)


class Ignoring(OfTheRun):
    """What is wrong is that some of ``job.run`` does not hold."""

    instead: ClassVar[Mapping[str, Any]]

    def altered(self, job: Job) -> Job:
        return replace(job, run=replace(job.run, **self.instead))


class Giving(OfTheRun):
    """What is wrong is in the variables that the command gets."""

    def variables(self, job: Job) -> Mapping[str, str]:
        raise NotImplementedError

    def altered(self, job: Job) -> Job:
        return replace(job, run=replace(job.run, env=self.variables(job)))


class Preparing(Defect):
    """What is wrong is a line of the script that prepares the machine for a command."""

    hook = "run"
    line: ClassVar[str]
    instead: ClassVar[str] = ""

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        script = scratch.PREPARE.replace(self.line, self.instead)
        if script == scratch.PREPARE:
            raise LookupError(f"the script has no {self.line!r}")
        with mock.patch.object(scratch, "PREPARE", script):
            return super().run(job, image)


class Unpacking(Defect):
    """What is wrong is the copy of the base."""

    hook = "load"

    def tamper(self, root: Path) -> None:
        raise NotImplementedError

    @hookimpl
    def load(self, job: Job) -> Image:
        image = super().load(job)
        self.tamper(Path(image.name))
        return image


class Tampering(Defect):
    """What is wrong is what comes of the container's files."""

    hook, change = "save", "all that differs from the base"

    def tamper(self, root: Path) -> None:
        raise NotImplementedError

    @hookimpl
    def commit(self, job: Job, container: Container) -> Image:
        self.tamper(place("containers", container.name))
        return super().commit(job, container)
