"""What jobs change: the command, the same bytes as a sample on disk, and a check of the result."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runcommit_core.oci.base import open_base

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """``command`` makes it in a container, ``write_sample`` at a path; ``path`` is in its layer."""

    name: str
    command: str
    path: str
    write_sample: Callable[[Path], None]

    def sample(self, folder: Path) -> Path:
        """The bytes of the change outside of any container; they are written once."""
        place = folder / f"sample-{self.name.replace(' ', '-')}"
        if not place.exists():
            self.write_sample(place)
        return place

    def check_layer(self, layer: Path) -> None:
        """Fail unless the layer's tar holds the change."""
        self._check(layer, 0)

    def check_image(self, reference: str) -> None:
        """Fail unless the topmost layer of an image holds the change."""
        region = open_base(reference).layers[-1].region
        if region is None:
            raise AssertionError(f"{reference}: the topmost layer is not there")
        self._check(region.path, region.offset)

    def _check(self, path: Path, offset: int) -> None:
        with path.open("rb") as file:
            file.seek(offset)
            with tarfile.open(fileobj=file, mode="r|*") as tar:
                if not any(member.name.removeprefix("./") == self.path for member in tar):
                    raise AssertionError(f"{path}: a layer without {self.path} ({self.name})")


def one_line() -> Change:
    """A file of two bytes."""
    return Change("one line", "echo x > /x", "x", _write_line)


def _write_line(place: Path) -> None:
    place.write_text("x\n")


def new_data(mebibytes: int, name: str) -> Change:
    """One file of random bytes."""

    def write(place: Path) -> None:
        with place.open("wb") as file:
            for _ in range(mebibytes):
                file.write(os.urandom(MEBIBYTE))

    command = f"dd if=/dev/urandom of=/big bs=1M count={mebibytes} 2>/dev/null"
    return Change(name, command, "big", write)


def small_files(count: int) -> Change:
    """So many files of a few bytes in one directory."""

    def write(place: Path) -> None:
        place.mkdir()
        for number in range(1, count + 1):
            (place / str(number)).write_text(f"{number}\n")

    command = f"mkdir /many && cd /many && for i in $(seq {count}); do echo $i > $i; done"
    return Change(f"{count:,} files", command, f"many/{count}", write)
