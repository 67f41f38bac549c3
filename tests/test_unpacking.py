"""Bases for engines that take no images: what is unpacked, who runs, and that nothing leads out."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import (
    ArchiveError,
    EngineError,
    Identity,
    UsageError,
    hookimpl,
    identity_of,
    roots,
    run_commit,
    run_environment,
    unpack_base,
    unpack_layer,
)
from runcommit_core.testing import bases
from tests import canned

if TYPE_CHECKING:
    from collections.abc import Callable

    from runcommit_core import Image, Job

AS_ROOT = os.geteuid() == 0
ENTER = () if AS_ROOT else ("unshare", "--map-root-user")
Member = tuple[str, dict[str, Any]]


def layer(*members: Member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, attributes in members:
            info = tarfile.TarInfo(name)
            data = attributes.get("data", b"")
            info.size, info.mtime = len(data), 1000
            for key in attributes.keys() - {"data"}:
                setattr(info, key, attributes[key])
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def folder(name: str, **more: Any) -> Member:
    return name, {"type": tarfile.DIRTYPE, "mode": 0o755, **more}


def file(name: str, data: bytes = b"x", **more: Any) -> Member:
    return name, {"data": data, **more}


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return name, {"type": kind, "linkname": target}


@pytest.fixture
def with_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Call something with a job on a base of these layers, in the step ``load``."""
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))

    def do(what: Callable[[Job], object], *layers: bytes, **options: Any) -> None:
        number = len(list(tmp_path.glob("base*")))
        config = options.pop("config", {})
        base = bases.write_layout(tmp_path / f"base{number}", layers, config)

        @hookimpl(specname="load")
        def load(job: Job) -> Image:
            what(job)
            return canned.load(job)

        run_commit(base.path, "true", backend=canned.backend(load=load), **options)

    return do


@pytest.fixture
def unpacked(with_job: Callable[..., None], tmp_path: Path) -> Callable[..., Path]:
    def do(*layers: bytes) -> Path:
        root = tmp_path / "root"
        root.mkdir()
        with_job(lambda job: unpack_base(job, root, enter=ENTER), *layers)
        return root

    return do


def test_kinds_modes_and_times(unpacked: Callable[..., Path]):
    root = unpacked(
        layer(
            folder("d", mode=0o1750), file("d/f", b"content", mode=0o640),
            link("d/s", "/nowhere"), link("h", "d/f", tarfile.LNKTYPE),
            ("p", {"type": tarfile.FIFOTYPE, "mode": 0o600}), file("implied/below/f"),
        )
    )  # fmt: skip
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o1750
    assert (root / "d/f").read_bytes() == b"content"
    assert (root / "d/s").readlink() == Path("/nowhere")
    assert (root / "h").samefile(root / "d/f")
    assert stat.S_ISFIFO((root / "p").lstat().st_mode)
    assert stat.S_IMODE((root / "implied").stat().st_mode) == 0o755
    for name in ("d", "d/f", "d/s", "p"):
        assert (root / name).lstat().st_mtime == 1000, name


def test_a_working_directory_that_is_made_for_the_job_is_there(
    with_job: Callable[..., None], tmp_path: Path
):
    found: list[Path] = []
    with_job(
        lambda job: found.append(roots.unpacked(job, tmp_path / "bases", enter=ENTER)),
        layer(file("a/f")),
        workdir="/a/b/c",
    )
    assert [(root / "a/b/c").is_dir() for root in found] == [False, True]
    assert all((root / "a/f").read_bytes() == b"x" for root in found)


def test_a_layer_over_others_changes_what_it_says(with_job: Callable[..., None], tmp_path: Path):
    """A folder that it leaves out keeps its time, though something is made and deleted in it."""
    root = tmp_path / "root"
    root.mkdir()

    def one_by_one(job: Job) -> None:
        for each in job.base.layers:
            unpack_layer(job, each, root, enter=ENTER)

    with_job(
        one_by_one,
        layer(folder("d", mode=0o1750), file("d/f"), file("d/g"), folder("e"), file("e/f")),
        layer(file("d/.wh.f"), file("d/h")),
        layer(file("e/.wh..wh..opq"), file("e/h")),
    )
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == ["d", "d/g", "d/h", "e", "e/h"]
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o1750
    assert [(root / name).stat().st_mtime for name in "de"] == [1000, 1000]


