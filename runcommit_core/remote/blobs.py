"""Blobs of registries, kept by digest in the user's cache and shared by all jobs.

A blob is written beside its place, verified, and renamed there; what a cut transfer left is gone on
with.  Jobs hold the folder's lock together, and only who has it alone removes anything.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import shutil
from typing import IO, TYPE_CHECKING, Final

from runcommit_core.cachedir import Kept, cache_dir, to_remove
from runcommit_core.engine.background import side_by_side
from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.interface.progress import Meter
from runcommit_core.oci.descriptors import blob_path
from runcommit_core.oci.regions import CHUNK, digest_of_bytes
from runcommit_core.remote.repository import within
from runcommit_core.staging import replacing
from runcommit_core.surroundings.amounts import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runcommit_core.interface.progress import Progress
    from runcommit_core.oci.descriptors import Descriptor
    from runcommit_core.remote.repository import Repository
    from runcommit_core.tar.digests import Digest

SIZE_VARIABLE: Final = "RUNCOMMIT_BLOBS_SIZE"
DEFAULT_SIZE: Final = "20g"

_AT_ONCE = 4
"""Transfers side by side, as docker has it."""


def blob_folder() -> Path:
    """The folder whose ``sha256/`` holds the blobs, as in a layout's ``blobs``."""
    folder = cache_dir() / "blobs"
    try:
        for below in ("sha256", "parts"):
            (folder / below).mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "lock").touch(mode=0o600)
    except OSError as error:
        raise UsageError(
            f"cannot write the cache folder {folder}: {error.strerror}",
            tip="set RUNCOMMIT_CACHE_DIR to a folder that you may write",
        ) from error
    return folder


def hold_blobs(cleanup: contextlib.ExitStack) -> Path:
    """The folder, of which nothing is removed until ``cleanup`` ends."""
    folder = blob_folder()
    lock = cleanup.enter_context((folder / "lock").open("w"))
    fcntl.flock(lock, fcntl.LOCK_SH)
    return folder


def place_of(folder: Path, digest: Digest) -> Path:
    """Where a blob is, or would be."""
    return folder.parent / blob_path(digest)


def keep_document(folder: Path, data: bytes) -> None:
    """Keep a manifest."""
    with replacing(place_of(folder, digest_of_bytes(data))) as path:
        path.write_bytes(data)


def bring(
    repository: Repository, blobs: Sequence[Descriptor], folder: Path, progress: Progress
) -> None:
    """Have all these blobs in the folder, several at once.

    Raises ArchiveError for a blob that is not what its descriptor says, OSError for a registry that
    does not give it.
    """
    different = {blob.digest: blob for blob in blobs}
    missing = [blob for blob in different.values() if not _is_here(folder, blob)]
    works = [functools.partial(_bring, repository, blob, folder, progress) for blob in missing]
    side_by_side(works, _AT_ONCE)


def shrink_blobs() -> None:
    """Remove the blobs that were used longest ago beyond ``RUNCOMMIT_BLOBS_SIZE``.

    Nothing happens while another job holds the folder.
    """
    limit = size_in_bytes(os.environ.get(SIZE_VARIABLE) or DEFAULT_SIZE, SIZE_VARIABLE)
    kept = sorted(kept_blobs(), key=lambda each: each.used)
    remove_blobs([each.path for each in to_remove(kept, limit)])


def kept_blobs() -> list[Kept]:
    """All blobs, in no order."""
    kept = []
    for path in (blob_folder() / "sha256").iterdir():
        with contextlib.suppress(OSError):
            facts = path.stat()
            kept.append(Kept(path.name, path, facts.st_size, facts.st_mtime))
    return kept


def remove_blobs(paths: Sequence[Path]) -> bool:
    """Remove blobs, and what cut transfers left; False, and all stays, while a job holds them."""
    folder = blob_folder()
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        for path in (*paths, *((folder / "parts").iterdir() if paths else ())):
            path.unlink(missing_ok=True)
    return True


def _is_here(folder: Path, blob: Descriptor) -> bool:
    place = place_of(folder, blob.digest)
    with contextlib.suppress(OSError):
        if place.stat().st_size == blob.size:
            os.utime(place)
            return True
    return False


def _bring(repository: Repository, blob: Descriptor, folder: Path, progress: Progress) -> None:
    part = folder / "parts" / blob.digest.partition(":")[2]
    with part.open("a+b") as file:
        # another job may be bringing it: then it is there afterwards
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is_here(folder, blob):
            part.unlink(missing_ok=True)
            return
        _complete(repository, blob, file, progress)
        part.replace(place_of(folder, blob.digest))


def _complete(
    repository: Repository, blob: Descriptor, file: IO[bytes], progress: Progress
) -> None:
    """Download what the file lacks; a part that proves wrong is emptied for the next time."""
    if file.seek(0, os.SEEK_END) > blob.size:
        file.truncate(0)
    hasher = hashlib.sha256()
    have = _hashed(file, hasher)
    if blob.size - have > shutil.disk_usage(file.name).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.name))
    if have < blob.size:
        stream, start = repository.blob_from(blob.digest, have)
        if start != have:
            hasher, have = hashlib.sha256(), 0
            file.truncate(0)
        with Meter(progress, "from registry", blob.digest, blob.size) as meter, stream:
            meter.add(have)
            # one byte more than there should be is enough to know
            while have <= blob.size:
                with within(repository.host):
                    chunk = stream.read(min(CHUNK, blob.size - have + 1))
                if not chunk:
                    break
                have += len(chunk)
                hasher.update(chunk)
                file.write(chunk)
                meter.add(len(chunk))
        file.flush()
    if have < blob.size:
        raise OSError(f"{repository.host} sent {have} of the {blob.size} bytes of {blob.digest}")
    if have > blob.size or f"sha256:{hasher.hexdigest()}" != blob.digest:
        file.truncate(0)
        raise ArchiveError(f"{repository.host} sent other bytes than those of {blob.digest}")


def _hashed(file: IO[bytes], hasher: hashlib._Hash) -> int:
    file.seek(0)
    size = 0
    while chunk := file.read(CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    return size
