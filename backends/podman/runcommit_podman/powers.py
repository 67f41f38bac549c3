"""The capabilities that podman is told to add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core import added_capabilities

if TYPE_CHECKING:
    from runcommit_core import RunOptions

_ROOT = ("", "0", "root")


def powers(run: RunOptions) -> list[str]:
    """Those that docker has and podman has not; none for another user than root.

    To such a user podman gives what is added as effective and ambient capabilities.
    """
    return added_capabilities(run.flags) if run.user.partition(":")[0] in _ROOT else []
