"""Defects in what a backend unpacks of a base, and in what it hands over of a container."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from unittest import mock

from runcommit_core import Image, hookimpl
from runcommit_core.testing import unpacking
from runcommit_core.testing.members import CAPABILITY
from runcommit_core.testing.oddbase import LONG
from tests.defect_kinds import Tampering, Unpacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runcommit_core import Job


def odd(root: Path) -> Iterator[Path]:
    """What the odd base adds to a busybox."""
    return (root / "it").rglob("*")


# --- the base


class OfTheBase(Unpacking):
    test = "the_base_is_as"


class LosesOwners(OfTheBase):
    change = "with its own numeric owner"

    def tamper(self, root: Path) -> None:
        for path in odd(root):
            os.chown(path, 0, 0, follow_symlinks=False)


class LosesOwnersOfLinks(OfTheBase):
    change = "links as well"

    def tamper(self, root: Path) -> None:
        os.chown(root / "it/link", 0, 0, follow_symlinks=False)


class LosesModesOfPrograms(OfTheBase):
    change = "with its mode"

    def tamper(self, root: Path) -> None:
        (root / "it/suid").chmod(0o755)


class HasAUmaskOfItsOwn(OfTheBase):
    change = "whatever umask you have"

    def tamper(self, root: Path) -> None:
        for path in odd(root):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o002)


class LosesTimesOfFolders(OfTheBase):
    change = "a directory's comes after what is in it"

    def tamper(self, root: Path) -> None:
        os.utime(root / "it")


class LosesTimesOfLinks(OfTheBase):
    change = "every member with its time"

    def tamper(self, root: Path) -> None:
        os.utime(root / "it/link", follow_symlinks=False)


class LosesAttributes(OfTheBase):
    change = "the extended attributes of pax headers"

    def tamper(self, root: Path) -> None:
        for path in odd(root):
            if CAPABILITY in os.listxattr(path, follow_symlinks=False):
                os.removexattr(path, CAPABILITY)


class BreaksHardLinks(OfTheBase):
    change = "further names of one file"

    def tamper(self, root: Path) -> None:
        (root / "it/two").unlink()
        (root / "it/two").write_bytes(b"12")


class MakesPipesFiles(OfTheBase):
    change = "pipes as what they are"

    def tamper(self, root: Path) -> None:
        (root / "it/fifo").unlink()
        (root / "it/fifo").touch(0o620)


class IgnoresOpaqueFolders(OfTheBase):
    change = ".wh..wh..opq"

    @hookimpl
    def load(self, job: Job) -> Image:
        with mock.patch.object(unpacking, "_clear"):
            return super(Unpacking, self).load(job)


class IgnoresWhiteouts(OfTheBase):
    change = ".wh.NAME"

    def tamper(self, root: Path) -> None:
        (root / "it/deleted").touch()


class IgnoresWhiteoutsOfFolders(OfTheBase):
    change = "folders too"

    def tamper(self, root: Path) -> None:
        (root / "it/gone").mkdir(exist_ok=True)


class KeepsAFolderUnderAFile(OfTheBase):
    change = "with another type"

    def tamper(self, root: Path) -> None:
        place = root / "it/was-folder"
        if place.is_file():
            place.unlink()
            place.mkdir()


class FollowsALinkUnderAFolder(OfTheBase):
    change = "with another type"

    def tamper(self, root: Path) -> None:
        place = root / "it/was-link"
        if not place.is_symlink():
            shutil.rmtree(place)
            place.symlink_to("sticky")
            (root / "it/sticky/in").touch()


class CutsLongNames(OfTheBase):
    change = "names of every length"

    def tamper(self, root: Path) -> None:
        place = root / "it" / LONG
        if place.exists():
            place.rename(root / "it" / ("n" * 100 + ".cut"))
            (root / "it" / ("n" * 100 + ".cut")).write_text("lo")


class ClosesTheRoot(OfTheBase):
    hook, change = "run", "what mkdtemp made"

    def tamper(self, root: Path) -> None:
        root.chmod(0o700)


class GivesTheRootAway(OfTheBase):
    hook, change = "run", "let the root be root's own"

    def tamper(self, root: Path) -> None:
        os.chown(root, 1000, 1000)


# --- the layer


class OfChanges(Tampering):
    test = "changes_of_all_kinds"


class LosesAttributesOfTheLayer(OfChanges):
    change = "its capability still"

    def tamper(self, root: Path) -> None:
        os.removexattr(root / "it/capable", CAPABILITY)


class LosesOwnersOfTheLayer(OfChanges):
    change = "with their owners"

    def tamper(self, root: Path) -> None:
        os.chown(root / "it/moved", 0, 0)


class LosesOwnersOfLinksOfTheLayer(OfChanges):
    change = "links with their own"

    def tamper(self, root: Path) -> None:
        os.chown(root / "it/link", 0, 0, follow_symlinks=False)


class OpensModesOfTheLayer(OfChanges):
    change = "with the modes that they have"

    def tamper(self, root: Path) -> None:
        (root / "it/private/file").chmod(0o644)


class LosesTimesOfTheLayer(OfChanges):
    change = "with their own times"

    def tamper(self, root: Path) -> None:
        os.utime(root / "it/suid", (2000, 2000))


class BreaksHardLinksOfTheLayer(OfChanges):
    change = "hard links as such"

    def tamper(self, root: Path) -> None:
        (root / "it/private/too").unlink()
        shutil.copy2(root / "it/private/file", root / "it/private/too")
        os.chown(root / "it/private/too", 7, 8)


class MergesFoldersMadeAnew(OfChanges):
    change = "removed and made anew"

    def tamper(self, root: Path) -> None:
        (root / "it/opaque/above").touch()


class LosesEmptyFolders(OfChanges):
    change = "what took a place"

    def tamper(self, root: Path) -> None:
        (root / "it/empty").rmdir()


class LosesLongNames(OfChanges):
    change = "what took a place"

    def tamper(self, root: Path) -> None:
        (root / "it" / ("m" * 250)).unlink()


class MakesPipesOfTheLayerFiles(OfChanges):
    change = "pipes, links and empty folders"

    def tamper(self, root: Path) -> None:
        (root / "it/pipe").unlink()
        (root / "it/pipe").touch()


class CutsSparseFiles(OfChanges):
    change = "what the command left and nothing else"

    def tamper(self, root: Path) -> None:
        os.truncate(root / "it/sparse", 0)
