from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.base import open_base
from runcommit_core.oci.config import result_config
from runcommit_core.oci.dockertar import archive_stream
from runcommit_core.oci.model import BaseImage, BaseLayer
from runcommit_core.oci.output import NewLayer, WrittenImage, write_layout
from runcommit_core.oci.regions import open_layer
from runcommit_core.tar.digests import DiffId, Digest
from tests import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.images import Files

A = images.layer({"a": b"1" * 5000})
B = images.layer({"b": b"2"})
NEW = images.layer({"new": b"3"})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def new(tmp_path: Path) -> NewLayer:
    path = tmp_path / "new.tar"
    path.write_bytes(NEW)
    digest = images.digest(NEW)
    return NewLayer(path, DiffId(digest), Digest(digest), len(NEW), images.OCI_LAYER)


def open_files(tmp_path: Path, files: Files) -> BaseImage:
    return open_base(str(images.write_directory(tmp_path / "base", files)))


def write(destination: Path, base: BaseImage, new: NewLayer, **options: Any) -> WrittenImage:
    config = result_config(
        base.config, layers=[new.diff_id], created=0, created_by="test", comment=""
    )
    return write_layout(destination, base, [new], config, **({"name": None} | options))


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def manifest_of(written: WrittenImage) -> dict[str, Any]:
    document = json.loads(written.manifest)
    assert isinstance(document, dict)
    return document


# -- layouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_the_layout_is_the_base_and_the_new_layer(
    tmp_path: Path, new: NewLayer, compression: str
) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A, B, A, compression=compression)))
    written = write(tmp_path / "out", base, new, name="v1")
    result = open_base(f"oci:{tmp_path / 'out'}:v1")
    assert result.diff_ids == (*base.diff_ids, new.diff_id)
    assert [layer.digest for layer in result.layers[:-1]] == [one.digest for one in base.layers]
    assert result.manifest == written.manifest
    assert result.manifest_digest == written.manifest_digest
    with open_layer(result.layers[-1]) as stream:
        assert stream.read() == NEW
    before = json.loads(base.manifest or b"")["layers"]
    assert manifest_of(written)["layers"][:-1] == before


def test_the_base_is_named_by_its_digest_and_its_annotations_stay(
    tmp_path: Path, new: NewLayer
) -> None:
    prefix = "org.opencontainers.image."
    annotations = {
        "mine": "1",
        f"{prefix}base.name": "older",
        f"{prefix}base.digest": "older",
        f"{prefix}created": "2020-01-01T00:00:00Z",
    }
    files: Files = {}
    entry = images.add_manifest(files, images.image(A), annotations=annotations)
    base = open_files(tmp_path, images.with_index(files, [entry]))
    written = write(tmp_path / "out", base, new, annotations={"more": "2"})
    assert manifest_of(written)["annotations"] == {
        "mine": "1",
        "more": "2",
        f"{prefix}base.digest": base.manifest_digest,
        f"{prefix}created": "1970-01-01T00:00:00Z",
    }


def test_docker_stays_docker(tmp_path: Path, new: NewLayer) -> None:
    image = images.image(A, compression="gzip")
    base = open_files(tmp_path, images.oci_files(image, docker_types=True))
    manifest = manifest_of(write(tmp_path / "out", base, new))
    assert manifest["mediaType"] == images.DOCKER_MANIFEST
    assert manifest["config"]["mediaType"] == images.DOCKER_CONFIG
    assert [layer["mediaType"] for layer in manifest["layers"]] == [
        images.DOCKER_LAYER + ".gzip",
        images.DOCKER_LAYER,
    ]
    assert "annotations" not in manifest
    assert open_base(str(tmp_path / "out")).manifest_media_type == images.DOCKER_MANIFEST


