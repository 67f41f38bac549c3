"""The part of the contract about bases that are none, and containers that are kept on demand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from runcommit_core.testing.declared import refused
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.ends import BAD_ARCHIVE, COMMAND_FAILED
from runcommit_core.testing.expectations import expect, expect_end, expect_said, expect_success

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

_BASE = Duty(
    "load",
    "let errors of job.transport.deliver pass, whatever the engine said of them; where the layers'"
    " bytes go past the transport, compare their digests with job.base's",
)
_KEPT = Duty(
    "run",
    "push the container's removal on job.containers, not on job.cleanup, and let leftovers list"
    " it with the kind 'container'; or leave the step enter"
    " out, and the backend lacks --keep-on-failure",
)


class FailureContract:
    """What goes wrong, and how that is told."""

    def test_a_base_that_is_none(self, bench: Bench) -> None:
        wrong = bench.folder / "wrong.tar"
        wrong.write_bytes(bases.busybox_layer())
        ran = bench.job(wrong, "-c", "true")
        expect_said(expect_end(ran, BAD_ARCHIVE, _BASE), "wrong.tar", duty=_BASE)

    def test_a_base_that_lies_about_a_layer(self, bench: Bench) -> None:
        # one of a kind, so that neither the engine nor the index has seen it
        tar = bytearray(bases.file_layer("unique", os.urandom(4096)))
        layers = [bases.busybox_layer(), bytes(tar)]
        other = bases.write_layout(bench.folder / "other", layers)
        tar[600] ^= 1
        (other.path / "blobs" / other.diff_ids[1].replace(":", "/")).write_bytes(bytes(tar))
        ran = bench.job(other.ref, "-c", "true")
        expect_said(expect_end(ran, BAD_ARCHIVE, _BASE), other.diff_ids[1][:19], duty=_BASE)

    def test_a_failed_container_is_kept_on_demand(self, bench: Bench, base: bases.Base) -> None:
        before = bench.resources()
        ran = bench.job(base.ref, "--keep-on-failure", "-c", "exit 3")
        if refused(bench, ran, "keep-on-failure"):
            return
        expect_said(expect_end(ran, COMMAND_FAILED, _KEPT), "is kept", duty=_KEPT)
        kept = bench.resources() - before
        expect(kept, "the container to be kept", _KEPT, seen="it is gone")
        leftovers = Duty("leftovers", "list the container of a job by its id, kept or not")
        expect_success(bench.run("prune", "--kept"), leftovers)
