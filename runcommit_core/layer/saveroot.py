"""Saving a finished container by its root instead of a commit.

The root is read by a process of its own, for a rootless engine's files belong to ids that exist
in the engine's user namespace alone: ``podman unshare`` and ``buildah unshare`` lead there.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core import process
from runcommit_core.errors import ArchiveError, RuncommitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.model import Job, SavedImage

log = logging.getLogger("runcommit")


def save_root(job: Job, mount: Sequence[str], *, enter: Sequence[str] = ()) -> SavedImage:
    """What ``save`` returns for a container whose root was compared with the base.

    ``mount`` is a command that prints the path of the root, ``enter`` are the words before a
    command that bring it where root and ids are the container's own.

    Raises ArchiveError for a root that no layer can hold, EngineError when the engine fails.
    """
    from runcommit_core.model import RawLayer, SavedImage
    from runcommit_core.oci.model import DiffId

    job.tree().close()  # so that every layer is indexed
    path = job.folder / f"root-{job.id}.tar"
    completed = process.attempt(
        *(*enter, sys.executable, "-m", "runcommit_core.layer.saveroot"),
        *(os.fspath(path), json.dumps(job.base.diff_ids), *mount),
        env={**process.environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if completed.returncode == ArchiveError.exit_code:
        said = json.loads(completed.output)
        raise ArchiveError(said["error"], tip=said["tip"])
    said = json.loads(process.checked(completed).output)
    for warning in said["warnings"]:
        log.warning("%s", warning)
    job.transport.used = "root"
    diff_id = DiffId(said["diff_id"])
    raw = RawLayer(diff_id, lambda: path.open("rb"))
    return SavedImage(job.transport.config, (*job.base.diff_ids, diff_id), (raw,))


def main(output: str, diff_ids: str, *mount: str) -> int:
    """Write the raw layer to the path ``output``; tell the rest on standard output, as JSON."""
    try:
        print(json.dumps(_write(Path(output), json.loads(diff_ids), mount)))  # noqa: T201
    except ArchiveError as error:
        print(json.dumps({"error": str(error), "tip": error.tip}))  # noqa: T201
        return error.exit_code
    except RuncommitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _write(output: Path, diff_ids: Sequence[str], mount: Sequence[str]) -> dict[str, object]:
    from runcommit_core.cachedir import cache_dir
    from runcommit_core.layer.index import BaseIndex
    from runcommit_core.layer.rootfs import RootChanges, write_changes
    from runcommit_core.oci.model import DiffId

    root = Path(process.output(*mount))
    with BaseIndex(cache_dir()).tree([DiffId(item) for item in diff_ids]) as tree:
        changes = RootChanges(root, tree)
        with output.open("wb") as file:
            diff_id = write_changes(changes, file)
    return {"diff_id": diff_id, "warnings": changes.warnings}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
