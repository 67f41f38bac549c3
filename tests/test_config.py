from __future__ import annotations

import json
from typing import Any

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.config import (
    base_created,
    checked_config,
    image_config,
    private_config,
    result_config,
    run_defaults,
    with_platform,
)
from runcommit_core.oci.jsondoc import canonical_json
from runcommit_core.oci.platforms import Platform
from runcommit_core.tar.digests import DiffId
from tests import images

A, B = images.layer({"a": b"1"}), images.layer({"b": b"2"})
NEW = DiffId("sha256:" + "f" * 64)
BUSY = {
    "Env": ["PATH=/bin", "ÄÖ=ü"],
    "Entrypoint": ["/entry"],
    "Cmd": ["x"],
    "Volumes": {"/data": {}},
    "Healthcheck": {"Test": ["CMD", "x"], "Interval": 30_000_000_000},
    "OnBuild": ["RUN x"],
    "WorkingDir": "/srv/app",
    "User": "1000:1000",
    "Labels": {"l": "1"},
    "ExposedPorts": {"80/tcp": {}},
    "StopSignal": "SIGINT",
    "Shell": ["/bin/bash", "-c"],
}


def config(**fields: Any) -> bytes:
    return images.image(A, B, settings=BUSY, **fields).config


def test_the_private_config_holds_what_a_run_needs_alone() -> None:
    given = config(variant="v8", **{"os.version": "1", "os.features": ["f"], "author": "me"})
    assert json.loads(private_config(given)) == {
        "architecture": "amd64",
        "os": "linux",
        "variant": "v8",
        "os.version": "1",
        "os.features": ["f"],
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": BUSY["Env"], "WorkingDir": "/srv/app"},
        "rootfs": {"type": "layers", "diff_ids": [images.digest(A), images.digest(B)]},
    }


def test_the_private_config_depends_on_nothing_else() -> None:
    assert private_config(config(author="a", created=None)) == private_config(config(history=None))


def test_what_was_read_of_a_config_is_read_once_and_cannot_be_changed() -> None:
    given = config(**{"os.features": ["f"]})
    read = image_config(given)
    assert image_config(bytes(bytearray(given)), "another place") is read
    whole: Any = read.document
    for place, key in ((whole, "os"), (whole["config"], "User"), (whole["history"][0], "created")):
        with pytest.raises(TypeError):
            place[key] = "other"
    with pytest.raises(AttributeError):
        whole["os.features"].append("other")
    assert canonical_json(whole) == canonical_json(json.loads(given))


def test_run_defaults() -> None:
    defaults = run_defaults(config())
    assert (defaults.user, defaults.workdir) == ("1000:1000", "/srv/app")
    assert defaults.env == ("PATH=/bin", "ÄÖ=ü")
    bare = run_defaults(images.image(A, config=None).config)
    assert (bare.user, bare.workdir, bare.env) == ("", "/", ())


def test_the_result_differs_from_the_base_by_what_is_new() -> None:
    given = config(unknown={"kept": [1.5, None]})
    result = json.loads(
        result_config(given, layers=[NEW], created=1_700_000_000, created_by="c", comment="why")
    )
    expected = json.loads(given)
    expected["created"] = "2023-11-14T22:13:20Z"
    expected["rootfs"]["diff_ids"].append(NEW)
    expected["history"].append(
        {"created": "2023-11-14T22:13:20Z", "created_by": "c", "comment": "why"}
    )
    assert result == expected


def test_the_result_is_compact_sorted_json() -> None:
    result = result_config(config(), layers=[NEW], created=0, created_by="ü", comment="")
    document = json.loads(result)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert result == text.encode()


def test_no_layer_gives_an_empty_history_item() -> None:
    result = json.loads(result_config(config(), layers=[], created=0, created_by="c", comment=""))
    assert result["history"][-1] == {
        "created": "1970-01-01T00:00:00Z",
        "created_by": "c",
        "empty_layer": True,
    }
    assert len(result["rootfs"]["diff_ids"]) == 2


