from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci import platforms
from runcommit_core.oci.base import is_engine_reference, open_base
from runcommit_core.oci.inspect import image_id, last_layer
from runcommit_core.oci.model import BaseImage, Compression
from runcommit_core.oci.regions import digest_of, open_layer, open_region
from tests import images
from tests.images import Files, Hardlink, Image, Symlink

if TYPE_CHECKING:
    from collections.abc import Callable

    from runcommit_core.tar.digests import Digest

A = images.layer({"a": b"1" * 5000})
B = images.layer({"b": b"2"})
FORMS: dict[str, Callable[[Image], Files]] = {
    "oci": images.oci_files,
    "hybrid": images.hybrid_files,
    "oci_load": images.oci_load_files,
    "named": images.named_files,
    "legacy": images.legacy_files,
    "podman": images.podman_files,
}
STORES_PLAIN = {"legacy", "podman"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def amd64_host(monkeypatch: pytest.MonkeyPatch) -> None:
    host = platforms.Platform("linux", "amd64")
    monkeypatch.setattr("runcommit_core.oci.candidates.host_platform", lambda: host)


def layout(path: Path, files: Files) -> str:
    return f"oci:{images.write_directory(path / 'base', files)}"


def archive(path: Path, files: Files, **how: Any) -> str:
    return str(images.write_archive(path / "base.tar", files, **how))


def refused(reference: str, reason: str, **options: Any) -> ArchiveError:
    with pytest.raises(ArchiveError, match=reason) as caught:
        open_base(reference, **options)
    return caught.value


def assert_holds(base: BaseImage, image: Image) -> None:
    """The base is the image, and the bytes are where it says."""
    assert base.config == image.config
    assert base.config_digest == images.digest(image.config)
    assert base.diff_ids == image.diff_ids
    for layer, plain, stored in zip(base.layers, image.layers, image.stored, strict=True):
        assert layer.compression == image.compression
        assert (layer.digest, layer.size) == (images.digest(stored), len(stored))
        assert layer.region is not None
        with open_region(layer.region) as stream:
            assert digest_of(stream) == (layer.digest, layer.size)
        with open_layer(layer) as stream:
            assert stream.read() == plain


# -- every form ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", ["directory", "none", "gzip", "zstd", "xz", "bzip2"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("form", FORMS)
def test_a_bare_path_is_read_whatever_it_holds(
    tmp_path: Path, form: str, compression: str, wrapped: str
) -> None:
    image = images.image(A, B, A, compression="none" if form in STORES_PLAIN else compression)
    files = FORMS[form](image)
    if wrapped == "directory":
        reference = str(images.write_directory(tmp_path / "base", files))
    else:
        reference = archive(tmp_path, files, wrapped=wrapped, prefix="./")
    assert_holds(open_base(reference), image)


def test_a_layout_keeps_its_manifest(tmp_path: Path) -> None:
    image = images.image(A, compression="gzip")
    files = images.oci_files(image)
    base = open_base(layout(tmp_path, files))
    manifest = json.loads(base.manifest or b"")
    assert manifest["layers"][0]["digest"] == base.layers[0].digest
    assert base.manifest_digest == images.digest(base.manifest or b"")
    assert base.manifest_media_type == images.OCI_MANIFEST
    assert base.layers[0].media_type == images.OCI_LAYER + "+gzip"


def test_docker_media_types_are_kept(tmp_path: Path) -> None:
    files = images.oci_files(images.image(A, compression="gzip"), docker_types=True)
    base = open_base(layout(tmp_path, files))
    assert base.manifest_media_type == images.DOCKER_MANIFEST
    assert base.layers[0].media_type == images.DOCKER_LAYER + ".gzip"


def test_a_manifest_may_leave_out_its_media_type(tmp_path: Path) -> None:
    files: Files = {}
    entry = images.add_manifest(files, images.image(A), mediaType=None)
    base = open_base(layout(tmp_path, images.with_index(files, [entry])))
    assert base.manifest_media_type == images.OCI_MANIFEST


def test_a_docker_archive_has_no_manifest(tmp_path: Path) -> None:
    base = open_base(archive(tmp_path, images.legacy_files(images.image(A))))
    assert base.manifest is None
    assert base.manifest_digest is None


def test_an_image_without_layers(tmp_path: Path) -> None:
    image = images.image(history=None, rootfs={"type": "layers"})
    assert open_base(archive(tmp_path, images.hybrid_files(image))).layers == ()


def test_the_compression_is_told_by_the_bytes_not_by_the_type(tmp_path: Path) -> None:
    files: Files = {}
    image = images.image(A)
    wrong = images.add_blob(files, A, images.OCI_LAYER + "+zstd")
    entry = images.add_manifest(files, image, layers=[wrong])
    (layer,) = open_base(layout(tmp_path, images.with_index(files, [entry]))).layers
    assert layer.compression is Compression.NONE
    assert layer.media_type.endswith("+zstd")


def test_bazel_links_blobs_to_other_outputs(tmp_path: Path) -> None:
    image = images.image(A, compression="gzip")
    files = images.oci_files(image)
    name = images.blob(image.stored[0])
    (tmp_path / "elsewhere").write_bytes(image.stored[0])
    files[name] = Symlink("../../../elsewhere")
    reference = layout(tmp_path, files)
    assert_holds(open_base(reference), image)
    (tmp_path / "elsewhere").unlink()
    error = refused(reference, "is a symbolic link to ../../../elsewhere, which does not exist")
    assert "runfiles" in error.tip


def test_embedded_data_serves_manifest_and_config(tmp_path: Path) -> None:
    image = images.image(A)
    files: Files = {}
    config = images.add_blob(files, image.config, images.OCI_CONFIG)
    config["data"] = base64.b64encode(image.config).decode()
    entry = images.add_manifest(files, image, config=config)
    manifest = files.pop(images.blob_of(entry))
    assert isinstance(manifest, bytes)
    del files[images.blob(image.config)]
    entry["data"] = base64.b64encode(manifest).decode()
    assert_holds(open_base(layout(tmp_path, images.with_index(files, [entry]))), image)


@pytest.mark.parametrize(("size", "reason"), [(1, "embedded data has"), (30_000_000, "more than")])
def test_embedded_data_of_another_size(tmp_path: Path, size: int, reason: str) -> None:
    image = images.image(A)
    files: Files = {}
    config = images.add_blob(files, image.config, images.OCI_CONFIG)
    config |= {"data": base64.b64encode(image.config).decode(), "size": size}
    entry = images.add_manifest(files, image, config=config)
    refused(layout(tmp_path, images.with_index(files, [entry])), reason)


def test_a_layer_cannot_be_embedded(tmp_path: Path) -> None:
    image = images.image(A)
    files: Files = {}
    embedded = images.add_blob({}, A, images.OCI_LAYER)
    embedded["data"] = base64.b64encode(A).decode()
    entry = images.add_manifest(files, image, layers=[embedded])
    del files[images.blob(A)]
    refused(layout(tmp_path, images.with_index(files, [entry])), "embedded in the descriptor")


def test_a_config_may_be_missing_where_another_image_serves(tmp_path: Path) -> None:
    files: Files = {}
    gone = images.image(B, author="gone")
    entries = [images.add_manifest(files, images.image(A)), images.add_manifest(files, gone)]
    del files[images.blob(gone.config)]
    reference = layout(tmp_path, images.with_index(files, entries))
    assert open_base(reference).diff_ids == (images.digest(A),)
    refused(f"{reference}:@1", "the config .* is not among the blobs")


def test_a_blob_that_is_a_directory(tmp_path: Path) -> None:
    image = images.image(A)
    reference = layout(tmp_path, images.oci_files(image))
    path = tmp_path / "base" / images.blob(A)
    path.unlink()
    path.mkdir()
    refused(reference, "is no regular file")


# -- names -----------------------------------------------------------------------------------


def two(tmp_path: Path) -> tuple[str, Image, Image]:
    first, second = images.image(A), images.image(B)
    files = images.oci_files(first, second, names=("v1", "example.com/x:v2"))
    index = json.loads(bytes(files["index.json"]))  # type: ignore[arg-type]
    index["manifests"][1]["annotations"]["io.containerd.image.name"] = "docker.io/library/y:v3"
    files["index.json"] = images.dumps(index)
    return layout(tmp_path, files), first, second


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (":v1", 0),
        (":example.com/x:v2", 1),
        (":v2", 1),
        (":docker.io/library/y:v3", 1),
        (":y:v3", 1),
        (":@0", 0),
        (":@1", 1),
    ],
)
def test_a_name_selects(tmp_path: Path, name: str, place: int) -> None:
    reference, *both = two(tmp_path)
    assert_holds(open_base(reference + name), both[place])


