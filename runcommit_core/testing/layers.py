"""The part of the contract about a plain job's layer: what changed, in the same bytes each time."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from runcommit_core.testing.bench import image_config
from runcommit_core.testing.declared import refused
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.expectations import (
    each,
    expect,
    expect_content,
    expect_diff_id,
    expect_equal,
    expect_member,
    expect_no_file,
    expect_paths,
    expect_said,
    expect_success,
)

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

CHANGES = (
    "echo new > /data/added",
    "echo other > /data/changed",
    "rm /data/deleted",
    "chmod 600 /data/chmoded",
    "ln -s changed /data/link",
    "rm -r /data/tree",
)
CHANGES_DIFF_ID = "sha256:721ee9400039d2748a269163485606445fa7747995bf5be42f16266d60e6e85d"
"""The layer of CHANGES, whichever busybox made them: no byte of the base is in it."""

CHANGED = {
    "data",
    "data/.wh.deleted",
    "data/.wh.tree",
    "data/added",
    "data/changed",
    "data/chmoded",
    "data/link",
}
_BYTES = Duty(
    "save",
    "leave the layer's bytes to the core's extract, and the modes, owners and times of the files as"
    " the command left them: `runcommit layer show` of this layer and of another backend's differ",
)
_FRESH = Duty(
    "run",
    "begin each run with a new container on the unchanged copy of the base, and leave that copy as"
    " it was",
)
_NOTHING = Duty(
    "save", "an image without changes has no layer, or an empty one: compare with job.base.diff_ids"
)
_WAYS = Duty(
    "load",
    "call job.transport.deliver(pull=…, load=…) in load, and in save collect(…) if the image was"
    " committed: each with both ways, the archive's as complete as the registry's",
)

_REGISTRY = Duty(
    "load",
    "pull and push where job.transport asks for it; or declare Lack('registry', reason), and leave"
    " pull and push out",
)


class LayerContract:
    """What every layer is."""

    def test_the_layer_holds_exactly_what_changed(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        diff_id = expect_diff_id(bench.job(base.ref, *each(CHANGES), "-o", layer))
        members = expect_paths(layer, CHANGED)
        expect_content(layer, "data/changed", b"other\n")
        expect_member(members["data/chmoded"], mode=0o600)
        expect_member(members["data/link"], linkname="changed")
        expect_member(members["data"], mtime=bases.EPOCH)
        expect_equal("the diff_id", diff_id, bases.digest_of(layer.read_bytes()), _BYTES)
        expect_equal("the diff_id", diff_id, CHANGES_DIFF_ID, _BYTES)

    def test_the_same_job_gives_the_same_layer(self, bench: Bench, base: bases.Base) -> None:
        first, second = (bench.job(base.ref, *each(CHANGES)) for _ in range(2))
        expect_diff_id(second, expect_diff_id(first), _FRESH)

    def test_both_transports_give_the_same_layer(self, bench: Bench, base: bases.Base) -> None:
        told = bench.folder / "metadata.json"
        chosen, archive = (
            bench.job(base.ref, *each(CHANGES), "--transport", name, "--metadata", told)
            for name in ("auto", "archive")
        )
        expect_diff_id(archive, expect_diff_id(chosen), _WAYS)
        used = json.loads(told.read_bytes())["transport"]
        expect(
            used in {"archive", "root"}, "no registry with --transport archive", _WAYS, seen=used
        )

    def test_a_registry_on_demand(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, *each(CHANGES), "--transport", "registry")
        if not refused(bench, ran, "registry"):
            expect_equal("the diff_id", expect_diff_id(ran), CHANGES_DIFF_ID, _REGISTRY)

    def test_nothing_changed_means_no_layer(self, bench: Bench, base: bases.Base) -> None:
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        layer.write_text("of an earlier run")
        ran = bench.job(base.ref, "-c", "true", "-o", layer, "--image", image)
        expect_success(ran, _NOTHING)
        expect_equal("standard output", ran.stdout, "", _NOTHING)
        expect_said(ran, "no new layer", duty=_NOTHING)
        expect_no_file(layer, duty=_NOTHING)
        config = image_config(image)
        expect_equal("the diff_ids", config["rootfs"]["diff_ids"], list(base.diff_ids), _NOTHING)
        empty = config["history"][-1].get("empty_layer")
        expect(empty, "the last entry of the history to have empty_layer", _NOTHING)

    def test_an_empty_layer_on_demand(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        expect_diff_id(bench.job(base.ref, "-c", "true", "-o", layer, "--always-layer"))
        expect_equal("an empty layer", layer.read_bytes(), bytes(1024), _NOTHING)

    def test_types_and_modes_arrive(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        commands = (
            "mkdir -m 3777 /new; echo s > /new/suid; chmod 4755 /new/suid",
            "chown 1000:1000 /new/suid; chmod 4755 /new/suid; mkfifo -m 640 /new/fifo",
            "ln /new/suid /new/zz; ln -s ../nowhere /new/dangling",
        )
        expect_diff_id(bench.job(base.ref, *each(commands), "-o", layer))
        members = expect_paths(layer, {"new", "new/suid", "new/fifo", "new/zz", "new/dangling"})
        expect_member(members["new"], mode=0o3777)
        expect_member(members["new/suid"], mode=0o4755, uid=1000)
        expect_member(members["new/fifo"], type=tarfile.FIFOTYPE)
        expect_member(members["new/zz"], type=tarfile.LNKTYPE, linkname="new/suid")
        expect_member(members["new/dangling"], linkname="../nowhere")
