"""An output is what its name says, and takes nobody else's away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runcommit_core import UsageError, run_commit
from runcommit_core.oci.base import open_base
from runcommit_core.oci.keeping import keep_others
from runcommit_core.oci.references import checked_base
from runcommit_core.request.request import requested
from tests import canned, images
from tests.test_cli import runcommit

if TYPE_CHECKING:
    from pathlib import Path

ONE = images.image(images.layer({"old": b"old"}))


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(ONE))}"


@pytest.mark.parametrize(
    ("name", "compression", "cure"),
    [
        ("x.tar.gz", "none", "--compression gzip"),
        ("x.TGZ", "zstd", "--compression gzip"),
        ("x.tar.zst", "gzip:9", "--compression zstd"),
        ("x.tar.xz", "none", ".tar"),
    ],
)
def test_a_name_that_promises_another_compression_is_refused(
    base: str, name: str, compression: str, cure: str
):
    with pytest.raises(UsageError, match="not what that name says") as caught:
        requested(base, "x", layer=name, compression=compression)
    assert cure in caught.value.tip


@pytest.mark.parametrize(
    ("name", "compression"),
    [("x.tar.gz", "gzip"), ("x.tgz", "gzip:1"), ("x.tar.zst", "zstd"), ("x", "gzip"), ("x", "none"),
     ("x.tar", "none"), ("x.gz/layer", "none")],
)  # fmt: skip
def test_a_name_that_keeps_its_promise(base: str, name: str, compression: str):
    assert requested(base, "x", layer=name, compression=compression).outputs.layer


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar:v1"])
def test_a_directory_is_not_called_like_an_archive_by_chance(base: str, name: str):
    with pytest.raises(UsageError, match="is a directory") as caught:
        requested(base, "x", image=name)
    assert f"oci-archive:{name}" in caught.value.tip
    for form in ("oci", "oci-archive", "docker-archive"):
        assert requested(base, "x", image=f"{form}:{name}").outputs.images
    assert requested(base, "x", image=name, image_format="oci-archive").outputs.images


@pytest.mark.parametrize("name", ["--help", "-v", "", "a b", "a\nb", "\x1b[31m", "x" * 600])
def test_an_engines_image_is_no_option_of_the_engines(name: str):
    with pytest.raises(UsageError, match="no name of an image") as caught:
        checked_base(f"engine:{name}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name", ["debian:12", "a", "0123abcdef", "h:5000/a/b@sha256:00", "docker://a/b", "sha256:00"]
)
def test_names_that_engines_have(name: str):
    assert checked_base(f"engine:{name}") == f"engine:{name}"


def test_an_option_as_a_base_starts_no_engine():
    done = runcommit("run", "-b", "podman", "engine:--help", "-c", "true")
    assert done.returncode == 2
    assert "no name of an image" in done.errors


def job(base: str, place: Path, name: str, text: str) -> str:
    result = run_commit(
        base, [text], backend=canned.backend(), image=f"oci:{place}{name}",
        labels={"text": text},
    )  # fmt: skip
    return result.images[0].manifest_digest


def names(layout: Path) -> list[str]:
    index = json.loads((layout / "index.json").read_bytes())
    return [
        entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "")
        for entry in index["manifests"]
    ]


def test_a_second_name_keeps_the_first(base: str, tmp_path: Path):
    place = tmp_path / "image"
    first, second = (job(base, place, f":{name}", name) for name in ("one", "two"))
    assert names(place) == ["one", "two"]
    assert open_base(f"oci:{place}:one").manifest_digest == first
    assert open_base(f"oci:{place}:two").manifest_digest == second
    third = job(base, place, ":one", "three")
    assert names(place) == ["two", "one"]
    assert open_base(f"oci:{place}:one").manifest_digest == third
    assert not (place / "blobs" / first.replace(":", "/")).exists()
    job(base, place, "", "none")
    assert names(place) == [""], "an image without a name is the only one, as ever"


def test_images_of_an_index_and_what_is_lacking_are_kept(tmp_path: Path):
    old, new = tmp_path / "old", tmp_path / "new"
    other = images.image(images.layer({"b": b"b"}), architecture="arm64")
    files: dict[str, bytes] = {}
    both = images.add_index(files, [images.add_manifest(files, one) for one in (ONE, other)])
    images.write_directory(old, images.with_index(files, [both]))
    images.write_directory(new, images.oci_files(ONE))
    (old / images.blob(other.stored[0])).unlink()
    before = {path.name for path in (old / "blobs" / "sha256").iterdir()}
    keep_others(new, old, "x")
    after = {path.name for path in (new / "blobs" / "sha256").iterdir()}
    assert before <= after
    assert len(names(new)) == len(names(old)) + 1