@pytest.mark.parametrize("wrapped", ["none", "gzip"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_docker_archive_becomes_oci(
    tmp_path: Path, new: NewLayer, compression: str, wrapped: str
) -> None:
    files = images.named_files(images.image(A, B, compression=compression))
    path = images.write_archive(tmp_path / "base.tar", files, wrapped=wrapped)
    written = write(tmp_path / "out", open_base(str(path)), new)
    suffix = "" if compression == "none" else f"+{compression}"
    types = [layer["mediaType"] for layer in manifest_of(written)["layers"]]
    assert types == [images.OCI_LAYER + suffix, images.OCI_LAYER + suffix, images.OCI_LAYER]
    assert "annotations" not in manifest_of(written)
    result = open_base(str(tmp_path / "out"))
    for layer, plain in zip(result.layers, (A, B, NEW), strict=True):
        with open_layer(layer) as stream:
            assert stream.read() == plain


def test_the_index_tells_platform_and_name(tmp_path: Path, new: NewLayer) -> None:
    base = open_files(
        tmp_path, images.oci_files(images.image(A, architecture="arm64", variant="v8"))
    )
    written = write(tmp_path / "out", base, new, name="v1")
    assert json.loads((tmp_path / "out/index.json").read_bytes()) == {
        "schemaVersion": 2,
        "mediaType": images.OCI_INDEX,
        "manifests": [
            {
                "mediaType": images.OCI_MANIFEST,
                "digest": written.manifest_digest,
                "size": len(written.manifest),
                "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"},
                "annotations": {images.REF_NAME: "v1"},
            }
        ],
    }


def test_equal_input_gives_equal_bytes_and_nothing_else(tmp_path: Path, new: NewLayer) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A, B, compression="gzip")))
    write(tmp_path / "one", base, new)
    write(tmp_path / "two", base, new)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert len(tree(tmp_path / "one")) == 7
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_no_new_layer(tmp_path: Path) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    config = result_config(base.config, layers=[], created=0, created_by="x", comment="")
    write_layout(tmp_path / "out", base, [], config, name=None)
    assert open_base(str(tmp_path / "out")).diff_ids == base.diff_ids


def test_blobs_of_the_base_are_shared_even_through_links(tmp_path: Path, new: NewLayer) -> None:
    image = images.image(A)
    files = images.oci_files(image)
    source = tmp_path / "elsewhere"
    source.write_bytes(A)
    source.chmod(0o444)
    files[images.blob(A)] = images.Symlink(str(source))
    write(tmp_path / "out", open_files(tmp_path, files), new)
    assert (tmp_path / "out" / images.blob(A)).samefile(source)
    assert stat.S_IMODE(source.stat().st_mode) == 0o444
    assert not (tmp_path / "out" / images.blob(NEW)).samefile(new.path)


