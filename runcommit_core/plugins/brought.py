"""What a backend may bring besides its steps: attributes of the module, or object, that it is.

``runcommit_priority``, a number: ``auto`` tries backends of lower ones first.  Those that come with
runcommit stand at 0, in an order of their own; one that does not say is tried last.

``runcommit_variables``, a sequence of names: the environment variables that choose the engine, or
what of it.  ``runcommit prune`` looks into a killed job's engine as the job had them.  Without it
they are guessed by their names, such as ``…_HOST`` and ``…_CONTEXT``.

``runcommit_cures``, a mapping from regular expressions to words: what to do about known failures,
by what the engine says of them.  Letter case does not matter; the first that is found counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from runcommit_core.engine.choosing import note_variables
from runcommit_core.engine.cures import consult
from runcommit_core.errors import BackendContractError

LAST = float("inf")


def note_brought(backend: object, name: str) -> None:
    """Keep variables and cures of a backend for when they are needed.

    Raises BackendContractError for attributes that are not of their types.
    """
    variables = getattr(backend, "runcommit_variables", None)
    if variables is not None:
        if isinstance(variables, str) or not _are_words(variables, Sequence):
            raise _wrong(name, "runcommit_variables", "a sequence of names")
        note_variables(name, variables)
    cures = getattr(backend, "runcommit_cures", {})
    if not _are_words(cures, Mapping) or not _are_words(list(cures.values()), Sequence):
        raise _wrong(name, "runcommit_cures", "a mapping from regular expressions to words")
    try:
        consult(name, cures)
    except re.error as error:
        raise _wrong(name, "runcommit_cures", f"regular expressions ({error})") from error


def priority_of(backend: object) -> float:
    """Where ``auto`` has this backend; LAST for one that does not say."""
    priority = getattr(backend, "runcommit_priority", LAST)
    return priority if isinstance(priority, int | float) else LAST


def _are_words(value: object, kind: type) -> bool:
    return isinstance(value, kind) and all(isinstance(word, str) for word in value)  # type: ignore[attr-defined]


def _wrong(name: str, attribute: str, what: str) -> BackendContractError:
    return BackendContractError(f"{attribute} of backend {name!r} must be {what}")
