"""Report and provenance: complete, as their schemas say, and without a secret."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from runcommit_core import run_commit
from runcommit_core.errors import UsageError
from runcommit_core.oci.base import open_base
from runcommit_core.publish.report import metadata
from runcommit_core.testing import bases
from tests import canned, images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runcommit_core import Result

DOCS = Path(__file__).parents[1] / "docs/reference"
SCHEMA = json.loads((DOCS / "metadata.schema.json").read_bytes())
SECRET = "a value that nobody may see"


@pytest.fixture
def base(tmp_path: Path) -> str:
    image = images.image(images.layer({"a": b"1"}), settings={"User": "1000"})
    return f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(image))}"


def job(base: str, **options: Any) -> Result:
    return run_commit(
        base, "true", backend=canned.backend(), console=lambda _: None, cache="off", **options
    )


def checked(told: Mapping[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(told, SCHEMA, jsonschema.Draft202012Validator)
    assert set(told) == set(SCHEMA["properties"]), "the schema and the report differ"


def everything(base: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A job with every option that the report tells of."""
    (folder / "input").mkdir()
    (folder / "input/file").write_text("of a folder")
    (folder / "file").write_text("of a file")
    monkeypatch.setenv("TOKEN", SECRET)
    return job(
        base,
        env={"NAME": SECRET},
        secrets=["id=token,env=TOKEN"],
        inputs=[f"{folder}/input:/in/folder", f"{folder}/file:/in/file"],
        mounts=["type=cache,id=things,target=/cache", "type=tmpfs,target=/tmp/x"],
        workdir="/srv",
        network="none",
        memory="64m",
        cpus=1.5,
        timeout="5m",
        run_flags=["--init"],
        mtime="set",
        exclude="*.bak",
        clean=["apt"],
        compression="gzip",
        config_env={"A": "$HOME"},
        entrypoint="exec x",
        cmd=["y"],
        labels={"l": "1"},
        annotations={"n": "2"},
        config_user="u",
        config_workdir="w",
        expose="80",
        author="me",
        comment="why",
        layer=folder / "layer.tar.gz",
        image=[f"oci:{folder}/image:v1", f"docker-archive:{folder}/image.tar"],
        metadata=folder / "report.json",
        provenance=folder / "provenance.json",
    )


def test_the_least_report_is_as_the_schema_says(base: str) -> None:
    told = metadata(job(base))
    checked(told)
    assert told["request"]["config"] == {}
    assert (told["images"], told["loaded"], told["cache"]) == ([], None, "off")
    assert told["layers"][0]["compressor"] is None


