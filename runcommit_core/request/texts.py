"""Words that reach a container: engines carry them as JSON, which is text."""

from __future__ import annotations

from runcommit_core.errors import UsageError


def check_text(what: str, word: str) -> None:
    """Refuse bytes that are not UTF-8: every engine would replace them, and say nothing."""
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} holds bytes that are not UTF-8, which engines replace",
            tip="let the command make them, as printf '\\377' does, or mount a file that has them",
        ) from error
