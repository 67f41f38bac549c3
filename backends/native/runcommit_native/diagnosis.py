"""What ``runcommit doctor`` says of this machine."""

from __future__ import annotations

from runcommit_core import Finding, space_finding
from runcommit_native import store
from runcommit_native.modes import mode_here


def findings() -> list[Finding]:
    """The mode, and where the store is."""
    return [_mode(), space_finding("store space", store.folder())]


def _mode() -> Finding:
    return Finding("ok", "identity", f"containers run as {mode_here().name}")