@pytest.mark.parametrize("separator", ["@", ":@"])
def test_a_digest_selects(tmp_path: Path, separator: str) -> None:
    reference, _, second = two(tmp_path)
    digest = open_base(f"{reference}:v2").manifest_digest
    assert_holds(open_base(f"{reference}{separator}{digest}"), second)


def test_an_exact_name_comes_before_a_tag(tmp_path: Path) -> None:
    first, second = images.image(A), images.image(B)
    files = images.oci_files(first, second, names=("example.com/x:v1", "v1"))
    assert_holds(open_base(layout(tmp_path, files) + ":v1"), second)


def test_several_images_without_a_name_are_listed(tmp_path: Path) -> None:
    reference, _, _ = two(tmp_path)
    error = refused(reference, "several images for linux/amd64")
    assert "v1" in str(error)
    assert "example.com/x:v2" in str(error)


@pytest.mark.parametrize("name", [":v9", "@sha256:" + "0" * 64, ":@7", ":@x"])
def test_an_unknown_name(tmp_path: Path, name: str) -> None:
    reference, _, _ = two(tmp_path)
    refused(reference + name, r"holds no image|has no entry number")


def test_one_manifest_under_two_names_is_one_image(tmp_path: Path) -> None:
    image = images.image(A)
    files = images.oci_files(image, image, names=("a", "b"))
    assert_holds(open_base(layout(tmp_path, files)), image)


