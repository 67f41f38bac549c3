"""The part of the contract about what needs no image: reports, files, results from the cache."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

from runcommit_core.testing.bench import image_config
from runcommit_core.testing.declared import refused
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.ends import COMMAND_FAILED, USAGE
from runcommit_core.testing.expectations import (
    each,
    expect,
    expect_diff_id,
    expect_end,
    expect_equal,
    expect_member,
    expect_no_file,
    expect_paths,
    expect_said,
    expect_success,
)
from runcommit_core.testing.layers import CHANGES

if TYPE_CHECKING:
    from runcommit_core.testing import bases
    from runcommit_core.testing.bench import Bench

_LAYERS = Duty("save", "return all new layers: the metadata tells of those that extract found")
_TOLD = Duty(
    "describe",
    "return EngineInfo with the engine's version, and raise nothing; steps that the job runs are"
    " timed by the core",
)
_WAY = Duty(
    "save",
    "return what job.transport.collect, collect_upper or save_root returned: these note how the"
    " layer travelled",
)
_FILES = Duty("save", "hand over the layer in the same way for `runcommit extract` as for a run")
_NO_ENGINE = Duty("describe", "touch no engine at import: what the cache has needs none")
_REHEARSED = Duty(
    "rehearse",
    "answer each command of your steps as the engine would; only what starts processes through"
    " runcommit_core.engine.process can be rehearsed",
)


class OutputContract:
    """What a job tells and gives besides layer and image."""

    def test_metadata_tells_what_happened(self, bench: Bench, base: bases.Base) -> None:
        path, layer = bench.folder / "metadata.json", bench.folder / "layer.tar"
        ran = bench.job(base.ref, "-c", "echo > /x", "--metadata", path, "-o", layer)
        diff_id = expect_diff_id(ran)
        told = json.loads(path.read_bytes())
        diff_ids = [item["diff_id"] for item in told["layers"]]
        expect_equal("the metadata's diff_ids", diff_ids, [diff_id], _LAYERS)
        expect_equal("the size", told["layers"][0]["size"], layer.stat().st_size, _LAYERS)
        steps = ["load", "run", "commit", "save", "extract"]
        expect_equal("the steps that took time", list(told["seconds"]), steps, _TOLD)
        expect(told["engine"]["version"], "the engine's version", _TOLD, seen="it is empty")
        ways = {"registry", "archive", "upper", "root"}
        expect(told["transport"] in ways, "the transport to be told", _WAY, seen="it is not")
        expect_equal("the base", told["base"]["diff_ids"], list(base.diff_ids), _TOLD)

    def test_a_run_is_explained(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--explain", "-c", "echo it ran")
        if not refused(bench, ran, "explain"):
            expect_success(ran, _REHEARSED)

    def test_files_come_out_of_the_result(self, bench: Bench, base: bases.Base) -> None:
        tar, place = bench.folder / "data.tar", bench.folder / "extracted"
        change = "rm /data/deleted; echo new > /data/new; ln /data/new /data/zz; mkfifo /data/fifo"
        closed = "umask 777; echo s > /data/secret; ln -s /data/tree /tree"
        job = ("extract", *bench.choice, base.ref, *each((change, closed)))
        ran = bench.run(*job, "--path", "/data", "--path", "/bin/busybox", "-o", tar)
        expect_equal("standard output", expect_success(ran, _FILES).stdout, f"{tar}\n", _FILES)
        names = {"changed", "chmoded", "fifo", "kept", "new", "secret", "tree", "tree/leaf", "zz"}
        members = expect_paths(
            tar, {"data", "busybox"} | {f"data/{name}" for name in names}, _FILES
        )
        expect_member(members["data/zz"], _FILES, type=tarfile.LNKTYPE)
        expect_member(members["data/secret"], _FILES, mode=0)
        ran = bench.run(*job, "--path", "/data/new", "--path", "/tree", "--to", place)
        expect_success(ran, _FILES)
        expect_equal("standard output", ran.stdout, f"{place}/new\n{place}/tree\n", _FILES)
        expect_equal("a file of the base", (place / "tree/leaf").read_bytes(), b"leaf", _FILES)
        none = bench.folder / "none"
        gone = bench.run(*job, "--path", "/data/deleted", "--to", none)
        expect_said(expect_end(gone, USAGE, _FILES), "/data/deleted", duty=_FILES)
        expect_no_file(none, duty=_FILES)

    def test_a_cached_result_needs_no_engine(self, bench: Bench, base: bases.Base) -> None:
        layers = [bench.folder / f"layer{number}.tar" for number in range(2)]
        network = ("--network", "none") if bench.isolated else ("--cache", "always")
        job = ("run", "-b", bench.backend, *network, base.ref, *each(CHANGES))
        env = {"RUNCOMMIT_CACHE_DIR": str(bench.folder / "cache")}
        first = bench.run(*job, "-o", layers[0], "--image", bench.folder / "one", env=env)
        options = ("--engine-path", "/nowhere", "--image", bench.folder / "two")
        second = bench.run(*job, "-o", layers[1], *options, env=env)
        expect_diff_id(second, expect_diff_id(first), _NO_ENGINE)
        data = [layer.read_bytes() for layer in layers]
        expect(data[0] == data[1], "the same layer from the cache", _NO_ENGINE)
        configs = [image_config(bench.folder / name) for name in ("one", "two")]
        expect_equal("the config from the cache", configs[1], configs[0], _NO_ENGINE)
        ran = bench.run(*job, *options, "--no-cache", env=env)
        path = Duty("run", "take the engine's program from job.engine.command(PROGRAM)")
        failed = ran.returncode not in (0, COMMAND_FAILED)
        expect(failed, "a job with --engine-path /nowhere to fail", path, seen="it ran")
