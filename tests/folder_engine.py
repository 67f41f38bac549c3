"""An engine that is a folder, and a whole backend for it: what the contract's defects are put into.

Containers, images and copies of bases are entries of the folder, so a forgotten one is seen, and
two jobs can meet.  The rest is the scratch backend's.
"""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import (
    Container,
    Entry,
    Image,
    Leftover,
    check_emulation,
    end_orphans,
    hookimpl,
    made_by,
    process,
)
from runcommit_core.testing import scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core import EngineInfo, EngineOptions, Job, Lack, RunOptions, SavedImage

VARIABLE = "RUNCOMMIT_TEST_ENGINE"


def place(kind: str, name: str) -> Path:
    """Where a container, an image or a base is; the folder of its kind is made."""
    folder = Path(os.environ[VARIABLE]) / kind
    folder.mkdir(exist_ok=True)
    return folder / name.replace("/", "_")


def resources(folder: Path) -> set[str]:
    """What the engine holds, copies of bases aside."""
    return {str(path) for kind in ("containers", "images") for path in folder.glob(f"{kind}/*")}


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy(source: str, target: Path) -> None:
    """Copy a root with all that its files have."""
    process.output("cp", "--archive", source, str(target))


class FolderBackend:
    """The backend without a defect."""

    __name__ = "folder"

    @hookimpl
    def describe(self, engine: EngineOptions) -> EngineInfo:
        return scratch.describe(engine)

    @hookimpl
    def lacks(self, run: RunOptions) -> list[Lack]:
        return scratch.lacks(run)

    @hookimpl
    def load(self, job: Job) -> Image:
        """Unpack into a place of the job's own, then give it its name."""
        check_emulation(job.run.platform, job.folder)
        base = place("bases", job.transport.name)
        if not base.exists():
            fresh = Path(scratch.load(job).name)
            try:
                fresh.rename(base)
            except OSError:
                shutil.rmtree(fresh)  # another job was faster
        (base.parent / f"{base.name}.name").write_text(job.transport.name)
        return Image(str(base))

    @hookimpl
    def run(self, job: Job, image: Image) -> Container:
        container = place("containers", job.name)
        job.containers.callback(remove, container)
        copy(image.name, container)
        scratch.run(job, Image(str(container)))
        return Container(job.name)

    @hookimpl
    def commit(self, job: Job, container: Container) -> Image:
        image = place("images", job.name)
        job.cleanup.callback(remove, image)
        image.touch()
        return Image(container.name)

    @hookimpl
    def save(self, job: Job, image: Image) -> SavedImage:
        return scratch.root(job, Container(str(place("containers", image.name))))

    @hookimpl
    def root(self, job: Job, container: Container) -> SavedImage:
        return scratch.root(job, Container(str(place("containers", container.name))))

    @hookimpl
    def enter(self, job: Job, container: Container) -> Entry:
        return Entry(enter=("chroot", str(place("containers", container.name)), *job.argv))

    @hookimpl
    def leftovers(self, ids: Sequence[str]) -> list[Leftover]:
        return [
            Leftover(
                kind=kind.removesuffix("s"),
                name=path.name,
                remove=functools.partial(_end, path, ids),
            )
            for kind in ("containers", "images")
            for path in place(kind, "").iterdir()
            if made_by(path.name, ids)
        ]

    @hookimpl
    def base_copies(self) -> list[Leftover]:
        names = list(place("bases", "").glob("*.name"))
        return [
            Leftover(kind="base", name=name.read_text(), remove=functools.partial(_forget, name))
            for name in names
        ]


def _end(path: Path, ids: Sequence[str]) -> None:
    for job_id in ids:
        end_orphans(job_id)
    remove(path)


def _forget(name: Path) -> None:
    remove(name.with_suffix(""))
    name.unlink()