@pytest.mark.parametrize(("root_mode", "mode"), [(None, 0o755), (0o711, 0o711)])
def test_the_callers_umask_is_not_the_bases(
    with_job: Callable[..., None], tmp_path: Path, root_mode: int | None, mode: int
):
    """With 077 another user than root would find nothing."""
    members = [] if root_mode is None else [folder("./", mode=root_mode)]
    found: list[Path] = []
    mask = os.umask(0o077)
    try:
        with_job(
            lambda job: found.append(roots.unpacked(job, tmp_path / "bases", enter=ENTER)),
            layer(*members, file("a/f")),
        )
    finally:
        os.umask(mask)
    [root] = found
    assert [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "a")] == [mode, 0o755]


@pytest.mark.skipif(not AS_ROOT, reason="owners and devices are root's to give")
def test_owners_devices_and_attributes(unpacked: Callable[..., Path]):
    device = {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3, "mode": 0o666}
    headers = {"SCHILY.xattr.user.mark": "x"}
    root = unpacked(
        layer(file("f", uid=7, gid=8, mode=0o4755, pax_headers=headers), ("null", device))
    )
    found = (root / "f").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (7, 8, 0o4755)
    assert os.getxattr(root / "f", "user.mark") == b"x"
    assert os.major((root / "null").stat().st_rdev) == 1


def test_upper_layers_replace_delete_and_empty(unpacked: Callable[..., Path]):
    root = unpacked(
        layer(
            folder("d", mode=0o700), file("d/old"), file("d/kept"), folder("o"), file("o/old"),
            folder("o/sub"), file("o/sub/old"), file("was-a-file"), folder("was-a-folder"),
            file("was-a-folder/f"), link("was-a-link", "d"),
        ),
        layer(
            folder("d", mode=0o755), file("d/.wh.old", b""), folder("o"), file("o/new"),
            folder("o/sub"), file("o/sub/new"), file("o/.wh..wh..opq", b""),
            folder("was-a-file"), file("was-a-folder", b"now"), folder("was-a-link"),
            file(".wh..wh.plnk/1.2", b""), file(".wh.never-was", b""),
        ),
    )  # fmt: skip
    names = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert names == {
        *("d", "d/kept", "o", "o/new", "o/sub", "o/sub/new"),
        *("was-a-file", "was-a-folder", "was-a-link"),
    }
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o755
    assert (root / "d").stat().st_mtime == 1000
    assert (root / "was-a-link").is_dir()
    assert not (root / "was-a-link").is_symlink()


