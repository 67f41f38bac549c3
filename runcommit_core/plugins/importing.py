"""Objects by the names that entry points have for them."""

from __future__ import annotations

import importlib
from typing import Any


def imported(target: str) -> object:
    """What ``target`` names: ``package.module`` or ``package.module:object[.attribute]``.

    Raises whatever the module raises, which may be anything; ImportError where there is no such
    module, AttributeError where it has no such object.
    """
    module_name, _, attributes = target.partition(":")
    value: Any = importlib.import_module(module_name)
    for name in filter(None, attributes.split(".")):
        value = getattr(value, name)
    return value