def test_a_path_may_hold_colons(tmp_path: Path) -> None:
    files = images.oci_files(images.image(A), names=("v1",))
    images.write_directory(tmp_path / "a:b" / "c", files)
    for reference in (f"oci:{tmp_path}/a:b/c", f"oci:{tmp_path}/a:b/c:v1", f"{tmp_path}/a:b/c:v1"):
        assert open_base(reference).diff_ids == (images.digest(A),)


# -- platforms -------------------------------------------------------------------------------


def entry_for(
    files: Files, architecture: str, variant: str | None = None, *, stated: bool = True
) -> dict[str, Any]:
    image = images.image(
        images.layer({f"{architecture}{variant}": b""}), architecture=architecture, variant=variant
    )
    entry = images.add_manifest(files, image)
    if stated:
        platform = {"os": "linux", "architecture": architecture, "variant": variant}
        entry["platform"] = {key: value for key, value in platform.items() if value}
    return entry


def architecture(base: BaseImage) -> str:
    config = json.loads(base.config)
    return "/".join(filter(None, (config["architecture"], config.get("variant"))))


@pytest.mark.parametrize("stated", [True, False])
def test_the_platform_selects_from_nested_indexes(tmp_path: Path, stated: bool) -> None:
    files: Files = {}
    entries = [
        entry_for(files, "amd64", stated=stated),
        entry_for(files, "arm64", "v8", stated=stated),
        entry_for(files, "arm", "v6", stated=stated),
        entry_for(files, "arm", "v7", stated=stated),
    ]
    inner = images.add_index(files, entries)
    reference = layout(tmp_path, images.with_index(files, [images.add_index(files, [inner])]))
    assert architecture(open_base(reference)) == "amd64"
    for wanted, found in [
        ("linux/amd64", "amd64"),
        ("linux/arm64", "arm64/v8"),
        ("aarch64", "arm64/v8"),
        ("linux/arm", "arm/v7"),
        ("linux/arm/v6", "arm/v6"),
    ]:
        assert architecture(open_base(reference, platform=wanted)) == found
    error = refused(reference, "no image for linux/s390x", platform="linux/s390x")
    assert "linux/arm/v6" in str(error)


