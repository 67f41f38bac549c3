"""The backend without an engine never writes outside the folder that is its root."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing.unpacking import apply_layer

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "/{}/new",
    "../{}/new",
    "a/../../{}/new",
    "out/new",
    "rel/new",
    "//{}//new",
    "./out/../new",
)


def tar_of(names: tuple[str, ...], outside: Path) -> io.BytesIO:
    """A layer with links that lead outside, and a file under each of the names."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for link, target in (("out", str(outside)), ("rel", "../outside")):
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for name in names:
            tar.addfile(tarfile.TarInfo(name.format("outside")))
    made.seek(0)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_root(tmp_path: Path, name: str):
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    apply_layer(root, tar_of((name,), outside))
    assert list(outside.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path not in (outside, root)] == []
    assert list(root.rglob("new"))


def test_a_hardlink_is_to_a_file_of_the_root(tmp_path: Path):
    root, secret = tmp_path / "root", tmp_path / "secret"
    root.mkdir()
    secret.write_text("of the machine")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.LNKTYPE, str(secret)
        tar.addfile(member)
    made.seek(0)
    with pytest.raises((OSError, KeyError)):
        apply_layer(root, made)
    assert secret.stat().st_nlink == 1
