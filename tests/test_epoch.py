"""Which SOURCE_DATE_EPOCH a job has."""

from __future__ import annotations

import json
import time

import pytest

from runcommit_core.errors import UsageError
from runcommit_core.request.epoch import choose_epoch

CREATED = b'{"created": "2023-11-14T22:13:20Z"}'


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def created(text: object) -> bytes:
    return json.dumps({"created": text}).encode()


def test_the_order_of_origins(monkeypatch: pytest.MonkeyPatch):
    assert choose_epoch(None, b"{}") == 0
    assert choose_epoch(None, CREATED) == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    assert choose_epoch(None, CREATED) == 1234
    assert choose_epoch(5, CREATED) == 5


def test_zero_is_a_choice(monkeypatch: pytest.MonkeyPatch):
    assert choose_epoch(0, CREATED) == 0
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert choose_epoch(None, CREATED) == 0


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert choose_epoch(None, CREATED) == 1_700_000_000


@pytest.mark.parametrize(
    "text",
    ["x", "1.5", "1e9", " 1", "1 ", "1_000", "+5", "0x10", "١٢", "2023-11-14", "--1", "9" * 5000],
)
def test_a_variable_that_counts_no_seconds(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(UsageError, match="the variable SOURCE_DATE_EPOCH is"):
        choose_epoch(None, CREATED)
    assert choose_epoch(7, CREATED) == 7, "the option rules a variable out"


def test_before_1970(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="the source date epoch is -1"):
        choose_epoch(-1, CREATED)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "-5")
    with pytest.raises(UsageError, match="the variable SOURCE_DATE_EPOCH is -5"):
        choose_epoch(None, CREATED)


def test_the_future_is_refused(monkeypatch: pytest.MonkeyPatch):
    tomorrow = int(time.time()) + 86_400
    with pytest.raises(UsageError, match="future") as caught:
        choose_epoch(tomorrow, CREATED)
    assert caught.value.tip
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(tomorrow))
    with pytest.raises(UsageError, match=r"SOURCE_DATE_EPOCH.*future"):
        choose_epoch(None, CREATED)
    yesterday = tomorrow - 2 * 86_400
    assert choose_epoch(yesterday, CREATED) == yesterday


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "", "yesterday", None, 5, [], {}]
)
def test_a_base_without_a_sensible_date(text: object):
    assert choose_epoch(None, created(text)) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023-11-14T22:13:20.999999999Z", 1_700_000_000),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_dates_of_bases(text: str, seconds: int):
    assert choose_epoch(None, created(text)) == seconds
