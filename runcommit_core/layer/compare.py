"""Why two layers are not the same: path by path, attribute by attribute, else by form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from runcommit_core.layer.contents import Contents, Item, open_layer_tar, read_contents
from runcommit_core.layer.wording import KIND_NAMES, printable
from runcommit_core.oci.regions import CHUNK
from runcommit_core.tar.order import entry_key
from runcommit_core.tar.reader import Kind
from runcommit_core.tar.whiteout import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHORT_DIGEST = len("sha256:") + 12
_DEVICES = (Kind.CHARACTER, Kind.BLOCK)


@dataclass(frozen=True, slots=True)
class PathDifference:
    """One path (of an entry of the tar: ``.wh.`` names are whiteouts) on which two layers differ.

    ``attributes`` maps what differs to both values; it is empty where only one layer has the path.
    ``kind`` is what is there, in the first layer if it has the path.
    """

    path: bytes
    there: Literal["both", "first", "second"]
    kind: Kind
    attributes: Mapping[str, tuple[str, str]]

    def __str__(self) -> str:
        path = printable(self.path)
        if self.there != "both":
            is_whiteout = self.path.rpartition(b"/")[2].startswith(PREFIX)
            kind = "whiteout" if is_whiteout else KIND_NAMES[self.kind]
            return f"{path}: only in the {self.there} ({kind})"
        changes = (_change(name, *values) for name, values in self.attributes.items())
        return f"{path}: {', '.join(changes)}"


@dataclass(frozen=True, slots=True)
class FormDifference:
    """Both layers say the same, in other bytes: the first that differs, and whose it is.

    ``entry_offset`` is where the headers of that entry begin; ``path`` is None behind the last.
    """

    offset: int
    entry_offset: int
    path: bytes | None

    def __str__(self) -> str:
        whose = "the end of the tar" if self.path is None else f"the entry {printable(self.path)}"
        return (
            f"same entries, different form: byte {self.offset},"
            f" in {whose}, which begins at byte {self.entry_offset}"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two layers side by side; ``form`` is only looked for where no path differs."""

    first: Contents
    second: Contents
    paths: tuple[PathDifference, ...]
    form: FormDifference | None

    @property
    def equal(self) -> bool:
        """Tell whether both are the same tar, byte for byte."""
        return self.first.diff_id == self.second.diff_id


def compare_layers(first: str, second: str) -> Comparison:
    """Compare two layers, named as for ``open_layer_tar``; of a path twice there the last counts.

    Raises ArchiveError: one is not there, or no tar
    """
    one, other = read_contents(first), read_contents(second)
    if one.diff_id == other.diff_id:
        return Comparison(one, other, (), None)
    paths = tuple(differing_paths(one.items, other.items))
    return Comparison(one, other, paths, None if paths else _form(one, other))


def differing_paths(first: tuple[Item, ...], second: tuple[Item, ...]) -> Iterator[PathDifference]:
    """Compare what two layers say, in the order of paths."""
    one = {item.entry.path: item for item in first}
    other = {item.entry.path: item for item in second}
    for path in sorted(one.keys() | other.keys(), key=entry_key):
        old, new = one.get(path), other.get(path)
        if old is not None and new is not None:
            attributes = _differing(_attributes(old), _attributes(new))
            if attributes:
                yield PathDifference(path, "both", old.entry.kind, attributes)
        elif old is not None:
            yield PathDifference(path, "first", old.entry.kind, {})
        elif new is not None:
            yield PathDifference(path, "second", new.entry.kind, {})


def _change(name: str, old: str, new: str) -> str:
    if name == "content":
        old, new = old[:_SHORT_DIGEST], new[:_SHORT_DIGEST]
    return f"{name} {old} → {new}"


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    names = dict.fromkeys((*old, *new))
    return {
        name: (old.get(name, "none"), new.get(name, "none"))
        for name in names
        if old.get(name) != new.get(name)
    }


def _attributes(item: Item) -> dict[str, str]:
    entry = item.entry
    attributes = {
        "type": KIND_NAMES[entry.kind],
        "mode": f"{entry.mode:04o}",
        "uid": str(entry.uid),
        "gid": str(entry.gid),
        "mtime": str(entry.mtime),
    }
    if entry.link:
        attributes["link"] = printable(entry.link)
    if entry.kind in _DEVICES:
        attributes["device"] = f"{entry.major}:{entry.minor}"
    if entry.kind is Kind.REGULAR:
        attributes |= {"size": str(entry.size), "content": f"sha256:{item.sha256}"}
    for name, value in sorted(entry.xattrs.items()):
        attributes[f"xattr {printable(name)}"] = value.hex()
    return attributes


def _form(first: Contents, second: Contents) -> FormDifference:
    with open_layer_tar(first.name) as one, open_layer_tar(second.name) as other:
        offset = _first_difference(one, other)
    item = next((item for item in reversed(first.items) if item.offset <= offset), None)
    if item is None or offset >= (end := item.entry.end):
        return FormDifference(offset, end if item else 0, None)
    return FormDifference(offset, item.offset, item.entry.path)


def _first_difference(one: BinaryIO, other: BinaryIO) -> int:
    offset = 0
    while True:
        left, right = one.read(CHUNK), other.read(CHUNK)
        if left != right or not left:
            pairs = zip(left, right, strict=False)
            same = next(
                (at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right))
            )
            return offset + same
        offset += len(left)
