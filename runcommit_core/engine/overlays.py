"""What stores are worth to us that storage.conf describes: changes must be overlay's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runcommit_core.interface.findings import Finding, overlay_finding

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_native(status: Mapping[str, str] | None) -> bool:
    """Whether overlay itself, and no comparison, tells the changes.

    ``status`` is the ``GraphStatus`` that the engine tells; vfs has none.
    """
    return (status or {}).get("Native Overlay Diff") == "true"


def finding(store: Mapping[str, Any], *, rootless: bool, then: str) -> Finding:
    """What the doctor finds of a store, in the engine's own words for it.

    ``then`` is what to do after a change of its configuration.
    """
    # one engine writes GraphStatus, another graphStatus
    facts = {key.lower(): value for key, value in store.items()}
    return overlay_finding(
        facts["graphdrivername"],
        native=is_native(facts["graphstatus"]),
        options=facts["graphoptions"],
        rootless=rootless,
        then=then,
    )
