"""Saving a finished container's files by a process of its own.

A rootless engine's files belong to ids that exist in the engine's user namespace alone:
``podman unshare`` and ``buildah unshare`` lead there.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import ArchiveError
from runcommit_core.oci.jsondoc import parse_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import SavedImage
    from runcommit_core.tar.digests import DiffId

_ALONE = """\
import sys; from importlib import import_module, machinery, util; \
spec = machinery.PathFinder.find_spec("runcommit_core", [sys.argv[1]]); \
package = sys.modules[spec.name] = util.module_from_spec(spec); \
spec.loader.exec_module(package); \
sys.exit(import_module(sys.argv[2]).main(*sys.argv[3:]))"""
"""Calls ``main`` of a module of ours, with the package from where it is told: no folder of it,
nor any other, is searched for anything else."""


def saved_apart(
    job: Job,
    module: str,
    *words: str,
    used: str,
    below: tuple[DiffId, ...],
    enter: Sequence[str] = (),
) -> SavedImage:
    """What ``save`` returns for the raw layer that ``main`` of ``module`` writes.

    It lies on the layers ``below``.

    ``main`` is given the path to write to and ``words``, and ends with
    :func:`runcommit_core.engine.answer.answer`.  ``enter`` are the words before a command that
    bring it where root and ids are the container's own; ``used`` is how the result is said to
    have travelled.

    Raises ArchiveError for files that no layer can hold, EngineError when the engine fails.
    """
    from runcommit_core.interface.values import RawLayer, SavedImage

    path = job.folder / f"apart-{job.id}.tar"
    completed = process.attempt(*enter, *isolated(module), os.fspath(path), *words)
    if completed.returncode == ArchiveError.exit_code:
        said = parse_record(completed.output.encode(), f"what {module} answered")
        raise ArchiveError(said["error"], tip=said["tip"])
    said = parse_record(process.checked(completed).output.encode(), f"what {module} answered")
    diff_id: DiffId = said["diff_id"]
    raw = RawLayer(diff_id, lambda: path.open("rb"), is_ours=True)
    return SavedImage(
        job.transport.config,
        (*below, diff_id),
        (raw,),
        transport=used,
        warnings=tuple(said["warnings"]),
    )


def isolated(module: str) -> tuple[str, ...]:
    """All words that run ``main`` of a module with its package, ours, and Python's own library.

    Not the current folder nor PYTHONPATH, where anybody may have put a ``json.py``, and no ``site``
    with what is installed.  ``main`` is given the words after these; it answers the exit code.
    """
    options = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    options += ["-X", "utf8"] if sys.flags.utf8_mode else []
    words = (sys.executable, *options, "-c", _ALONE, _folder_of("runcommit_core"))
    package = module.partition(".")[0]
    if package == "runcommit_core":
        return (*words, module)
    return (*words, "runcommit_core.engine.guest", _folder_of(package), module)


def _folder_of(package: str) -> str:
    """Where a package lies; links stay as they are."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no package {package}")
    return os.fspath(Path(os.path.abspath(spec.origin)).parents[1])  # noqa: PTH100
