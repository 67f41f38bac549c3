"""The files an image is made of, by name: in a directory or, with the same face, in an archive."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Protocol

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.jsondoc import MAX_JSON
from runcommit_core.oci.model import FileRegion
from runcommit_core.oci.regions import open_region
from runcommit_core.records import record

if TYPE_CHECKING:
    from pathlib import Path


class Members(Protocol):
    """Files by their names relative to the image's root, ``/`` between the parts."""

    @property
    def label(self) -> str:
        """What messages call the directory or archive."""
        ...

    def find(self, name: str) -> FileRegion | None:
        """Return where the bytes of a file are; None when there is none of that name.

        ArchiveError for a link that leads nowhere or out of an archive.
        """
        ...

    def read(self, region: FileRegion, size: int) -> bytes:
        """Return the first ``size`` bytes of a region that :meth:`find` gave."""
        ...


@record
class DirectoryMembers:
    """The files of a directory; symbolic links are followed wherever they lead, as Bazel needs."""

    root: Path

    @property
    def label(self) -> str:
        """The directory's path."""
        return str(self.root)

    def find(self, name: str) -> FileRegion | None:
        """See :meth:`Members.find`."""
        path = self.root / name
        try:
            facts = path.stat()
        except FileNotFoundError as error:
            if path.is_symlink():
                raise _dangling(path) from error
            return None
        except NotADirectoryError:
            return None
        except OSError as error:
            raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(facts.st_mode):
            raise ArchiveError(f"{path}: is no regular file")
        return FileRegion(path, 0, facts.st_size)

    def read(self, region: FileRegion, size: int) -> bytes:
        """See :meth:`Members.read`."""
        with open_region(region) as stream:
            return stream.read(size)


def read_document(members: Members, name: str) -> bytes:
    """Return the whole of a JSON file that must be there."""
    region = members.find(name)
    if region is None:
        raise ArchiveError(f"{members.label}: has no {name}")
    if region.size > MAX_JSON:
        raise ArchiveError(
            f"{members.label}: {name} has {region.size} bytes, more than JSON may ({MAX_JSON})"
        )
    return members.read(region, region.size)


def _dangling(path: Path) -> ArchiveError:
    return ArchiveError(
        f"{path}: is a symbolic link to {path.readlink()}, which does not exist",
        tip="Bazel links blobs to outputs of other targets: give the action their files and"
        " runfiles as inputs, and build them",
    )