def test_any_variant_serves_when_none_is_wanted(tmp_path: Path) -> None:
    files: Files = {}
    entries = [entry_for(files, "amd64", "v3"), entry_for(files, "arm64")]
    reference = layout(tmp_path, images.with_index(files, entries))
    assert architecture(open_base(reference)) == "amd64/v3"


def test_the_only_image_is_taken_whatever_its_platform(tmp_path: Path) -> None:
    files: Files = {}
    reference = layout(tmp_path, images.with_index(files, [entry_for(files, "s390x")]))
    assert architecture(open_base(reference)) == "s390x"
    refused(reference, "no image for linux/amd64", platform="linux/amd64")


def test_a_docker_archive_of_another_platform(tmp_path: Path) -> None:
    reference = archive(tmp_path, images.legacy_files(images.image(A, architecture="arm64")))
    assert open_base(reference, platform="linux/arm64/v8").layers
    refused(reference, "no image for linux/amd64; it holds\n  linux/arm64", platform="linux/amd64")


SILENT = [{"architecture": ""}, {"architecture": None}, {"architecture": None, "os": None}]


@pytest.mark.parametrize("fields", SILENT)
def test_a_config_without_a_platform_has_that_of_the_index(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    files: Files = {}
    entry = images.add_manifest(files, images.image(A, **fields))
    entry["platform"] = {"os": "linux", "architecture": "arm64", "variant": "v9"}
    base = open_base(layout(tmp_path, images.with_index(files, [entry])))
    assert architecture(base) == "arm64/v9"
    assert json.loads(base.config)["os"] == "linux"
    assert base.layers


@pytest.mark.parametrize("form", ["oci", "legacy"])
@pytest.mark.parametrize("fields", SILENT)
def test_a_config_without_a_platform_has_the_one_asked_for(
    tmp_path: Path, form: str, fields: dict[str, Any]
) -> None:
    reference = archive(tmp_path, FORMS[form](images.image(A, **fields)))
    error = refused(reference, "lacks os or architecture")
    assert "--platform linux/amd64" in error.tip
    assert architecture(open_base(reference, platform="linux/s390x")) == "s390x"


def test_a_platform_said_in_halves(tmp_path: Path) -> None:
    files: Files = {}
    entry = images.add_manifest(files, images.image(A, architecture="", os="linux"))
    entry["platform"] = {"architecture": "amd64", "os": ""}
    reference = layout(tmp_path, images.with_index(files, [entry]))
    assert architecture(open_base(reference)) == "amd64"
    refused(reference, "no image for linux/arm64", platform="linux/arm64")


def test_manifests_of_other_platforms_may_be_missing(tmp_path: Path) -> None:
    files: Files = {}
    entries = [entry_for(files, "amd64"), entry_for(files, "arm64")]
    del files[images.blob_of(entries[1])]
    reference = layout(tmp_path, images.with_index(files, [images.add_index(files, entries)]))
    assert architecture(open_base(reference)) == "amd64"


def test_what_is_no_container_image_is_left_out(tmp_path: Path) -> None:
    files: Files = {}
    image = entry_for(files, "amd64")
    attestation = images.add_manifest(files, images.image(B), annotations={"a": "1"})
    attestation["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    unknown = images.add_manifest(files, images.image(B), annotations={"a": "2"})
    unknown["platform"] = {"os": "unknown", "architecture": "unknown"}
    artifact = images.add_manifest(files, images.image(B), artifactType="application/x")
    chart = images.add_blob(files, b"{}", "application/vnd.cncf.helm.config.v1+json")
    helm = images.add_manifest(files, images.image(B), config=chart)
    others = [attestation, unknown, artifact, helm]
    assert_is = open_base(layout(tmp_path, images.with_index(files, [*others, image])))
    assert architecture(assert_is) == "amd64"
    images.write_directory(tmp_path / "base", images.with_index({}, others))
    error = refused(f"oci:{tmp_path / 'base'}", "holds no container image")
    for reason in ("an attestation", "unknown platform", "application/x", "helm"):
        assert reason in str(error)


def test_indexes_nest_only_so_deep(tmp_path: Path) -> None:
    files: Files = {}
    entry = entry_for(files, "amd64")
    for _ in range(7):
        entry = images.add_index(files, [entry])
    reference = layout(tmp_path, images.with_index(files, [entry]))
    assert architecture(open_base(reference)) == "amd64"
    entry = images.add_index(files, [entry])
    images.write_directory(tmp_path / "base", images.with_index(files, [entry]))
    refused(reference, "nested more than 8 deep")


def test_an_index_of_indexes_is_walked_once(tmp_path: Path) -> None:
    files: Files = {}
    entry = entry_for(files, "amd64")
    for _ in range(7):
        entry = images.add_index(files, [entry] * 50)
    assert architecture(open_base(layout(tmp_path, images.with_index(files, [entry])))) == "amd64"


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armv7l", "linux/arm"),
        ("armv6l", "linux/arm/v6"),
        ("riscv64", "linux/riscv64"),
    ],
)
def test_the_platform_of_the_host(
    machine: str, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = os.uname_result(("Linux", "host", "6", "1", machine))
    monkeypatch.setattr(os, "uname", lambda: facts)
    assert str(platforms.host_platform()) == platform


def test_a_platform_that_is_none() -> None:
    with pytest.raises(UsageError, match="is not a platform"):
        open_base("oci:x", platform="linux//v7")


# -- layouts that are wrong --------------------------------------------------------------------


def image_files(**manifest: Any) -> tuple[Files, Image]:
    image = images.image(A, compression="gzip")
    files: Files = {}
    entry = images.add_manifest(files, image, **manifest)
    return images.with_index(files, [entry]), image


def test_a_missing_layer(tmp_path: Path) -> None:
    files, image = image_files()
    del files[images.blob(image.stored[0])]
    refused(layout(tmp_path, files), f"layer {images.digest(image.stored[0])} is not among")


def test_a_layer_of_another_size(tmp_path: Path) -> None:
    files, image = image_files()
    files[images.blob(image.stored[0])] = image.stored[0][:-1]
    refused(layout(tmp_path, files), "but the descriptor of the layer says")


def test_a_foreign_layer(tmp_path: Path) -> None:
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": images.digest(b"foreign"),
        "size": 7,
        "urls": ["https://example.com/layer"],
    }
    files, _ = image_files(layers=[foreign])
    error = refused(layout(tmp_path, files), "points to .*example.com/layer")
    assert "non-distributable" in error.tip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mediaType": images.OCI_LAYER + "+encrypted"}, "is encrypted"),
        ({"digest": "sha512:" + "0" * 128}, "sha512 is not supported"),
        ({"digest": "sha256:../../../etc/passwd"}, "is not sha256"),
        ({"digest": None}, "is not sha256"),
        ({"size": -1}, "which is no byte count"),
        ({"size": "7"}, "which is no byte count"),
        ({"size": True}, "which is no byte count"),
        ({"data": "!"}, "is not base64"),
    ],
)
def test_a_layer_descriptor_that_is_wrong(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    stored = images.compress(A, "gzip")
    good = {"mediaType": "x", "digest": images.digest(stored), "size": len(stored)}
    files, _ = image_files(layers=[good | change])
    refused(layout(tmp_path, files), reason)


@pytest.mark.parametrize("what", ["config", "manifest"])
@pytest.mark.parametrize("damage", ["other bytes", "other size", "missing"])
def test_config_and_manifest_are_verified(tmp_path: Path, what: str, damage: str) -> None:
    files, image = image_files()
    index = json.loads(bytes(files["index.json"]))  # type: ignore[arg-type]
    path = images.blob(image.config) if what == "config" else images.blob_of(index["manifests"][0])
    data = files.pop(path)
    assert isinstance(data, bytes)
    if damage != "missing":
        files[path] = data + b" " if damage == "other size" else data.replace(b"layer", b"LAYER")
    reasons = {"other bytes": "have the digest", "other size": "says", "missing": "is not among"}
    refused(layout(tmp_path, files), f"{what}.*{reasons[damage]}|{reasons[damage]}")


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ({"layers": []}, "lists 0 layers, but its config has 1"),
        ({"manifests": []}, "is both an index and a manifest"),
        ({"layers": None, "config": None}, "is neither an index nor a manifest"),
        ({"layers": None, "config": None, "schemaVersion": 1}, "docker's schema 1"),
        ({"mediaType": images.OCI_INDEX}, "contradicts its content"),
        ({"layers": {}}, "layers is an object"),
    ],
)
def test_a_manifest_that_is_wrong(tmp_path: Path, manifest: dict[str, Any], reason: str) -> None:
    files, _ = image_files(**manifest)
    refused(layout(tmp_path, files), reason)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("oci-layout", None, "has no oci-layout"),
        ("index.json", None, "has no index.json"),
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "must be '1.0.0'"),
        ("index.json", b"{", "index.json: is not valid JSON"),
        ("index.json", b'{"manifests":[],"manifests":[]}', "occurs twice"),
        ("index.json", b'{"manifests":[]}', "holds no container image"),
        ("index.json", b'{"manifests":[7]}', "is a number"),
    ],
)
@pytest.mark.parametrize("form", ["oci", "oci-archive"])
def test_a_layout_that_is_wrong(
    tmp_path: Path, form: str, name: str, content: bytes | None, reason: str
) -> None:
    files, _ = image_files()
    del files[name]
    if content is not None:
        files[name] = content
    if form == "oci":
        refused(layout(tmp_path, files), reason)
    else:
        refused(f"oci-archive:{archive(tmp_path, files)}", reason)