@pytest.mark.parametrize("history", [None, []])
@pytest.mark.parametrize("layers", [[], [NEW]])
def test_a_base_without_history_gets_none(
    history: list[object] | None, layers: list[DiffId]
) -> None:
    given = config(history=history)
    result = json.loads(result_config(given, layers=layers, created=0, created_by="c", comment=""))
    assert not result.get("history")


def test_a_base_without_layers_begins_a_history() -> None:
    given = images.image(history=None, rootfs={"type": "layers"}).config
    result = result_config(given, layers=[NEW], created=0, created_by="c", comment="")
    assert len(json.loads(result)["history"]) == 1
    checked_config(result, "result")


@pytest.mark.parametrize("items", [1, 3])
@pytest.mark.parametrize("layers", [[], [NEW]])
def test_a_history_of_another_length_is_the_bases_plus_ours(
    items: int, layers: list[DiffId]
) -> None:
    """Jib, nixery, rules_oci and many more do not count layers."""
    history = [{"created_by": f"step {number}"} for number in range(items)]
    given = config(history=history)
    result = json.loads(result_config(given, layers=layers, created=0, created_by="c", comment=""))
    assert result["history"][:-1] == history
    assert result["history"][-1]["created_by"] == "c"
    assert result["rootfs"]["diff_ids"] == [images.digest(A), images.digest(B), *layers]


@pytest.mark.parametrize("left_out", [{"os": ""}, {"architecture": None}, {"os": None}])
def test_a_platform_is_filled_in_from_the_first_that_knows(left_out: dict[str, Any]) -> None:
    given = config(**left_out)
    arm = Platform("linux", "arm64", "v9")
    filled = json.loads(with_platform(given, "here", Platform("linux", ""), arm))
    own = "amd64" if "os" in left_out else "arm64"
    assert (filled["os"], filled["architecture"]) == ("linux", own)
    assert with_platform(given, "here", None) == given
    whole = config()
    assert with_platform(whole, "here", arm) == whole


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20.999999999Z", 1_700_000_000),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000),
        ("2023-11-14t22:13:20z", 1_700_000_000),
        ("1969-12-31T23:59:59Z", None),
        ("1969-12-31T23:59:59.5Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("2023-13-14T22:13:20Z", None),
        ("2023-11-14", None),
        ("yesterday", None),
        (17, None),
        (None, None),
    ],
)
def test_base_created(created: object, seconds: int | None) -> None:
    assert base_created(config(created=created)) == seconds


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"rootfs": {"type": "tarsplit", "diff_ids": []}}, "rootfs.type is 'tarsplit'"),
        ({"rootfs": None}, "rootfs.type is None"),
        ({"rootfs": {"type": "layers", "diff_ids": ["sha256:ABC"]}}, "is not sha256: and 64"),
        ({"rootfs": {"type": "layers", "diff_ids": ["sha512:" + "a" * 128]}}, "sha512 is not"),
        ({"rootfs": {"type": "layers", "diff_ids": [7]}}, "7 is not sha256"),
        ({"rootfs": {"type": "layers", "diff_ids": {}}}, "diff_ids is an object"),
        ({"rootfs": []}, "rootfs: is an array"),
        ({"history": {}}, "history is an object"),
        ({"config": {"Env": [1]}}, r"Env\[0\] is a number"),
        ({"os": None}, "lacks os or architecture"),
    ],
)
def test_a_config_against_the_specification(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArchiveError, match=f"here: .*{reason}"):
        checked_config(config(**fields), "here")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b'{"os":"linux","os":"linux"}', "'os' occurs twice"),
        (b'{"a":{"b":1,"b":2}}', "'b' occurs twice"),
        (b'{"a":NaN}', "NaN is no JSON number"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":"\\ud800"}', "not valid JSON"),
        (b'{"a":"\xff"}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"[]", "is an array, where an object must be"),
        (b"{", "not valid JSON"),
        (b" " * (20 * 1024 * 1024 + 1), "more than"),
    ],
)
def test_json_that_is_not_strict(document: bytes, reason: str) -> None:
    with pytest.raises(ArchiveError, match=f"here: .*{reason}"):
        checked_config(document, "here")
