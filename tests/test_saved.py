"""What engines hand over: pushed blobs, and archives in the form of each engine."""

from __future__ import annotations

import contextlib
import io
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.saved import from_archive, from_push, plain
from tests import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runcommit_core.oci.saved import Spooled
    from runcommit_core.tar.digests import DiffId

BASE = images.layer({"base": random.Random(1).randbytes(50_000)})
MIDDLE = images.layer({"middle": b"of the base"})
NEW = images.layer({"new": random.Random(2).randbytes(30_000)})
NEWER = images.layer({"newer": b"newer"})
COMMITTED = images.image(BASE, MIDDLE, NEW)


@dataclass
class Engine:
    """An engine whose ``save`` gives these files; counts how often it is asked."""

    files: images.Files
    calls: int = 0
    folder_sizes: list[int] = field(default_factory=list)

    @contextlib.contextmanager
    def save(self) -> Iterator[BinaryIO]:
        self.calls += 1
        yield Unseekable(images.tar_of(self.files))


class Unseekable(io.BytesIO):
    """As a pipe is."""

    def seekable(self) -> bool:
        return False


def saved(
    files: images.Files, folder: Path, base: images.Image | None = None, *, calls: int = 1
) -> Spooled:
    """What is taken of an archive on ``base``; every file on disk must be one of the result."""
    engine = Engine(files)
    known = base.diff_ids if base else ()
    stored = tuple(images.digest(one) for one in base.stored) if base else ()
    spooled = from_archive(engine.save, folder, known_blobs={*known, *stored}, known=known)
    assert engine.calls == calls
    assert set(folder.iterdir()) == set(spooled[2].values())
    return spooled


def docker24_files(one: images.Image) -> images.Files:
    """As docker up to 24 really saves, in its order: only the top layer's json has a date.

    Folders are named by a chain of hashes and sorted, documents follow in between by name.
    """
    legacy = images.legacy_files(one)
    (item,) = json.loads(legacy["manifest.json"])  # type: ignore[arg-type]
    for name in item["Layers"]:
        folder = name.partition("/")[0]
        top = name == item["Layers"][-1]
        created = "2024-05-05T05:05:05Z" if top else "1970-01-01T00:00:00Z"
        legacy[f"{folder}/json"] = images.dumps({"id": folder, "created": created})
    return dict(sorted(legacy.items()))