@pytest.mark.parametrize("way", ["absolute", "upwards", "nested", "hardlink", "whiteout"])
def test_nothing_leads_out_of_it(unpacked: Callable[..., Path], tmp_path: Path, way: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("mine")
    up = "../" * 40 + str(outside).lstrip("/")
    layers = {
        "absolute": [layer(link("l", str(outside)), file("l/f", b"theirs"))],
        "upwards": [layer(link("l", up), file("l/f", b"theirs"))],
        "nested": [layer(link("a", str(outside.parent)), link("b", "a"), file("b/outside/f"))],
        "hardlink": [
            layer(link("l", str(outside))),
            layer(file("x"), link("h", "l/f", tarfile.LNKTYPE)),
        ],
        "whiteout": [layer(link("l", str(outside))), layer(file("l/.wh.f", b""))],
    }
    # as everywhere: what is below a link that leads nowhere cannot be made
    with contextlib.suppress(ArchiveError, EngineError):
        unpacked(*layers[way])
    assert (outside / "f").read_text() == "mine"
    assert list(outside.iterdir()) == [outside / "f"]


def test_links_on_the_way_are_the_bases_own(unpacked: Callable[..., Path]):
    lower = layer(folder("d"), link("l", "/d"), file("l/f", b"inside"), link("m", "../../d"))
    root = unpacked(lower, layer(file("m/g", b"as well"), file("l/.wh.f", b"")))
    assert (root / "d/g").read_bytes() == b"as well"
    assert not (root / "d/f").exists()
    assert (root / "l").is_symlink()


def test_a_layer_that_is_not_what_it_should_be(unpacked: Callable[..., Path], tmp_path: Path):
    good = layer(file("f", b"content"))
    path = tmp_path / "base0"

    def damage(job: Job) -> None:
        stored = path / "blobs/sha256" / job.base.layers[0].digest.removeprefix("sha256:")
        stored.write_bytes(stored.read_bytes().replace(b"content", b"tampers"))
        (tmp_path / "root").mkdir()
        unpack_base(job, tmp_path / "root", enter=ENTER)

    base = bases.write_layout(path, [good])

    @hookimpl(specname="load")
    def load(job: Job) -> Image:
        damage(job)
        return canned.load(job)

    with pytest.raises(ArchiveError, match="sha256"):
        run_commit(base.path, "true", backend=canned.backend(load=load))


def test_where_it_cannot_be_unpacked(with_job: Callable[..., None], tmp_path: Path):
    with pytest.raises(EngineError, match="cannot unpack the base"):
        with_job(lambda job: unpack_base(job, tmp_path / "none", enter=ENTER), layer(file("f")))


def test_a_base_is_unpacked_once_and_stays_while_it_is_used(
    with_job: Callable[..., None], tmp_path: Path
):
    store, found = tmp_path / "store", []

    def use(job: Job) -> None:
        root = roots.unpacked(job, store, enter=ENTER)
        found.append((root, root.stat().st_ino, (root / "f").read_bytes()))
        [copy] = roots.copies(store, enter=ENTER)
        assert copy.name == job.transport.name
        assert copy.size
        with pytest.raises(EngineError, match="a job is using the base"):
            copy.remove()

    with_job(use, layer(file("f", b"content")))
    with_job(use, layer(file("f", b"content")))
    assert found[0] == found[1]
    [copy] = roots.copies(store, enter=ENTER)
    copy.remove()
    assert roots.copies(store, enter=ENTER) == []
    assert list(store.iterdir()) == []
    with_job(use, layer(file("f", b"content")), keep_base=False)
    assert roots.copies(store, enter=ENTER) == []


def test_what_a_killed_job_has_not_unpacked_to_the_end(tmp_path: Path):
    half = tmp_path / ("0" * 32 + ".runcommit-0123456789ab")
    (half / "rootfs").mkdir(parents=True)
    assert roots.copies(tmp_path, enter=ENTER) == []
    assert roots.unfinished(tmp_path, ["ba9876543210"], enter=ENTER) == []
    [thing] = roots.unfinished(tmp_path, ["0123456789ab"], enter=ENTER)
    thing.remove()
    assert not half.exists()


PASSWD = b"root:x:0:0::/root:/bin/sh\nme:x:7:8::/home/me:\n9:x:70:80::/nine:\nodd\nx:x:y:z:::\n"
GROUP = b"root:x:0:\nmine:x:8:\nmore:x:5:other,me\nadm:x:6:me\n"


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("", Identity(uid=0, gid=0, home="/root")),
        ("me", Identity(uid=7, gid=8, groups=(5, 6), home="/home/me")),
        ("7", Identity(uid=7, gid=8, groups=(5, 6), home="/home/me")),
        ("me:more", Identity(uid=7, gid=5, home="/home/me")),
        ("me:99", Identity(uid=7, gid=99, home="/home/me")),
        ("1234", Identity(uid=1234, gid=0)),
        ("1234:mine", Identity(uid=1234, gid=8)),
        ("9", Identity(uid=70, gid=80, home="/nine")),
    ],
)
def test_users_are_those_of_the_base(with_job: Callable[..., None], user: str, identity: Identity):
    found: list[Identity] = []
    files = layer(file("etc/passwd", PASSWD), link("etc/group", "/real"), file("real", GROUP))
    with_job(lambda job: found.append(identity_of(job)), files, user=user or None)
    assert found == [identity]


@pytest.mark.parametrize("user", ["nobody", "me:none", "²"])
def test_users_that_the_base_has_not(with_job: Callable[..., None], user: str):
    with pytest.raises(UsageError, match=r"the base has no (user|group)"):
        with_job(identity_of, layer(file("etc/passwd", PASSWD)), user=user)


def test_the_environment_is_the_bases_and_the_runs(with_job: Callable[..., None]):
    found: list[dict[str, str]] = []
    config = {"Env": ["PATH=/bin", "A=base=1", "B=base"]}
    with_job(
        lambda job: found.append(run_environment(job, home="/h")), layer(file("f")),
        config=config, env={"B": "run"},
    )  # fmt: skip
    assert found[0].pop("SOURCE_DATE_EPOCH")
    assert found == [
        {"PATH": "/bin", "HOME": "/h", "HOSTNAME": "runcommit", "A": "base=1", "B": "run"}
    ]
