"""The part of the contract about the images of a job: config, forms, and use as a base again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runcommit_core.testing import bases
from runcommit_core.testing.bench import image_config
from runcommit_core.testing.declared import refused
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.expectations import (
    expect_diff_id,
    expect_equal,
    expect_paths,
    expect_success,
)

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.testing.bench import Bench

_CONFIG = Duty(
    "load",
    "give the private copy job.transport.config, which has no entrypoint, no volumes and no"
    " healthcheck, so that the engine neither swallows the command nor keeps a path from the layer",
)
_FORMS = Duty("save", "return the same layer whatever outputs the job has")
_DELIVERED = Duty(
    "deliver",
    "bring the image that job.transport serves into the engine with job.transport.deliver(pull=…,"
    " load=…), call it by the reference, and leave config and layers as they are",
)
_RESOLVED = Duty("resolve", "find the image that the engine has under the reference")
_AGAIN = Duty("load", "give the private copy of a base all layers of job.base, lowest first")


class ResultContract:
    """What images come of a job."""

    def run_image(self, bench: Bench, name: str) -> str:
        """What a container of the engine's image says that runs as its config has it, offline.

        Neither the container nor the image stays.  Needed for backends with the step ``deliver``.
        """
        raise NotImplementedError(f"run {name} here with the engine of {bench.backend}")

    def test_the_config_is_the_bases(self, bench: Bench) -> None:
        settings = {
            "Entrypoint": ["/bin/sh", "-c", "echo the entrypoint swallowed the command; exit 9"],
            "Cmd": ["swallowed"],
            "User": "user",
            "WorkingDir": "/data",
            "Volumes": {"/vol": {}, "/data": {}},
            "Env": ["PATH=/bin", "A=b"],
            "Labels": {"one": "two"},
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGUSR1",
            "OnBuild": ["RUN false"],
            "Healthcheck": {"Test": ["CMD", "false"]},
        }
        base = bases.busybox(bench.folder / "mine", settings)
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        ran = bench.job(
            "-u", "root", "-o", layer, "--image", image, base.ref,
            "-c", "mkdir -p /vol && echo v > /vol/file && echo d > /data/file",
        )  # fmt: skip
        diff_id = expect_diff_id(ran, duty=_CONFIG)
        expect_paths(layer, {"vol", "vol/file", "data", "data/file"}, _CONFIG)
        config = image_config(image)
        expect_equal("the config", _without_result(config), _without_result(base.config), _CONFIG)
        diff_ids = config["rootfs"]["diff_ids"]
        expect_equal("the image's diff_ids", diff_ids, [*base.diff_ids, diff_id], _CONFIG)
        expect_equal(
            "the history", len(config["history"]), len(base.config["history"]) + 1, _CONFIG
        )

    def test_one_run_gives_every_form_of_the_image(self, bench: Bench, base: bases.Base) -> None:
        name, report = "localhost/runcommit-contract/result:v1", bench.folder / "report.json"
        forms = {form: bench.folder / form for form in ("oci", "oci-archive", "docker-archive")}
        job: tuple[str | Path, ...] = (
            *("-c", "echo added > /data/added", "--compression", "gzip", "--metadata", report),
            *("-o", bench.folder / "layer.tar.gz", "--label", "made=yes"),
            *("--entrypoint", '["/bin/cat"]', "--cmd", '["added", "kept"]'),
            *("--config-workdir", "/data", "--expose", "8080"),
            *(f"--image={form}:{path}:{name}" for form, path in forms.items()),
        )
        loaded = bench.job(base.ref, *job, "--load", name)
        if refused(bench, loaded, "load"):
            loaded = bench.job(base.ref, *job)
        else:
            expect_diff_id(loaded, duty=_DELIVERED)
            again = bench.job(f"engine:{name}", "-c", "test -s /data/added")
            if not refused(bench, again, "engine-base"):
                expect_success(again, _RESOLVED)
            said = self.run_image(bench, name)
            expect_equal("what the loaded image says", said, "added\nkept", _DELIVERED)
        told = json.loads(report.read_bytes())
        diff_id = expect_diff_id(loaded, duty=_FORMS)
        expect_equal("the metadata's diff_id", told["layers"][0]["diff_id"], diff_id, _FORMS)
        stored = bases.digest_of((bench.folder / "layer.tar.gz").read_bytes())
        expect_equal("the metadata's digest", told["layers"][0]["digest"], stored, _FORMS)
        ids = {
            bench.run("image", "id", f"{form}:{path}").stdout.strip()
            for form, path in forms.items()
        }
        expect_equal(
            "the image ids", {item["config_digest"] for item in told["images"]}, ids, _FORMS
        )
        config = {
            "Env": base.config["config"]["Env"],
            "Labels": {"made": "yes"},
            "Entrypoint": ["/bin/cat"],
            "Cmd": ["added", "kept"],
            "WorkingDir": "/data",
            "ExposedPorts": {"8080/tcp": {}},
        }
        expect_equal("the config", image_config(forms["oci"])["config"], config, _FORMS)

    def test_the_image_is_a_base_again(self, bench: Bench, base: bases.Base) -> None:
        image, layer = bench.folder / "image", bench.folder / "layer.tar"
        expect_diff_id(bench.job(base.ref, "-c", "echo 1 > /one; rm /data/kept", "--image", image))
        again = ("-c", "cat /one > /two; test ! -e /data/kept", "-o", layer)
        expect_diff_id(bench.job(image, *again), duty=_AGAIN)
        expect_paths(layer, {"two"}, _AGAIN)


def _without_result(config: Any) -> dict[str, Any]:
    kept = dict(config)
    for key in ("rootfs", "history", "created"):
        kept.pop(key)
    return kept