@pytest.mark.parametrize("compression", ["xz", "bzip2"])
def test_a_layer_compressed_as_none_may_be(tmp_path: Path, compression: str) -> None:
    image = images.image(A, compression=compression)
    refused(layout(tmp_path, images.oci_files(image)), f"compressed with {compression}")


# -- docker archives ---------------------------------------------------------------------------


def test_a_repeated_layer_may_be_a_hardlink(tmp_path: Path) -> None:
    image = images.image(A, B, A)
    files = images.legacy_files(image)
    linked: Files = {
        name: Hardlink(content.target.removeprefix("../"))
        if isinstance(content, Symlink)
        else content
        for name, content in files.items()
    }
    assert any(isinstance(content, Hardlink) for content in linked.values())
    assert_holds(open_base(archive(tmp_path, linked)), image)


def test_links_may_lead_to_links(tmp_path: Path) -> None:
    image = images.image(A)
    files = images.podman_files(image)
    legacy = next(name for name in files if name.endswith("/layer.tar"))
    names = [legacy, *(f"l{place}" for place in range(6))]
    for place, name in enumerate(names[:-1]):
        files[names[place + 1]] = Symlink(name)
    config = f"{images.hex_of(image.config)}.json"
    files["manifest.json"] = images.manifest_json(images.entry(config, [names[-1]], None))
    assert_holds(open_base(archive(tmp_path, files)), image)


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ({"x": Symlink("y"), "y": Symlink("x")}, "more than 8 links"),
        ({"x": Symlink("gone")}, "x: is a link to gone"),
        ({"x": Symlink("../../etc/passwd")}, "is a link to ../../etc/passwd"),
        ({"x": Symlink("/etc/passwd")}, "is a link to /etc/passwd"),
    ],
)
def test_links_that_lead_nowhere(tmp_path: Path, links: Files, reason: str) -> None:
    image = images.image(A)
    config = f"{images.hex_of(image.config)}.json"
    manifest = images.manifest_json(images.entry(config, ["x"], None))
    refused(archive(tmp_path, {config: image.config, "manifest.json": manifest, **links}), reason)


