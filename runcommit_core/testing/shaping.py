"""The part of the contract about options that shape the layer, split it or look at it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.testing.bench import image_config
from runcommit_core.testing.declared import refused
from runcommit_core.testing.duties import LAYER, Duty
from runcommit_core.testing.ends import NOT_REPRODUCIBLE
from runcommit_core.testing.expectations import (
    each,
    expect_diff_id,
    expect_end,
    expect_equal,
    expect_no_file,
    expect_paths,
    expect_said,
    expect_success,
)
from runcommit_core.testing.layers import CHANGES

if TYPE_CHECKING:
    from runcommit_core.testing import bases
    from runcommit_core.testing.bench import Bench

_TWICE = Duty(
    "run",
    "begin each run with a new container: --check-reproducible runs the job twice in one process",
)
_SPLIT = Duty(
    "load",
    "take the base from job.base and job.transport each time load is called: with --split the"
    " second command's base is the first one's result",
)
_ROOT = Duty(
    "root",
    "show the root of the finished container as its command left it: --verify compares it with"
    " base and layer",
)


class ShapingContract:
    """What stays out of the layer, and the layers of more runs than one."""

    def test_excluded_paths_count_as_unchanged(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        exclude = ("--exclude", "data/*ed", "--exclude", "/data/tree/**")
        expect_diff_id(bench.job(base.ref, *each(CHANGES), *exclude, "-o", layer))
        expect_paths(layer, {"data", "data/link", "data/.wh.tree"})

    def test_profiles_keep_what_packages_need(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        commands = (
            "mkdir -p /var/lib/apt/lists /var/lib/dpkg /var/log/new /srv/__pycache__",
            "for f in apt/lists/Release apt/extended_states dpkg/status dpkg/status-old",
            "do date > /var/lib/$f; done; date > /var/log/new/log; date > /srv/__pycache__/a.pyc",
        )
        ran = bench.job(
            *("-o", layer, "--clean", "apt,logs", "--clean", "python"),
            *(base.ref, "-c", "; ".join(commands)),
        )
        expect_diff_id(ran)
        names = {
            *("srv", "var", "var/lib", "var/lib/apt", "var/lib/apt/lists"),
            *("var/lib/apt/extended_states", "var/lib/dpkg", "var/lib/dpkg/status"),
            *("var/log", "var/log/new"),
        }
        expect_paths(layer, names)

    def test_a_clock_in_the_layer_is_found(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        commands = ("mkdir -p /var/log", "date +%s | tee /data/time > /var/log/time")
        options = (*each(commands), "--check-reproducible", "-o", str(layer))
        ran = expect_end(bench.job(base.ref, *options), NOT_REPRODUCIBLE, _TWICE)
        removable = "--clean logs would remove 1 of these 2 paths"
        expect_said(ran, "data/time: content", removable, duty=_TWICE)
        expect_no_file(layer, duty=_TWICE)
        ran = bench.job(base.ref, *options, "--clean", "logs", "--exclude", "data/time")
        expect_diff_id(ran, duty=_TWICE)
        expect_paths(layer, {"var", "var/log"}, _TWICE)

    def test_base_and_layer_are_what_the_container_saw(
        self, bench: Bench, base: bases.Base
    ) -> None:
        plain = bench.job(base.ref, *each(CHANGES))
        verified = bench.job(base.ref, *each(CHANGES), "--verify", "-v")
        if refused(bench, verified, "verify"):
            return
        expect_diff_id(verified, expect_diff_id(plain), _ROOT)
        expect_said(verified, "verify", duty=_ROOT)

    def test_a_layer_for_each_command(self, bench: Bench, base: bases.Base) -> None:
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        commands = (
            "echo 1 > /data/added; rm /data/deleted",
            "true",
            "rm -r /data/tree /data/added",
        )
        ran = bench.job(base.ref, *each(commands), "--split", "-o", layer, "--image", image)
        expect_success(ran, _SPLIT)
        first, second = (bench.folder / f"layer.{number}.tar" for number in (1, 2))
        expect_paths(first, {"data", "data/.wh.deleted", "data/added"}, LAYER)
        expect_paths(second, {"data", "data/.wh.tree", "data/.wh.added"}, _SPLIT)
        config = image_config(image)
        diff_ids = [*base.diff_ids, *ran.stdout.split()]
        expect_equal("the image's diff_ids", config["rootfs"]["diff_ids"], diff_ids, _SPLIT)
        added = config["history"][len(base.config["history"]) :]
        told = [(item["created_by"], item.get("empty_layer", False)) for item in added]
        wanted = list(zip(commands, (False, True, False), strict=True))
        expect_equal("the image's history", told, wanted, _SPLIT)
