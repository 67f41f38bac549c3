"""Records do what frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from runcommit_core.records import record


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    first: int
    second: str = "two"
    third: list[int] = dataclasses.field(default_factory=list)
    fourth: object = dataclasses.field(default=None, compare=False, repr=False)


@record
class Made:
    first: int
    second: str = "two"
    third: list[int] = dataclasses.field(default_factory=list)
    fourth: object = dataclasses.field(default=None, compare=False, repr=False)


@record(kw_only=True)
class Named:
    """With a docstring."""

    first: int
    second: tuple[int, ...] = ()


@pytest.mark.parametrize("kind", [Plain, Made])
def test_same_as_a_frozen_dataclass(kind: Any):
    value = kind(1, third=[3], fourth=object())
    assert repr(value) == f"{kind.__name__}(first=1, second='two', third=[3])"
    assert value == kind(1, "two", [3])
    assert value != kind(1, "2", [3])
    assert value != (1, "two", [3], None)
    assert kind(1).third is not kind(1).third
    assert hash(kind(1, third=())) == hash(kind(1, third=()))
    assert dataclasses.asdict(kind(1, fourth=4)) == {
        "first": 1, "second": "two", "third": [], "fourth": 4
    }  # fmt: skip
    assert dataclasses.replace(value, first=2, second="x") == kind(2, "x", [3])
    assert copy.deepcopy(value) == value == pickle.loads(pickle.dumps(kind(1, third=[3])))
    assert copy.copy(value).fourth is value.fourth
    match value:
        case kind(first, _, third):
            assert (first, third) == (1, [3])
        case _:
            pytest.fail("does not match by place")
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.first = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del value.first
    with pytest.raises((AttributeError, TypeError)):
        value.other = 2
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("kind", [Plain, Made])
@pytest.mark.parametrize(
    ("args", "given"), [((), {}), ((1, 2, 3, 4, 5), {}), ((1,), {"first": 1}), ((1,), {"x": 1})]
)
def test_wrong_values_are_refused(kind: Any, args: Any, given: Any):
    with pytest.raises(TypeError):
        kind(*args, **given)


def test_only_by_name():
    assert Named(first=1) == Named(first=1, second=())
    assert Named.__doc__ == "With a docstring."
    with pytest.raises(TypeError):
        Named(1)  # type: ignore[misc]