def several(tmp_path: Path) -> tuple[str, Image, Image]:
    first, second = images.image(A), images.image(B)
    files = images.named_files(first) | {"b": B, "second.json": second.config}
    files["manifest.json"] = images.manifest_json(
        None,
        images.entry(images.digest(first.config), ["000.tar.gz"], ["example.com/x:v1"]),
        images.entry("second.json", ["b"], None),
        images.entry("second.json", ["b"], ["y:v2", "y:latest"]),
    )
    return f"docker-archive:{archive(tmp_path, files)}", first, second


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("example.com/x:v1", 0),
        ("v1", 0),
        ("y:v2", 1),
        ("y", 1),
        ("docker.io/library/y:v2", 1),
        ("@1", 0),
        ("@2", 1),
    ],
)
def test_a_name_selects_from_a_docker_archive(tmp_path: Path, name: str, place: int) -> None:
    reference, *both = several(tmp_path)
    assert_holds(open_base(f"{reference}:{name}"), both[place])


def test_a_config_digest_selects_from_a_docker_archive(tmp_path: Path) -> None:
    reference, _, second = several(tmp_path)
    assert_holds(open_base(f"{reference}@{images.digest(second.config)}"), second)


def test_several_images_in_a_docker_archive_are_listed(tmp_path: Path) -> None:
    reference, _, _ = several(tmp_path)
    error = refused(reference, "holds several images")
    assert "@2  no name" in str(error)
    refused(f"{reference}:v9", "holds no image 'v9'")
    refused(f"{reference}:@0", "holds no image '@0'")


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"[]", "holds no image"),
        (b"[null]", "holds no image"),
        (b'[{"Layers":[]}]', "has no Config"),
        (b'[{"Config":"gone","Layers":[]}]', "has no gone"),
        (b'[{"Config":7}]', "Config is a number"),
        (b"[7]", "is a number"),
        (b"[", "not valid JSON"),
        (b'[{"Config":"config","Layers":["gone"]}]', "the layer gone is not in the archive"),
        (b'[{"Config":"config","Layers":[]}]', "lists 0 layers, but config has 1"),
        (b'[{"Config":"config","Config":"b"}]', "occurs twice"),
    ],
)
def test_a_docker_manifest_that_is_wrong(tmp_path: Path, manifest: bytes, reason: str) -> None:
    files: Files = {"config": images.image(A).config, "manifest.json": manifest}
    refused(archive(tmp_path, files), reason)