FORMS = {
    "docker-24": docker24_files,
    "docker-25": images.hybrid_files,
    "podman": images.podman_files,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_new_layer_comes_out_of_every_form(form: str, tmp_path: Path):
    base = images.image(BASE, MIDDLE)
    config, diff_ids, tars = saved(FORMS[form](COMMITTED), tmp_path, base)
    assert config == COMMITTED.config
    assert diff_ids == COMMITTED.diff_ids
    assert {diff_id: path.read_bytes() for diff_id, path in tars.items()} == {
        images.digest(NEW): NEW
    }


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_blobs_come_out_plain(compression: str, tmp_path: Path):
    # docker's containerd store saves the base's blobs as they were pulled
    base = images.image(BASE, MIDDLE, compression=compression)
    committed = images.image(BASE, MIDDLE, NEW, compression=compression)
    _, diff_ids, tars = saved(images.hybrid_files(committed), tmp_path, base)
    assert diff_ids == committed.diff_ids
    assert [path.read_bytes() for path in tars.values()] == [NEW]


def test_other_compression_than_the_bases(tmp_path: Path):
    base = images.image(BASE, MIDDLE, compression="zstd")
    committed = images.image(BASE, MIDDLE, NEW, compression="gzip")
    _, _, tars = saved(images.hybrid_files(committed), tmp_path, base)
    assert [path.read_bytes() for path in tars.values()] == [NEW]


@pytest.mark.parametrize("form", FORMS)
def test_without_a_base_all_layers_come(form: str, tmp_path: Path):
    several = 2 if form == "docker-24" else 1
    _, diff_ids, tars = saved(FORMS[form](COMMITTED), tmp_path, calls=several)
    assert tuple(tars) == diff_ids
    assert [path.read_bytes() for path in tars.values()] == [BASE, MIDDLE, NEW]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_new_leaves_nothing(form: str, tmp_path: Path):
    base = images.image(BASE, MIDDLE)
    _, diff_ids, tars = saved(FORMS[form](base), tmp_path, base)
    assert diff_ids == base.diff_ids
    assert tars == {}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_without_layers(form: str, tmp_path: Path):
    _, diff_ids, tars = saved(FORMS[form](images.image()), tmp_path)
    assert (diff_ids, tars) == ((), {})


def test_layers_may_be_null_for_none(tmp_path: Path):
    files = images.podman_files(images.image())
    (item,) = json.loads(files["manifest.json"])  # type: ignore[arg-type]
    files["manifest.json"] = images.manifest_json(item | {"Layers": None})
    assert saved(files, tmp_path)[1] == ()


def test_the_bases_bytes_are_never_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from runcommit_core.oci import saved as module

    kept: list[int] = []
    keep = module._keep

    def spy(chunks: Iterator[bytes], path: Path) -> Path:
        keep(chunks, path)
        kept.append(path.stat().st_size)
        return path

    monkeypatch.setattr(module, "_keep", spy)
    for form, files in FORMS.items():
        folder = tmp_path / form
        folder.mkdir()
        kept.clear()
        saved(files(COMMITTED), folder, images.image(BASE, MIDDLE))
        assert len(NEW) in kept
        assert len(BASE) not in kept, form
        assert len(MIDDLE) not in kept, form


def test_docker_24_repeats_a_layer_as_a_symlink(tmp_path: Path):
    committed = images.image(BASE, MIDDLE, BASE, NEW)
    files = docker24_files(committed)
    assert any(isinstance(content, images.Symlink) for content in files.values())
    _, diff_ids, tars = saved(files, tmp_path, images.image(BASE, MIDDLE, BASE))
    assert diff_ids == committed.diff_ids
    assert [path.read_bytes() for path in tars.values()] == [NEW]


def test_a_new_layer_that_is_a_symlink(tmp_path: Path):
    # two new layers of equal content: the bytes are there once
    committed = images.image(BASE, NEW, NEW)
    engine = Engine(images.legacy_files(committed))
    base = images.image(BASE)
    _, diff_ids, tars = from_archive(
        engine.save, tmp_path, known_blobs=base.diff_ids, known=base.diff_ids
    )
    assert diff_ids == committed.diff_ids
    assert [path.read_bytes() for path in tars.values()] == [NEW]


def test_hard_links_are_followed(tmp_path: Path):
    files = images.podman_files(images.image(BASE))
    name = f"{images.hex_of(BASE)}.tar"
    content = files.pop(name)
    files = {"other.tar": content, name: images.Hardlink("other.tar"), **files}
    assert [path.read_bytes() for path in saved(files, tmp_path)[2].values()] == [BASE]


def test_the_manifest_may_come_first_or_last(tmp_path: Path):
    for place, turned in enumerate((False, True)):
        folder = tmp_path / str(place)
        folder.mkdir()
        files = images.podman_files(COMMITTED)
        items = list(files.items())
        ordered = dict(reversed(items) if turned else items)
        assert len(saved(ordered, folder, images.image(BASE, MIDDLE))[2]) == 1


def test_a_wrong_guess_asks_once_more(tmp_path: Path):
    # of two new layers, docker 24 dates only the upper one
    committed = images.image(BASE, NEW, NEWER)
    _, _, tars = saved(docker24_files(committed), tmp_path, images.image(BASE), calls=2)
    assert {path.read_bytes() for path in tars.values()} == {NEW, NEWER}
    assert list(tars) == [images.digest(NEW), images.digest(NEWER)]


def test_names_that_say_nothing(tmp_path: Path):
    files = images.podman_files(COMMITTED)
    names = [f"{place:03}.tar.gz" for place in range(3)]
    (item,) = json.loads(files["manifest.json"])  # type: ignore[arg-type]
    files |= dict(zip(names, COMMITTED.layers, strict=True))
    files["manifest.json"] = images.manifest_json(item | {"Layers": names})
    _, _, tars = saved(files, tmp_path, images.image(BASE, MIDDLE), calls=2)
    assert [path.read_bytes() for path in tars.values()] == [NEW]


# --- archives that are none


def refused(files: images.Files, folder: Path, match: str) -> None:
    engine = Engine(files)
    with pytest.raises(ArchiveError, match=match):
        from_archive(engine.save, folder, known_blobs=(), known=())


def without(name: str, files: images.Files) -> images.Files:
    return {key: value for key, value in files.items() if key != name}


def test_without_a_manifest(tmp_path: Path):
    refused(without("manifest.json", images.podman_files(COMMITTED)), tmp_path, r"manifest\.json")


def test_without_the_config(tmp_path: Path):
    name = f"{images.hex_of(COMMITTED.config)}.json"
    refused(without(name, images.podman_files(COMMITTED)), tmp_path, name)


def test_without_a_layer(tmp_path: Path):
    name = f"{images.hex_of(NEW)}.tar"
    refused(without(name, images.podman_files(COMMITTED)), tmp_path, name)


@pytest.mark.parametrize(
    ("manifest", "match"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"Config": "c", "Config": "d", "Layers": []}]', "occurs twice"),
        (b"{}", "must be an array"),
        (b'[{"Config": "c", "Layers": {}}]', "where an array must be"),
        (b"[]", "0 images"),
        (b"[null]", "0 images"),
        (b"[1]", "where an object must be"),
        (b'[{"Layers": []}]', "names no config"),
        (b'[{"Config": "c"}]', "c"),
        (b'[{"Config": 1, "Layers": []}]', "Config is a number"),
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, manifest: bytes, match: str):
    refused({"manifest.json": manifest}, tmp_path, match)