def test_the_full_report_tells_all_and_no_value(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = everything(base, tmp_path, monkeypatch)
    text = (tmp_path / "report.json").read_text()
    told = json.loads(text)
    checked(told)
    assert SECRET not in text + (tmp_path / "provenance.json").read_text()
    asked = told["request"]
    assert asked["commands"] == ["true"]
    assert asked["run"] == {
        "env": ["NAME", "SOURCE_DATE_EPOCH"],
        "user": "1000",
        "workdir": "/srv",
        "network": "none",
        "platform": "",
        "memory": 64 << 20,
        "cpus": 1.5,
        "timeout": 300,
        "flags": ["--init"],
        "mounts": asked["run"]["mounts"],
    }
    mounts = {mount["target"]: mount for mount in asked["run"]["mounts"]}
    assert {target: mount["kind"] for target, mount in mounts.items()} == {
        "/run/secrets/token": "secret",
        "/in/folder": "input",
        "/in/file": "input",
        "/cache": "cache",
        "/tmp/x": "tmpfs",
    }
    assert mounts["/in/file"]["digest"] == {"sha256": hashlib.sha256(b"of a file").hexdigest()}
    assert set(mounts["/in/folder"]["digest"]) == {"runcommitTree"}
    assert asked["layer"]["clean"] == ["apt"]
    assert asked["layer"]["exclude"] == ["*.bak"]
    assert asked["compression"] == "gzip:2"
    assert set(asked["config"]) == set(
        SCHEMA["properties"]["request"]["properties"]["config"]["properties"]
    )
    assert (told["job"], told["source_date_epoch"]) == (result.id, result.epoch)
    assert told["started"] <= told["finished"]


def test_the_layers_digest_is_that_of_its_file(base: str, tmp_path: Path) -> None:
    result = job(base, compression="zstd", layer=tmp_path / "layer.tar.zst")
    stored = (tmp_path / "layer.tar.zst").read_bytes()
    (told,) = metadata(result)["layers"]
    plain = images.zstd.decompress(stored)
    assert told["digest"] == images.digest(stored)
    assert told["diff_id"] == images.digest(plain)
    assert (told["size"], told["uncompressed_size"]) == (len(stored), len(plain))
    assert told["media_type"] == f"{images.OCI_LAYER}+zstd"


def test_the_provenance_is_a_statement_of_slsas_form(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = everything(base, tmp_path, monkeypatch)
    told = json.loads((tmp_path / "provenance.json").read_bytes())
    assert set(told) == {"_type", "subject", "predicateType", "predicate"}
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {one["name"]: one["digest"] for one in told["subject"]}
    layout = open_base(f"oci:{tmp_path}/image:v1")
    assert subjects == {
        f"{tmp_path}/image": _digest(layout.manifest_digest or ""),
        f"{tmp_path}/image.tar": _digest(layout.config_digest),
        "layer 1": _digest(layout.layers[-1].digest),
    }
    definition = told["predicate"]["buildDefinition"]
    assert set(definition) == {
        *("buildType", "externalParameters", "internalParameters", "resolvedDependencies")
    }
    assert re.fullmatch(r"[a-z]+:.+", definition["buildType"])
    assert definition["externalParameters"]["commands"] == ["true"]
    assert definition["externalParameters"]["source_date_epoch"] == result.epoch
    found = {one["name"]: one["digest"] for one in definition["resolvedDependencies"]}
    assert found[base] == _digest(open_base(base).manifest_digest or "")
    assert set(found) == {base, "/in/folder", "/in/file"}
    details = told["predicate"]["runDetails"]
    assert details["metadata"]["invocationId"] == result.id
    assert re.fullmatch(r"[a-z]+:.+", details["builder"]["id"])
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", details["metadata"][key])
        for key in ("startedOn", "finishedOn")
    )


def _digest(text: str) -> dict[str, str]:
    return {"sha256": text.removeprefix("sha256:")}


# --- several images from one run


def test_every_form_holds_the_same_image(base: str, tmp_path: Path) -> None:
    places = [f"{form}:{tmp_path}/{form}:app:v1" for form in FORMS]
    result = job(base, image=places, compression="zstd", labels={"a": "b"})
    read = [open_base(place) for place in places]
    assert len({image.config_digest for image in read}) == 1
    assert len({image.diff_ids for image in read}) == 1
    layout, archive, docker = read
    assert layout.manifest_digest == archive.manifest_digest == result.images[0].manifest_digest
    assert docker.layers[-1].media_type == images.OCI_LAYER
    assert layout.layers[-1].media_type == f"{images.OCI_LAYER}+zstd"


FORMS = ("oci", "oci-archive", "docker-archive")


def test_the_base_shows_in_the_result(tmp_path: Path) -> None:
    layers = (images.layer({"a": b"1"}), images.layer({"b": b"2"}))
    history = [{"created_by": "one"}, {"created_by": "ENV A=1", "empty_layer": True}, {"x": "two"}]
    files: images.Files = {}
    entries = [
        images.add_manifest(
            files,
            images.image(*layers, history=history, author="them", architecture=name, own={"x": 1}),
            annotations={"kept": name, "org.opencontainers.image.created": "of the base"},
        )
        | {"platform": {"os": "linux", "architecture": name}}
        for name in ("s390x", "amd64")
    ]
    index = images.add_index(files, entries)
    images.write_directory(tmp_path / "base", images.with_index(files, [index]))
    job(
        f"oci:{tmp_path}/base",
        platform="linux/amd64",
        image=tmp_path / "image",
        labels={"new": "label"},
    )
    result = open_base(str(tmp_path / "image"))
    manifest = json.loads(result.manifest or b"")
    config = json.loads(result.config)
    assert manifest["mediaType"] == images.OCI_MANIFEST
    assert manifest["annotations"] == {
        "kept": "amd64",
        "org.opencontainers.image.created": config["created"],
        "org.opencontainers.image.base.digest": entries[1]["digest"],
    }
    assert (config["architecture"], config["author"], config["own"]) == ("amd64", "them", {"x": 1})
    assert config["history"][:3] == history
    ours = {"created": config["created"], "comment": "runcommit"}
    assert config["history"][3:] == [
        {**ours, "created_by": "true"},
        {**ours, "created_by": "LABEL new=label", "empty_layer": True},
    ]


def test_equal_jobs_give_equal_bytes(base: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        places = [f"{form}:{tmp_path}/{name}/{form}.tar:app" for form in FORMS[1:]]
        job(base, image=places, compression="gzip", layer=tmp_path / name / "layer.tar.gz")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_failure_leaves_every_output_as_it_was(base: str, tmp_path: Path) -> None:
    images.write_directory(
        tmp_path / "oci", images.oci_files(images.image(images.layer({"old": b""})))
    )
    before = open_base(f"oci:{tmp_path}/oci").config_digest
    (tmp_path / "oci-archive").write_text("old")
    damaged = tmp_path / "base"
    (layer,) = open_base(base).layers
    (damaged / "blobs" / layer.digest.replace(":", "/")).write_bytes(bytes(layer.size))
    with pytest.raises(Exception, match="digest"):
        job(base, image=[f"oci:{tmp_path}/oci", f"oci-archive:{tmp_path}/oci-archive"])
    assert open_base(f"oci:{tmp_path}/oci").config_digest == before
    assert (tmp_path / "oci-archive").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"base", "oci", "oci-archive"}


def test_the_default_form_and_paths_that_are_no_text(base: str, tmp_path: Path) -> None:
    job(base, image=tmp_path / "a:b", image_format="oci-archive")
    assert open_base(f"oci-archive:{tmp_path}/a:b").layers


@pytest.mark.usefixtures("machine")
def test_split_layers_are_compressed_each(base: str, tmp_path: Path) -> None:
    busybox = bases.busybox(tmp_path / "busybox")
    from runcommit_core.testing import scratch

    result = run_commit(
        busybox.ref,
        ["echo 1 > /one", "echo 2 > /two"],
        backend=scratch,
        split=True,
        compression="gzip",
        layer=tmp_path / "layer.tar.gz",
        image=tmp_path / "image",
    )
    assert [layer.path.name for layer in result.layers] == ["layer.1.tar.gz", "layer.2.tar.gz"]
    stored = [images.digest(layer.path.read_bytes()) for layer in result.layers]
    assert stored == [layer.digest for layer in open_base(str(tmp_path / "image")).layers[1:]]
    assert not (tmp_path / "layer.tar.gz").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cmd": "x"}, "no image is asked for"),
        ({"load": "x"}, "loads no images"),
        ({"load": "UPPER"}, "no name of an image"),
        ({"load": "--all"}, "no name of an image"),
        ({"image": "oci:"}, "names no path"),
        ({"image": "docker-archive:x:UPPER"}, "no name of an image"),
        ({"image": ["{}/x", "oci-archive:{}/x"]}, "two outputs"),
        ({"image": "oci-archive:{}/no/such"}, "there is no folder"),
        ({"image_format": "dir", "image": "x"}, "no image format"),
        ({"compression": "xz"}, "no compression"),
    ],
)
def test_wishes_without_a_meaning(
    base: str, tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    fill = str(tmp_path)
    given = {
        key: [each.replace("{}", fill) for each in value]
        if isinstance(value, list)
        else value.replace("{}", fill)
        for key, value in wrong.items()
    }
    with pytest.raises(UsageError, match=words):
        job(base, **given)