def test_blobs_of_a_docker_archive_that_are_named_wrongly(tmp_path: Path) -> None:
    image = images.image(A)
    files = images.oci_load_files(image)
    wrong = images.blob(b"other")
    files[wrong] = image.config
    names = [f"{images.blob(A)}.tar.gz"]
    files["manifest.json"] = images.manifest_json(images.entry(wrong, names, None))
    refused(archive(tmp_path, files), "the bytes have the digest")
    files[wrong] = A
    config = images.blob(image.config)
    files["manifest.json"] = images.manifest_json(images.entry(config, [wrong], None))
    refused(archive(tmp_path, files), "its name should be its diff_id")


def test_a_hybrid_archive_is_read_as_oci_unless_that_is_incomplete(tmp_path: Path) -> None:
    image = images.image(A, compression="gzip")
    files = images.hybrid_files(image)
    reference = archive(tmp_path, files)
    manifest_digest = open_base(reference).manifest_digest
    assert manifest_digest
    assert open_base(f"docker-archive:{reference}").manifest_digest is None
    del files[f"blobs/sha256/{manifest_digest.removeprefix('sha256:')}"]
    base = open_base(archive(tmp_path, files))
    assert base.manifest_digest is None
    assert_holds(base, image)
    refused(f"oci-archive:{reference}", "is not among the blobs")