def test_blobs_are_copied_where_links_are_not_possible(
    tmp_path: Path, new: NewLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    base = open_files(tmp_path, images.oci_files(images.image(A)))
    monkeypatch.setattr(os, "link", link)
    write(tmp_path / "out", base, new)
    assert (tmp_path / "out" / images.blob(A)).read_bytes() == A
    (tmp_path / "base" / images.blob(A)).write_bytes(A.replace(b"1", b"0"))
    with pytest.raises(ArchiveError, match="have the digest"):
        write(tmp_path / "other", base, new)
    assert not (tmp_path / "other").exists()


def test_layers_in_the_engine_are_fetched(tmp_path: Path, new: NewLayer) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    remote = without_regions(base)
    write(tmp_path / "out", remote, new, fetch=lambda _: io.BytesIO(A))
    assert (tmp_path / "out" / images.blob(A)).read_bytes() == A
    with pytest.raises(ArchiveError, match="have the digest"):
        write(tmp_path / "other", remote, new, fetch=lambda _: io.BytesIO(bytes(len(A))))
    with pytest.raises(ArchiveError, match="engine alone"):
        write(tmp_path / "other", remote, new)


def without_regions(base: BaseImage) -> BaseImage:
    layers = tuple(
        BaseLayer(one.diff_id, one.digest, one.size, one.media_type, one.compression, None)
        for one in base.layers
    )
    return BaseImage(
        base.name,
        base.config,
        base.config_digest,
        layers,
        base.manifest,
        base.manifest_media_type,
        base.manifest_digest,
    )


@pytest.mark.parametrize("before", ["nothing", "empty directory", "layout", "link to a layout"])
def test_a_layout_is_replaced(tmp_path: Path, new: NewLayer, before: str) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    out = tmp_path / "out"
    if before == "empty directory":
        out.mkdir()
    elif before == "layout":
        images.write_directory(out, images.oci_files(images.image(B)))
    elif before == "link to a layout":
        images.write_directory(tmp_path / "real", images.oci_files(images.image(B)))
        out.symlink_to("real")
    write(out, base, new)
    assert open_base(str(out)).diff_ids == (images.digest(A), images.digest(NEW))
    assert images.blob(B) not in tree(out)
    assert out.is_symlink() is (before == "link to a layout")


def test_the_base_itself_may_be_replaced(tmp_path: Path, new: NewLayer) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    write(tmp_path / "base", base, new)
    assert len(open_base(str(tmp_path / "base")).layers) == 2


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_anything_else_is_not_replaced(tmp_path: Path, new: NewLayer, kind: str) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    out = tmp_path / "out"
    precious = out if kind == "file" else out / "precious"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("precious")
    with pytest.raises(UsageError, match="is no OCI layout, so it is not replaced"):
        write(out, base, new)
    assert precious.read_text() == "precious"


def test_a_failure_leaves_what_was_there(tmp_path: Path, new: NewLayer) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    out = images.write_directory(tmp_path / "out", images.oci_files(images.image(B)))
    before = tree(out)
    new.path.write_bytes(NEW + b"more")
    with pytest.raises(ArchiveError, match="has no longer"):
        write(out, base, new)
    assert tree(out) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


# -- archives ----------------------------------------------------------------------------------


def stream(base: BaseImage, **options: Any) -> bytes:
    return b"".join(archive_stream(base.config, base.layers, **({"name": "x"} | options)))


def saved(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "sent.tar"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_the_stream_is_an_archive_of_both_kinds(
    tmp_path: Path, compression: str, kind: str
) -> None:
    image = images.image(A, B, A, compression=compression)
    base = open_files(tmp_path, images.oci_files(image))
    path = saved(tmp_path, stream(base, name="example.com/x:v1", zstd=True))
    result = open_base(f"{kind}:{path}:example.com/x:v1")
    assert result.config == image.config
    assert [layer.digest for layer in result.layers] == [layer.digest for layer in base.layers]
    assert path.stat().st_size % 10240 == 0


def test_zstd_layers_are_sent_plain_to_those_who_cannot_read_them(tmp_path: Path) -> None:
    image = images.image(A, B, compression="zstd")
    base = open_files(tmp_path, images.oci_files(image))
    result = open_base(str(saved(tmp_path, stream(base))))
    assert [layer.digest for layer in result.layers] == [*image.diff_ids]


def test_containerd_gets_the_name_as_docker_spells_it(tmp_path: Path) -> None:
    # docker with the containerd store lists an image under a shorter name, but does not find it
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    named = {"app": "docker.io/library/app:latest", "x.org/app:1": "x.org/app:1"}
    for name, full in named.items():
        with tarfile.open(saved(tmp_path, stream(base, name=name))) as tar:
            entry = json.load(tar.extractfile("index.json") or io.BytesIO())["manifests"][0]
        assert entry["annotations"]["io.containerd.image.name"] == full


def test_the_name_gets_a_tag(tmp_path: Path) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    path = saved(tmp_path, stream(base, name="localhost:5000/x"))
    assert open_base(f"docker-archive:{path}:localhost:5000/x:latest").layers


def test_equal_input_gives_an_equal_stream(tmp_path: Path) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A, B)))
    data = stream(base)
    assert data == stream(base)
    names = [member.name for member in members(data)]
    assert names == sorted(names)
    assert {(member.mtime, member.uid, member.gid) for member in members(data)} == {(0, 0, 0)}


def members(data: bytes) -> Iterator[Any]:
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        yield from tar.getmembers()


def test_layers_that_the_engine_has_are_named_but_not_sent(tmp_path: Path) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A, B)))
    data = stream(base, include=lambda layer: layer != base.layers[0])
    names = {member.name for member in members(data)}
    assert images.blob(B) in names
    assert images.blob(A) not in names
    assert "index.json" not in names
    path = saved(tmp_path, data)
    with pytest.raises(ArchiveError, match=f"the layer {images.blob(A)} is not in"):
        open_base(str(path))


def test_damaged_layers_are_not_sent_to_the_end(tmp_path: Path) -> None:
    base = open_files(tmp_path, images.oci_files(images.image(A)))
    (tmp_path / "base" / images.blob(A)).write_bytes(bytes(len(A)))
    with pytest.raises(ArchiveError, match="have the digest"):
        stream(base)


def test_layers_in_the_engine_cannot_be_sent(tmp_path: Path) -> None:
    base = without_regions(open_files(tmp_path, images.oci_files(images.image(A))))
    with pytest.raises(ArchiveError, match="engine alone"):
        stream(base)
    assert stream(base, include=lambda _: False)
