"""The working directory, where the base has none: one for all engines, made before any sees it.

Docker makes it for root, podman for the user, buildah for whom it likes, and some fail instead.  So
the private copy of the base has it already, as docker makes it, and no engine makes anything.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
from typing import TYPE_CHECKING

from runcommit_core.interface.values import RawLayer
from runcommit_core.oci.config import run_defaults

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.interface.job import Job
    from runcommit_core.tar.digests import DiffId

_ROOT = "/"
_MOUNTED = ("dev", "proc", "sys")


def with_workdir(job: Job) -> Job:
    """The job on a private copy of its base that has the working directory; mostly the same job.

    The base's tree is only asked where there is a working directory at all.  One that lies in a
    mount is that mount's affair.
    """
    asked = job.run.workdir or run_defaults(job.base.config).workdir
    workdir = posixpath.normpath(posixpath.join(_ROOT, asked))
    if workdir.strip(_ROOT) == "" or _is_mounted(job, workdir):
        return job
    from runcommit_core.index.basetree import with_tree

    missing = with_tree(job.tree, lambda tree: _missing(tree, os.fsencode(workdir)))
    return _with_directories(job, missing) if missing else job


def _is_mounted(job: Job, workdir: str) -> bool:
    targets = (*job.layer.mount_points, *(f"/{name}" for name in _MOUNTED))
    return any(workdir == target or workdir.startswith(f"{target}/") for target in targets)


def _missing(tree: BaseTree, workdir: bytes) -> list[bytes]:
    """The directories that are to be made, the upper ones first; none where nothing can be."""
    from runcommit_core.index.links import resolve
    from runcommit_core.layer.result import ancestors

    path, obstacle, _ = resolve(tree, workdir)
    if obstacle != "missing":
        return []
    return [up for up in (*reversed([*ancestors(path)]), path) if tree.get(up) is None]


def _with_directories(job: Job, paths: list[bytes]) -> Job:
    from runcommit_core.oci.model import FileRegion
    from runcommit_core.steps.stacking import on_other_layers, plain_layer

    file = job.folder / f"workdir-{job.id}.tar"
    diff_id, size = _write(file, paths, job.layer.epoch)
    layer = plain_layer(diff_id, FileRegion(file, 0, size))
    transport = job.transport.for_base(
        on_other_layers(job.base, [*job.transport.base.layers, layer]), feeder=lambda _: None
    )
    made = RawLayer(diff_id, lambda: file.open("rb"), is_ours=True)
    return dataclasses.replace(job, transport=transport, made=(made,))


def _write(file: Path, paths: list[bytes], epoch: int) -> tuple[DiffId, int]:
    from runcommit_core.index.node import IMPLIED_DIRECTORY as PLAIN
    from runcommit_core.tar.header import Attributes
    from runcommit_core.tar.writer import LayerWriter

    directory = Attributes(PLAIN.kind, PLAIN.mode, 0, 0, epoch, b"", 0, 0, 0, PLAIN.xattrs)
    with file.open("wb") as output:
        writer = LayerWriter(output)
        for path in paths:
            writer.add(path, directory)
        return writer.finish(), writer.size
