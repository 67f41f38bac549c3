"""Frozen dataclasses that are cheap to define.

``dataclasses`` compiles six functions for a frozen class, half a millisecond each time a process
starts; a job needs some sixty such classes, which together took a tenth of it.  A record is a
dataclass all the same (``fields``, ``replace``, ``asdict``, ``match``), whose functions are shared
instead of compiled: to define takes a tenth, to make an instance three times as long.  So what is
made for each file of a layer stays a plain dataclass.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: type[Any] | None = None, /, *, kw_only: bool = False) -> Any:
    """Make a class what ``@dataclass(frozen=True, slots=True)`` would make it."""
    define = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)

    def made(cls: type[Any]) -> type[Any]:
        made = define(cls)
        for name, function in _SHARED.items():
            setattr(made, name, function)
        return made

    return made if cls is None else made(cls)


def _init(self: Any, /, *args: Any, **given: Any) -> None:
    fields = dataclasses.fields(self)
    by_place = [field.name for field in fields if not field.kw_only]
    if len(args) > len(by_place):
        raise TypeError(f"{_name(self)} takes {len(by_place)} values by place, not {len(args)}")
    values = dict(zip(by_place, args, strict=False))
    if twice := values.keys() & given.keys():
        raise TypeError(f"{_name(self)} is given {', '.join(sorted(twice))} twice")
    values |= given
    for field in fields:
        name = field.name
        if name in values:
            value = values.pop(name)
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            raise TypeError(f"{_name(self)} needs {name}")
        object.__setattr__(self, name, value)
    if values:
        raise TypeError(f"{_name(self)} has no {', '.join(values)}")


def _repr(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{_name(self)}({', '.join(shown)})"


def _eq(self: Any, other: object) -> bool:
    same = other.__class__ is self.__class__
    return _compared(self) == _compared(other) if same else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _refuse(self: Any, name: str, *_value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"{_name(self)} cannot be changed: {name}")


def _reduce(self: Any) -> tuple[Any, ...]:
    values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    return _again, (type(self), values)


_SHARED = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__reduce__": _reduce,
}


def _again(cls: type[T], values: dict[str, Any]) -> T:
    return cls(**values)


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, field.name) for field in dataclasses.fields(self) if field.compare)


def _name(self: object) -> str:
    return type(self).__qualname__
