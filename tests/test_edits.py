"""Edits of the config mean what the instructions of a Dockerfile mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runcommit_core.errors import UsageError
from runcommit_core.oci.config import checked_config
from runcommit_core.oci.edits import edited_config
from runcommit_core.request.config_edits import config_edits
from tests import images

EPOCH = 1_700_000_000
MOMENT = "2023-11-14T22:13:20Z"
BUSY = {
    "Env": ["PATH=/bin", "HOME=/root", "EMPTY="],
    "Entrypoint": ["/entry"],
    "Cmd": ["of the base"],
    "Labels": {"kept": "1", "changed": "old"},
    "ExposedPorts": {"80/tcp": {}},
    "WorkingDir": "/srv/app",
    "User": "1000",
    "StopSignal": "SIGINT",
    "Unknown": {"kept": [1]},
}


def edited(settings: dict[str, Any] | None = None, **edits: Any) -> dict[str, Any]:
    """The whole config of an image with one layer after the edits."""
    base = images.image(images.layer({}), settings=BUSY if settings is None else settings)
    config = edited_config(base.config, config_edits(**edits), created=EPOCH, inherited=1)
    checked_config(config, "edited")
    document: dict[str, Any] = json.loads(config)
    return document


def settings_after(settings: dict[str, Any] | None = None, **edits: Any) -> dict[str, Any]:
    found: dict[str, Any] = edited(settings, **edits)["config"]
    return found


def test_what_is_not_edited_stays() -> None:
    before = json.loads(images.image(images.layer({}), settings=BUSY).config)
    after = edited(labels={"new": ""})
    assert after.pop("config") == {**before.pop("config"), "Labels": {**BUSY["Labels"], "new": ""}}
    after["history"].pop()
    assert after == before


def test_variables_are_replaced_in_place_and_appended_in_order() -> None:
    env = {"B": "2", "HOME": "/new", "A": "1"}
    assert settings_after(config_env=env)["Env"] == [
        "PATH=/bin",
        "HOME=/new",
        "EMPTY=",
        "B=2",
        "A=1",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/opt/bin:$PATH", "/opt/bin:/bin"),
        ("${HOME}x", "/rootx"),
        ("$NONE-${NONE}", "-"),
        ("${EMPTY:-word}${NONE:-$}", "word$"),
        ("${HOME:+set}${NONE:+set}", "set"),
        (r"\$HOME \\ $ 5$", r"$HOME \ $ 5$"),
        ("$HOMEx ${HOME", " ${HOME"),
    ],
)
def test_variables_know_the_images_own(value: str, expected: str) -> None:
    assert settings_after(config_env={"X": value})["Env"][-1] == f"X={expected}"


def test_later_variables_know_the_earlier_ones() -> None:
    env = settings_after(config_env={"A": "1", "B": "$A$A"})["Env"]
    assert env[-1] == "B=11"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('["/bin/x", "a b"]', ["/bin/x", "a b"]),
        (["/bin/x", "a b"], ["/bin/x", "a b"]),
        ("exec /bin/x 'a b'", ["/bin/sh", "-c", "exec /bin/x 'a b'"]),
        ("[ -e /x ] && y", ["/bin/sh", "-c", "[ -e /x ] && y"]),
        ("", None),
        ("[]", None),
        ([], None),
    ],
)
def test_words_for_entrypoint_and_cmd(given: Any, words: list[str] | None) -> None:
    assert settings_after(cmd=given).get("Cmd") == words
    assert settings_after(entrypoint=given).get("Entrypoint") == words


def test_the_shell_is_the_images() -> None:
    found = settings_after({"Shell": ["/bin/bash", "-ec"]}, cmd="x")
    assert found["Cmd"] == ["/bin/bash", "-ec", "x"]


def test_an_entrypoint_clears_the_cmd_of_the_base() -> None:
    assert "Cmd" not in settings_after(entrypoint=["/x"])
    assert "Cmd" not in settings_after(entrypoint="")
    assert settings_after(entrypoint=["/x"], cmd=["y"])["Cmd"] == ["y"]
    assert settings_after(cmd=["y"])["Entrypoint"] == ["/entry"]


@pytest.mark.parametrize(
    ("base", "given", "expected"),
    [
        ("/srv/app", "sub/../other", "/srv/app/other"),
        ("/srv/app", "/opt/", "/opt"),
        ("/srv/app", "../../..", "/"),
        ("", "sub", "/sub"),
        ("/srv", "//x", "/x"),
        ("/srv", "", None),
    ],
)
def test_the_workdir_is_relative_to_the_bases(base: str, given: str, expected: str | None) -> None:
    assert settings_after({"WorkingDir": base}, config_workdir=given).get("WorkingDir") == expected


def test_the_user_is_replaced_or_cleared() -> None:
    assert settings_after(config_user="app:app")["User"] == "app:app"
    assert "User" not in settings_after(config_user="")


def test_ports_are_added() -> None:
    found = settings_after(expose=["8080", "53/UDP", "9000-9002/tcp"])["ExposedPorts"]
    assert set(found) == {"80/tcp", "8080/tcp", "53/udp", "9000/tcp", "9001/tcp", "9002/tcp"}
    assert set(settings_after(expose="1")["ExposedPorts"]) == {"80/tcp", "1/tcp"}


def test_each_edit_is_an_item_of_the_history() -> None:
    history = edited(
        config_env={"A": "1 2"},
        labels={"l": "v"},
        config_user="u",
        config_workdir="x",
        expose=["1", "2/udp"],
        entrypoint=["/e", "ü"],
        cmd="c",
        comment="why",
    )["history"]
    told = [item.pop("created_by") for item in history[1:]]
    assert told == [
        "ENV A='1 2'",
        "LABEL l=v",
        "USER u",
        "WORKDIR /srv/app/x",
        "EXPOSE 1/tcp 2/udp",
        'ENTRYPOINT ["/e", "ü"]',
        'CMD ["/bin/sh", "-c", "c"]',
    ]
    assert all(
        item == {"created": MOMENT, "empty_layer": True, "comment": "why"} for item in history[1:]
    )
    assert history[0] == {"created_by": "layer 0"}


@pytest.mark.parametrize(("comment", "expected"), [(None, "runcommit"), ("", None), ("x", "x")])
def test_the_comment_is_on_all_items_of_the_job(comment: str | None, expected: str | None) -> None:
    base = images.image(images.layer({}), images.layer({"a": b""}))
    edits = config_edits(labels={"a": "b"}, comment=comment)
    config = edited_config(base.config, edits, created=0, inherited=1)
    history = json.loads(config)["history"]
    assert [item.get("comment") for item in history] == [None, expected, expected]


def test_the_author_stays_unless_asked_for() -> None:
    assert "author" not in edited(cmd="x")
    assert edited(author="me")["author"] == "me"
    assert len(edited(author="me")["history"]) == 1


def test_a_base_without_history_gets_none() -> None:
    base = images.image(images.layer({}), history=None)
    config = edited_config(base.config, config_edits(cmd="x"), created=0, inherited=0)
    assert "history" not in json.loads(config)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cmd": "['x']"},
        {"entrypoint": "[1]"},
        {"entrypoint": "[" * 100_000},
        {"cmd": '["\udcff"]'},
        {"expose": ["0"]},
        {"expose": ["65536"]},
        {"expose": ["9-8"]},
        {"expose": ["80/icmp"]},
        {"expose": ["http"]},
        {"config_env": {"": "x"}},
        {"config_env": {"a=b": "x"}},
        {"labels": {"": "x"}},
        {"annotations": {"": "x"}},
    ],
)
def test_what_no_config_can_hold(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        config_edits(**wrong)


def test_nothing_asked_for_is_nothing_told() -> None:
    assert config_edits().as_json() == {}
    assert config_edits(cmd="", config_user="").as_json() == {"cmd": (), "user": ""}