def test_several_images(tmp_path: Path):
    files = images.podman_files(COMMITTED)
    (item,) = json.loads(files["manifest.json"])  # type: ignore[arg-type]
    files["manifest.json"] = images.manifest_json(item, item)
    refused(files, tmp_path, "2 images, expected one")


def test_layers_and_diff_ids_must_be_as_many(tmp_path: Path):
    files = images.podman_files(COMMITTED)
    (item,) = json.loads(files["manifest.json"])  # type: ignore[arg-type]
    files["manifest.json"] = images.manifest_json(item | {"Layers": item["Layers"][:2]})
    refused(files, tmp_path, "2 layers with a config of 3 diff_ids")


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"rootfs": {}}', b'{"rootfs": 1}'])
def test_a_config_that_is_none(tmp_path: Path, config: bytes):
    files = images.podman_files(COMMITTED)
    files[f"{images.hex_of(COMMITTED.config)}.json"] = config
    refused(files, tmp_path, "is not an image config")


@pytest.mark.parametrize("form", FORMS)
def test_a_layer_that_is_not_what_the_config_says(form: str, tmp_path: Path):
    lies = images.image(BASE, rootfs={"type": "layers", "diff_ids": [images.digest(NEW)]})
    refused(FORMS[form](lies), tmp_path, images.digest(BASE))


def test_links_in_a_loop(tmp_path: Path):
    files = without("manifest.json", images.podman_files(COMMITTED))
    refused({**files, "manifest.json": images.Symlink("manifest.json")}, tmp_path, "loop of links")


@pytest.mark.parametrize("size", [0, 100, 5000, 60_000])
def test_a_stream_that_breaks_off(tmp_path: Path, size: int):
    data = images.tar_of(images.podman_files(COMMITTED))[:size]
    with pytest.raises(ArchiveError):
        from_archive(
            lambda: contextlib.nullcontext(Unseekable(data)), tmp_path, known_blobs=(), known=()
        )


# --- plain


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd", "xz", "bzip2"])
def test_plain_leaves_nothing_but_the_tar(tmp_path: Path, compression: str):
    stored = tmp_path / "stored"
    stored.write_bytes(images.compress(NEW, compression))
    path = plain(stored, diff_id_of(NEW))
    assert path.read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_plain_verifies(tmp_path: Path, compression: str):
    stored = tmp_path / "stored"
    stored.write_bytes(images.compress(NEW, compression))
    with pytest.raises(ArchiveError, match=images.digest(NEW)):
        plain(stored, diff_id_of(BASE))


def test_plain_refuses_damage(tmp_path: Path):
    stored = tmp_path / "stored"
    stored.write_bytes(images.compress(NEW, "gzip")[:-20])
    with pytest.raises(ArchiveError):
        plain(stored, diff_id_of(NEW))


def diff_id_of(data: bytes) -> DiffId:
    from runcommit_core.tar.digests import DiffId

    return DiffId(images.digest(data))


# --- what was pushed


@dataclass
class Pushed:
    """What a registry has received: an image, of which only some layers travelled."""

    folder: Path
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, Path] = field(default_factory=dict)

    def blob(self, data: bytes) -> str:
        digest = images.digest(data)
        path = self.folder / f"blob-{images.hex_of(data)[:8]}"
        path.write_bytes(data)
        self.blobs[digest] = path
        return digest

    def manifest(self, document: object, *names: str) -> str:
        data = images.dumps(document)
        for name in (images.digest(data), *names):
            self.manifests[name] = data
        return images.digest(data)

    def image(self, config: bytes, layers: list[str], *names: str) -> str:
        return self.manifest(
            {
                "config": {"digest": self.blob(config)},
                "layers": [{"digest": digest} for digest in layers],
            },
            *names,
        )


@pytest.fixture
def pushed(tmp_path: Path) -> Pushed:
    return Pushed(tmp_path)


