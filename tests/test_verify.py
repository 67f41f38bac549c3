"""``--verify`` finds what a backend has lost."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

import pytest

from runcommit_core import BackendContractError, Image, Job, SavedImage, hookimpl, run_commit
from runcommit_core.testing import bases, scratch

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ["echo x > /data/added", "rm /data/deleted", "chmod 600 /data/chmoded"]


@hookimpl
def save(job: Job, image: Image) -> SavedImage:
    return SavedImage(b"", job.base.diff_ids, ())


def forgetful() -> types.SimpleNamespace:
    """The scratch backend, but for a ``save`` that loses all changes."""
    steps = {name: getattr(scratch, name) for name in ("describe", "load", "run", "commit", "root")}
    return types.SimpleNamespace(**steps, save=save)


@pytest.mark.usefixtures("machine")
def test_lost_changes_are_told(tmp_path: Path) -> None:
    base = bases.busybox(tmp_path / "base")
    assert run_commit(base.ref, COMMANDS, backend=forgetful()).layers == ()
    with pytest.raises(BackendContractError) as caught:
        run_commit(base.ref, COMMANDS, backend=forgetful(), verify=True)
    told = str(caught.value).splitlines()[1:]
    assert told == ["  added data/added", "  changed data/chmoded", "  removed data/deleted"]


@pytest.mark.usefixtures("machine")
def test_nothing_lost_is_no_error(tmp_path: Path) -> None:
    base = bases.busybox(tmp_path / "base")
    result = run_commit(base.ref, COMMANDS, backend=scratch, verify=True)
    assert len(result.layers) == 1
    assert list(result.seconds)[-2:] == ["root", "verify"]