def test_a_compressed_layer_is_hashed_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images.image(A, B, compression="gzip")
    reference = archive(tmp_path, images.named_files(image))
    read: list[object] = []

    def hashing(stream: BinaryIO) -> tuple[Digest, int]:
        read.append(stream)
        return digest_of(stream)

    monkeypatch.setattr("runcommit_core.oci.stored_digest.digest_of", hashing)
    assert_holds(open_base(reference), image)
    assert len(read) == 2
    assert_holds(open_base(reference), image)
    assert len(read) == 2
    facts = Path(reference).stat()
    os.utime(reference, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert_holds(open_base(reference), image)
    assert len(read) == 4
    for count, damaged in enumerate((b"no JSON", b"[]", b"[" * 100_000), 3):
        (cache / "digests.json").write_bytes(damaged)
        assert_holds(open_base(reference), image)
        assert len(read) == 2 * count


def test_an_unusable_cache_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    image = images.image(A, compression="gzip")
    assert_holds(open_base(archive(tmp_path, images.named_files(image))), image)


# -- what is no image --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty", b"", "is an empty file"),
        ("Dockerfile", b"FROM x\n", "is a Dockerfile"),
        ("notes", b"text\n", "is a text file"),
        ("index.json", b'{"schemaVersion":2}', "is a JSON file"),
        ("program", b"\x7fELF" + bytes(600), "is a program"),
        ("junk", b"\1\2\0" * 400, "is no tar"),
        ("layer.tar", A, "is a tar without oci-layout"),
        ("layer.tar.gz", images.compress(A, "gzip"), "is a tar without oci-layout"),
        ("layer.tar.zst", images.compress(A, "zstd"), "is a tar without oci-layout"),
        ("text.gz", images.compress(b"text\n", "gzip"), "is gzip-compressed and inside a text"),
        ("cut.gz", images.compress(A, "gzip")[:20], "truncated"),
        ("none.tar", bytes(10240), "is a tar without oci-layout"),
        ("old.tar", images.tar_of({"repositories": b"{}"}), "docker before 1.10"),
        ("dir.tar", images.tar_of({"manifest.json": b"{}"}), "manifest.json is not docker's"),
    ],
)
def test_a_file_that_is_no_image(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(str(tmp_path / name), f"{name}.*{reason}")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"manifest.json": b"{}", "version": b"1.1"}, "skopeo's dir: form"),
        ({"Dockerfile": b"FROM x"}, "build context"),
        ({"etc/passwd": b"", "usr/bin/x": b""}, "is a root file system"),
        ({"other": b""}, "without oci-layout and index.json"),
    ],
)
def test_a_directory_that_is_no_image(tmp_path: Path, files: Files, reason: str) -> None:
    error = refused(str(images.write_directory(tmp_path / "base", files)), reason)
    assert "engine:REF" in error.tip


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(str(tmp_path / "pipe"), "is no regular file")


def test_a_truncated_archive(tmp_path: Path) -> None:
    path = Path(archive(tmp_path, images.hybrid_files(images.image(A))))
    path.write_bytes(path.read_bytes()[:3000])
    refused(str(path), "base.tar")


def test_a_kind_that_the_path_is_not(tmp_path: Path) -> None:
    image = images.image(A)
    directory = images.write_directory(tmp_path / "base", images.oci_files(image))
    docker = archive(tmp_path, images.legacy_files(image))
    oci = images.write_archive(tmp_path / "oci.tar", images.oci_files(image))
    assert "oci:" in refused(f"oci-archive:{directory}", "is a directory").tip
    assert "archive" in refused(f"oci:{docker}", "is a file").tip
    assert "docker-archive:" in refused(f"oci-archive:{docker}", "has no index.json").tip
    assert "oci-archive:" in refused(f"docker-archive:{oci}", "has no manifest.json").tip


def test_a_path_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused("oci:none:v1", "none: there is no such file")
    assert "engine:debian:12" in refused("debian:12", "debian: there is no such").tip
    (tmp_path / "link").symlink_to("gone")
    refused("link", "No such file")


@pytest.mark.parametrize("reference", ["docker://x", "dir:/x", "oci:", "engine:x", ""])
def test_a_reference_of_another_form(reference: str) -> None:
    with pytest.raises(UsageError):
        open_base(reference)


def test_engine_references() -> None:
    assert is_engine_reference("engine:debian:12")
    assert not is_engine_reference("oci:engine:")


# -- facts for the command line ----------------------------------------------------------------


def test_last_layer_and_image_id(tmp_path: Path) -> None:
    image = images.image(A, B, compression="gzip")
    reference = layout(tmp_path, images.oci_files(image))
    base, layer = last_layer(reference)
    assert layer == base.layers[1]
    found = image_id(reference)
    assert found.config_digest == images.digest(image.config)
    assert found.manifest_digest == base.manifest_digest
    empty = images.image(history=None, rootfs={"type": "layers"})
    with pytest.raises(ArchiveError, match="has no layers"):
        last_layer(archive(tmp_path, images.hybrid_files(empty)))