KNOWN = images.image(BASE, MIDDLE).diff_ids


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_travelled_comes_out_plain(pushed: Pushed, compression: str):
    new = pushed.blob(images.compress(NEW, compression))
    # podman lists the base's layers by diff_id, docker by the digest that it pulled
    pushed.image(COMMITTED.config, [images.digest(BASE), f"sha256:{'1' * 64}", new], "tag")
    config, diff_ids, tars = from_push(pushed.manifests, pushed.blobs, "tag", KNOWN)
    assert (config, diff_ids) == (COMMITTED.config, COMMITTED.diff_ids)
    assert {diff_id: path.read_bytes() for diff_id, path in tars.items()} == {
        images.digest(NEW): NEW
    }


def test_a_no_op_pushes_nothing_new(pushed: Pushed):
    pushed.image(images.image(BASE, MIDDLE).config, list(KNOWN), "tag")
    assert from_push(pushed.manifests, pushed.blobs, "tag", KNOWN)[1:] == (KNOWN, {})


def test_a_new_layer_like_one_of_the_bases_needs_no_bytes(pushed: Pushed):
    again = images.image(BASE, MIDDLE, BASE)
    pushed.image(again.config, [*KNOWN, KNOWN[0]], "tag")
    assert from_push(pushed.manifests, pushed.blobs, "tag", KNOWN)[1:] == (again.diff_ids, {})


def test_a_pushed_index_of_one_image(pushed: Pushed):
    # docker's containerd store pushes an index that also lists what it did not push
    image = pushed.image(COMMITTED.config, [*KNOWN, pushed.blob(NEW)])
    attestation = pushed.manifest({"config": {}, "blobs": []})
    listed = [image, attestation, f"sha256:{'2' * 64}"]
    pushed.manifest({"manifests": [{"digest": digest} for digest in listed]}, "tag")
    _, diff_ids, tars = from_push(pushed.manifests, pushed.blobs, "tag", KNOWN)
    assert diff_ids == COMMITTED.diff_ids
    assert [path.read_bytes() for path in tars.values()] == [NEW]


def push_refused(pushed: Pushed, match: str) -> None:
    with pytest.raises(ArchiveError, match=match):
        from_push(pushed.manifests, pushed.blobs, "tag", KNOWN)


def test_no_manifest_was_pushed(pushed: Pushed):
    pushed.image(COMMITTED.config, list(KNOWN), "another tag")
    push_refused(pushed, "sent no manifest")


def test_the_config_did_not_come(pushed: Pushed):
    pushed.image(COMMITTED.config, list(KNOWN), "tag")
    pushed.blobs.clear()
    push_refused(pushed, images.digest(COMMITTED.config))


@pytest.mark.parametrize("count", [0, 2])
def test_an_index_must_have_one_image(pushed: Pushed, count: int):
    digests = [
        pushed.image(images.image(BASE, settings={"User": str(number)}).config, [])
        for number in range(count)
    ]
    pushed.manifest({"manifests": [{"digest": digest} for digest in digests]}, "tag")
    push_refused(pushed, f"index of {count} images")


@pytest.mark.parametrize(
    "manifest",
    [
        *([], {}, 1, {"config": {}}, {"config": None, "layers": []}, {"manifests": None}),
        *({"manifests": [1]}, {"manifests": [{}]}, {"manifests": [{"digest": []}]}),
    ],
)
def test_a_pushed_manifest_that_is_none(pushed: Pushed, manifest: object):
    pushed.manifest(manifest, "tag")
    push_refused(pushed, "pushed")


def test_a_pushed_manifest_that_is_no_json(pushed: Pushed):
    pushed.manifests["tag"] = b"\xff{"
    push_refused(pushed, "not valid JSON")


def test_layers_of_a_push_must_be_null_or_listed(pushed: Pushed):
    document = {"config": {"digest": pushed.blob(COMMITTED.config)}, "layers": None}
    pushed.manifest(document, "tag")
    push_refused(pushed, "pushed")


def test_a_push_with_too_few_layers(pushed: Pushed):
    pushed.image(COMMITTED.config, list(KNOWN), "tag")
    push_refused(pushed, "2 layers with a config of 3 diff_ids")


def test_pushed_bytes_are_verified(pushed: Pushed):
    pushed.image(COMMITTED.config, [*KNOWN, pushed.blob(NEWER)], "tag")
    push_refused(pushed, images.digest(NEWER))


def test_a_config_without_end_is_not_read(pushed: Pushed):
    pushed.image(b" " * (20 << 20) + COMMITTED.config, list(COMMITTED.diff_ids), "tag")
    with pytest.raises(ArchiveError, match="config of more than"):
        from_push(pushed.manifests, pushed.blobs, "tag", KNOWN)
