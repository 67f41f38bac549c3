"""The contract that every backend keeps, as a class of tests to inherit.

::

    class TestNerdctl(BackendContract):
        backend = "nerdctl"

        def resources(self) -> set[str]:
            return set(process.output("nerdctl", "ps", "-aq").split())

Every test runs the command line as a user would and looks at what can be seen from outside: exit
codes, outputs, the layer, the image, what is left in the engine.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core.testing import bases
from runcommit_core.testing.bench import (
    Bench,
    content,
    entries,
    image_config,
    local_bench,
    started,
    wait_for,
)
from runcommit_core.testing.promises import Promises, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USAGE, COMMAND_FAILED, BAD_ARCHIVE, NOT_REPRODUCIBLE = 2, 5, 6, 7
TIMED_OUT = 124
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

EXPECTED = {
    "data",
    "data/.wh.deleted",
    "data/.wh.tree",
    "data/added",
    "data/changed",
    "data/chmoded",
    "data/link",
}


class BackendContract(Promises):
    """What every backend must do; inherit it and name the backend."""

    backend = ""

    def resources(self) -> set[str]:
        """What the engine holds now: containers and images by any unique name.

        The private copies of bases may stay; leave images out that are called
        ``localhost/runcommit/base``.
        """
        raise NotImplementedError("list the engine's containers and images here")

    def run_image(self, bench: Bench, name: str) -> str:
        """What a container of the engine's image says that runs as its config has it, offline.

        Neither the container nor the image stays.  Needed for backends with the step ``deliver``.
        """
        raise NotImplementedError(f"run {name} here with the engine of {bench.backend}")

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        """Where command lines run; override it for other users or machines."""
        return local_bench(self.backend, tmp_path, self.resources)

    @pytest.fixture
    def base(self, bench: Bench) -> bases.Base:
        """A base with a shell and the files that these tests change; override with care."""
        return bases.busybox(bench.folder / "base")

    @pytest.fixture(autouse=True)
    def nothing_stays(self, bench: Bench) -> Iterator[None]:
        """Every test leaves the engine as it found it."""
        before = bench.resources()
        yield
        left = bench.resources() - before
        assert not left, (
            f"left behind in the engine: {sorted(left)}; push the removal of each thing on"
            " job.containers or job.cleanup in the line that makes it"
        )

    # --- the layer

    def test_the_layer_holds_exactly_what_changed(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        ran = bench.job(base.ref, *_each(CHANGES), "-o", layer)
        assert ran.diff_id, "see above for what runcommit said"
        found = entries(layer)
        assert ran.diff_id == f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"
        assert set(found) == EXPECTED
        assert content(layer, "data/changed") == b"other\n"
        assert found["data/chmoded"].mode == 0o600
        assert found["data/link"].linkname == "changed"
        assert found["data"].mtime == bases.EPOCH
        assert ran.diff_id == CHANGES_DIFF_ID, (
            "the layer has the right names, but not the bytes that every other backend gives:"
            " compare `runcommit layer show` of both"
        )

    def test_the_same_job_gives_the_same_layer(self, bench: Bench, base: bases.Base) -> None:
        first, second = (bench.job(base.ref, *_each(CHANGES)) for _ in range(2))
        assert first.diff_id == second.diff_id

    def test_both_transports_give_the_same_layer(self, bench: Bench, base: bases.Base) -> None:
        registry, archive = (
            bench.job(base.ref, *_each(CHANGES), "--transport", name)
            for name in ("auto", "archive")
        )
        assert registry.diff_id == archive.diff_id

    def test_nothing_changed_means_no_layer(self, bench: Bench, base: bases.Base) -> None:
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        layer.write_text("of an earlier run")
        ran = bench.job(base.ref, "-c", "true", "-o", layer, "--image", image)
        assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
        assert "no new layer" in ran.stderr
        assert not layer.exists(), "a layer of an earlier run passes for one of this run"
        config = image_config(image)
        assert config["rootfs"]["diff_ids"] == list(base.diff_ids)
        assert config["history"][-1]["empty_layer"] is True

    def test_an_empty_layer_on_demand(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        bench.job(base.ref, "-c", "true", "-o", layer, "--always-layer").diff_id  # noqa: B018
        assert layer.read_bytes() == bytes(1024)

    def test_types_and_modes_arrive(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        commands = (
            "mkdir -m 3777 /new; echo s > /new/suid; chmod 4755 /new/suid",
            "chown 1000:1000 /new/suid; chmod 4755 /new/suid; mkfifo -m 640 /new/fifo",
            "ln /new/suid /new/zz; ln -s ../nowhere /new/dangling",
        )
        bench.job(base.ref, *_each(commands), "-o", layer).diff_id  # noqa: B018
        found = entries(layer)
        assert set(found) == {"new", "new/suid", "new/fifo", "new/zz", "new/dangling"}
        assert found["new"].mode == 0o3777
        assert (found["new/suid"].mode, found["new/suid"].uid) == (0o4755, 1000)
        assert found["new/fifo"].isfifo()
        assert (found["new/zz"].islnk(), found["new/zz"].linkname) == (True, "new/suid")
        assert found["new/dangling"].linkname == "../nowhere"

    # --- what stays out of the layer, and the layer of a second run

    def test_excluded_paths_count_as_unchanged(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        exclude = ("--exclude", "data/*ed", "--exclude", "/data/tree/**")
        ran = bench.job(base.ref, *_each(CHANGES), *exclude, "-o", layer)
        assert ran.diff_id
        assert set(entries(layer)) == {"data", "data/link", "data/.wh.tree"}

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
        assert ran.diff_id
        assert set(entries(layer)) == {
            *("srv", "var", "var/lib", "var/lib/apt", "var/lib/apt/lists"),
            *("var/lib/apt/extended_states", "var/lib/dpkg", "var/lib/dpkg/status"),
            *("var/log", "var/log/new"),
        }

    def test_a_clock_in_the_layer_is_found(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        commands = ("mkdir -p /var/log", "date +%s | tee /data/time > /var/log/time")
        options = (*_each(commands), "--check-reproducible", "-o", str(layer))
        ran = bench.job(base.ref, *options)
        assert ran.returncode == NOT_REPRODUCIBLE, ran.stderr
        assert ran.stdout == ""
        assert "data/time: content" in ran.stderr
        assert "--clean logs would remove 1 of these 2 paths" in ran.stderr
        assert not layer.exists()
        ran = bench.job(base.ref, *options, "--clean", "logs", "--exclude", "data/time")
        assert ran.diff_id
        assert set(entries(layer)) == {"var", "var/log"}

    def test_base_and_layer_are_what_the_container_saw(
        self, bench: Bench, base: bases.Base
    ) -> None:
        plain = bench.job(base.ref, *_each(CHANGES))
        verified = bench.job(base.ref, *_each(CHANGES), "--verify", "-v")
        if refused(bench, verified, "verify"):
            return
        assert verified.diff_id == plain.diff_id
        assert "verify" in verified.stderr

    def test_a_layer_for_each_command(self, bench: Bench, base: bases.Base) -> None:
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        commands = (
            "echo 1 > /data/added; rm /data/deleted",
            "true",
            "rm -r /data/tree /data/added",
        )
        ran = bench.job(base.ref, *_each(commands), "--split", "-o", layer, "--image", image)
        assert ran.returncode == 0, ran.stderr
        first, second = (bench.folder / f"layer.{number}.tar" for number in (1, 2))
        assert set(entries(first)) == {"data", "data/.wh.deleted", "data/added"}
        assert set(entries(second)) == {"data", "data/.wh.tree", "data/.wh.added"}
        config = image_config(image)
        assert config["rootfs"]["diff_ids"] == [*base.diff_ids, *ran.stdout.split()]
        added = config["history"][len(base.config["history"]) :]
        assert [item["created_by"] for item in added] == list(commands)
        assert [item.get("empty_layer", False) for item in added] == [False, True, False]

    # --- commands

    def test_text_reaches_the_shell_untouched(self, bench: Bench, base: bases.Base) -> None:
        text = "ä $HOME `id` \"double\" 'single' \\ * \n second line\t!#%"
        quoted = text.replace("'", "'\\''")
        layer = bench.folder / "layer.tar"
        ran = bench.job(base.ref, "-c", f"printf %s '{quoted}' > /out", "-o", layer)
        assert ran.diff_id
        assert content(layer, "out").decode() == text

    def test_exec_form_takes_each_word_as_it_is(self, bench: Bench, base: bases.Base) -> None:
        words = ["", "$HOME", "a b", "line\nbreak", "-o", "é", "--", "'"]
        program = 'for w do printf "[%s]" "$w"; done > /out'
        layer = bench.folder / "layer.tar"
        ran = bench.job("-o", layer, base.ref, "--", "/bin/sh", "-c", program, "sh", *words)
        assert ran.diff_id
        assert content(layer, "out").decode() == "".join(f"[{word}]" for word in words)

    def test_a_script_runs(self, bench: Bench, base: bases.Base) -> None:
        script, layer = bench.folder / "script", bench.folder / "layer.tar"
        script.write_text("#!/bin/sh -e\necho one > /out\nfalse || echo two >> /out\n")
        assert bench.job(base.ref, "--script", script, "-o", layer).diff_id
        assert content(layer, "out") == b"one\ntwo\n"

    def test_the_first_failure_stops(self, bench: Bench, base: bases.Base) -> None:
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        commands = ("echo first", "echo to-stderr >&2; exit 42", "echo third")
        ran = bench.job(base.ref, *_each(commands), "-o", layer, "--image", image)
        assert ran.returncode == COMMAND_FAILED
        assert "exit code 42" in ran.stderr
        assert "command 2 of 3" in ran.stderr
        assert "first\n" in ran.stderr
        assert "to-stderr\n" in ran.stderr
        assert "third\n" not in ran.stderr
        assert ran.stdout == ""
        assert not layer.exists()
        assert not image.exists()

    @pytest.mark.parametrize("code", [1, 2, 125, 126, 127, 255])
    def test_no_exit_code_is_taken_for_the_engines(
        self, bench: Bench, base: bases.Base, code: int
    ) -> None:
        ran = bench.job(base.ref, "-c", f"exit {code}")
        assert ran.returncode == COMMAND_FAILED, ran.stderr
        assert f"exit code {code}" in ran.stderr

    def test_a_program_that_is_not_there(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "--", "/no/such/program")
        assert ran.returncode == COMMAND_FAILED, ran.stderr
        assert "exit code 127" in ran.stderr
        assert "/no/such/program" in ran.stderr

    def test_output_is_live_and_complete(self, bench: Bench, base: bases.Base) -> None:
        ran = bench.job(base.ref, "-c", "echo out; echo err >&2; seq 20000; printf 'no newline'")
        assert ran.stdout == ""
        # engines carry the two streams side by side: one may come within a line of the other
        assert "err\n" in ran.stderr
        lines = ran.stderr.replace("err\n", "", 1).splitlines()
        assert lines[:20001] == ["out", *map(str, range(1, 20001))]
        assert lines[20001].startswith("no newline")

    # --- the run's surroundings

    def test_env_user_and_workdir_hold_for_the_run_alone(self, bench: Bench) -> None:
        base = bases.busybox(
            bench.folder / "mine",
            {"Env": ["PATH=/bin", "KEPT=base value"], "User": "user", "WorkingDir": "/data"},
        )
        layer, image = bench.folder / "layer.tar", bench.folder / "image"
        show = 'echo "$KEPT|$GIVEN|$(id -u):$(id -g)|$(pwd)" > /tmp/out'
        ran = bench.job("-e", "GIVEN=a=b c", "-o", layer, "--image", image, base.ref, "-c", show)
        assert ran.diff_id
        assert content(layer, "tmp/out") == b"base value|a=b c|1000:1000|/data\n"
        assert _without_result(image_config(image)) == _without_result(base.config)
        ran = bench.job("-u", "root", "-w", "/tmp", "-o", layer, base.ref, "-c", show)
        assert ran.diff_id
        assert content(layer, "tmp/out") == b"base value||0:0|/tmp\n"

    def test_no_network_means_none(self, bench: Bench, base: bases.Base) -> None:
        if not bench.isolated:
            ran = bench.job(base.ref, "--network", "none", "-c", "true")
            assert refused(bench, ran, "network"), "the bench says so, the backend does not"
            return
        layer = bench.folder / "layer.tar"
        assert bench.job(base.ref, "-c", "ip route > /routes", "-o", layer).diff_id
        assert content(layer, "routes") == b""

    def test_mounts_leave_no_trace(self, bench: Bench, base: bases.Base) -> None:
        (bench.folder / "file").write_text("an input")
        (bench.folder / "folder/in").mkdir(parents=True)
        (bench.folder / "folder").chmod(0o777)
        (bench.folder / "folder/in/link").symlink_to(bench.folder / "file")
        layer = bench.folder / "layer.tar"
        options = (
            *("--input", f"{bench.folder}/file:/in/deep/file"),
            *("--input", f"{bench.folder}/folder:/in/folder"),
            *("--mount", f"type=bind,src={bench.folder}/file,dst=/etc/motd,ro"),
            *("--mount", f"type=bind,src={bench.folder}/folder,dst=/data/tree"),
            *("--mount", "type=tmpfs,dst=/mem/here,size=1m,mode=1777"),
            *("--mount", "type=cache,id=it,dst=/var/cache/it,sharing=locked"),
        )
        commands = (
            (
                "set -e; for it in /in/deep/file /in/folder/in/link /etc/motd; do"
                ' test "$(cat $it)" = "an input"; done; test -d /data/tree/in'
            ),
            (
                "echo x > /in/deep/file && exit 1; touch /in/folder/x && exit 2;"
                " echo x > /etc/motd && exit 3; touch /data/tree/mine /mem/here/mine"
            ),
            'set -- /mem/here/*; test "$*" = /mem/here/mine; echo mine > /in/own',
            "echo run >> /var/cache/it/runs",
        )
        for runs in ("run\n", "run\nrun\n"):
            check = f'test "$(cat /var/cache/it/runs)" = "{runs.strip()}"'
            ran = bench.job(
                base.ref, *options, *_each((*commands, check)), "-o", layer,
                env={"RUNCOMMIT_CACHE_DIR": f"{bench.folder}/cache"},
            )  # fmt: skip
            if refused(bench, ran, "mount", "tmpfs"):
                return
            assert ran.diff_id
            found = entries(layer)
            assert set(found) == {"in", "in/own"}
            assert (found["in"].mode, found["in"].uid, found["in"].mtime) == (0o755, 0, bases.EPOCH)
        assert (bench.folder / "folder/mine").exists()
        assert (bench.folder / "file").read_text() == "an input"

    def test_a_secret_is_nowhere_but_in_the_run(self, bench: Bench, base: bases.Base) -> None:
        secrets = ("s3cret-of-a-file\nwith-a-second-line", "s3cret-of-a-variable")
        (bench.folder / "secret").write_text(secrets[0])
        outputs = {name: bench.folder / name for name in ("layer", "image", "metadata")}
        ran = bench.job(
            base.ref, "-vv", *(f"--{name}={path}" for name, path in outputs.items()),
            *("--secret", f"id=one,src={bench.folder}/secret", "--secret", "id=two,env=TWO"),
            *("--mount", "type=secret,id=two,target=/data/secret,mode=0444"),
            "-c", "cat /run/secrets/one /data/secret; wc -c < /run/secrets/one > /size",
            "-c", 'test -z "$TWO" && ls -l /run/secrets/one && ! echo x > /run/secrets/one',
            env={"TWO": secrets[1]},
        )  # fmt: skip
        if refused(bench, ran, "mount"):
            return
        assert ran.diff_id
        assert set(entries(outputs["layer"])) == {"size"}
        assert content(outputs["layer"], "size") == f"{len(secrets[0])}\n".encode()
        assert "r--------" in ran.stderr
        blobs = [path for path in outputs["image"].rglob("*") if path.is_file()]
        written = [path.read_bytes() for path in (outputs["layer"], outputs["metadata"], *blobs)]
        for said in (ran.stdout.encode(), ran.stderr.encode(), *written):
            assert b"s3cret" not in said
            assert b"with-a-second-line" not in said
        fails = bench.job(
            base.ref, "--secret", f"id=one,src={bench.folder}/secret",
            "-c", "cat /run/secrets/one >&2; exit 3",
        )  # fmt: skip
        assert fails.returncode == COMMAND_FAILED
        assert "s3cret" not in fails.stderr

    def test_a_timeout_ends_the_run(self, bench: Bench, base: bases.Base) -> None:
        layer = bench.folder / "layer.tar"
        command = "trap '' TERM; echo started; sleep 300; echo slept"
        ran = bench.job(base.ref, "--timeout", "2s", "-c", command, "-o", layer)
        assert ran.returncode == TIMED_OUT, ran.stderr
        assert "started\n" in ran.stderr
        assert "within 2 s" in ran.stderr
        assert not layer.exists()

    # --- the result's config

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
        diff_id = ran.diff_id
        assert {"vol/file", "data/file"} <= set(entries(layer)), "volumes were not committed"
        config = image_config(image)
        assert _without_result(config) == _without_result(base.config)
        assert config["rootfs"]["diff_ids"] == [*base.diff_ids, diff_id]
        assert len(config["history"]) == len(base.config["history"]) + 1

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
            assert loaded.diff_id
            again = bench.job(f"engine:{name}", "-c", "test -s /data/added")
            if not refused(bench, again, "engine-base"):
                assert again.returncode == 0, again.stderr
            assert self.run_image(bench, name) == "added\nkept"
        told = json.loads(report.read_bytes())
        assert told["layers"][0]["diff_id"] == loaded.diff_id
        compressed = (bench.folder / "layer.tar.gz").read_bytes()
        assert told["layers"][0]["digest"] == f"sha256:{hashlib.sha256(compressed).hexdigest()}"
        assert {image["config_digest"] for image in told["images"]} == {
            bench.run("image", "id", f"{form}:{path}").stdout.strip()
            for form, path in forms.items()
        }
        assert image_config(forms["oci"])["config"] == {
            "Env": base.config["config"]["Env"],
            "Labels": {"made": "yes"},
            "Entrypoint": ["/bin/cat"],
            "Cmd": ["added", "kept"],
            "WorkingDir": "/data",
            "ExposedPorts": {"8080/tcp": {}},
        }

    def test_the_image_is_a_base_again(self, bench: Bench, base: bases.Base) -> None:
        image, layer = bench.folder / "image", bench.folder / "layer.tar"
        assert bench.job(base.ref, "-c", "echo 1 > /one; rm /data/kept", "--image", image).diff_id
        again = ("-c", "cat /one > /two; test ! -e /data/kept", "-o", layer)
        assert bench.job(image, *again).diff_id
        assert set(entries(layer)) == {"two"}

    def test_metadata_tells_what_happened(self, bench: Bench, base: bases.Base) -> None:
        path, layer = bench.folder / "metadata.json", bench.folder / "layer.tar"
        diff_id = bench.job(base.ref, "-c", "echo > /x", "--metadata", path, "-o", layer).diff_id
        told = json.loads(path.read_bytes())
        assert [item["diff_id"] for item in told["layers"]] == [diff_id]
        assert told["layers"][0]["size"] == layer.stat().st_size
        assert list(told["seconds"]) == ["load", "run", "commit", "save", "extract"]
        assert told["engine"]["version"]
        assert told["base"]["diff_ids"] == list(base.diff_ids)

    # --- what needs no image, and no engine

    def test_files_come_out_of_the_result(self, bench: Bench, base: bases.Base) -> None:
        tar, place = bench.folder / "data.tar", bench.folder / "extracted"
        change = "rm /data/deleted; echo new > /data/new; ln /data/new /data/zz; mkfifo /data/fifo"
        closed = "umask 777; echo s > /data/secret; ln -s /data/tree /tree"
        job = ("extract", *bench.choice, base.ref, *_each((change, closed)))
        ran = bench.run(*job, "--path", "/data", "--path", "/bin/busybox", "-o", tar)
        assert (ran.returncode, ran.stdout) == (0, f"{tar}\n"), ran.stderr
        found = entries(tar)
        names = {"changed", "chmoded", "fifo", "kept", "new", "secret", "tree", "tree/leaf", "zz"}
        assert set(found) == {"data", "busybox"} | {f"data/{name}" for name in names}
        assert (found["data/zz"].islnk(), found["data/secret"].mode) == (True, 0)
        ran = bench.run(*job, "--path", "/data/new", "--path", "/tree", "--to", place)
        assert ran.stdout == f"{place}/new\n{place}/tree\n", ran.stderr
        assert (place / "tree/leaf").read_bytes() == b"leaf"
        gone = bench.run(*job, "--path", "/data/deleted", "--to", bench.folder / "none")
        assert (gone.returncode, "/data/deleted" in gone.stderr) == (USAGE, True)
        assert not (bench.folder / "none").exists()

    def test_a_cached_result_needs_no_engine(self, bench: Bench, base: bases.Base) -> None:
        layers = [bench.folder / f"layer{number}.tar" for number in range(2)]
        network = ("--network", "none") if bench.isolated else ("--cache", "always")
        job = ("run", "-b", bench.backend, *network, base.ref, *_each(CHANGES))
        env = {"RUNCOMMIT_CACHE_DIR": str(bench.folder / "cache")}
        first = bench.run(*job, "-o", layers[0], "--image", bench.folder / "one", env=env)
        options = ("--engine-path", "/nowhere", "--image", bench.folder / "two")
        second = bench.run(*job, "-o", layers[1], *options, env=env)
        assert first.diff_id == second.diff_id
        assert layers[0].read_bytes() == layers[1].read_bytes()
        assert image_config(bench.folder / "one") == image_config(bench.folder / "two")
        ran = bench.run(*job, *options, "--no-cache", env=env)
        assert ran.returncode not in (0, COMMAND_FAILED), "the engine was there"

    # --- what goes wrong

    def test_a_base_that_is_none(self, bench: Bench) -> None:
        wrong = bench.folder / "wrong.tar"
        wrong.write_bytes(bases.busybox_layer())
        ran = bench.job(wrong, "-c", "true")
        assert ran.returncode == BAD_ARCHIVE
        assert "wrong.tar" in ran.stderr

    def test_a_base_that_lies_about_a_layer(self, bench: Bench) -> None:
        # one of a kind, so that neither the engine nor the index has seen it
        tar = bytearray(bases.file_layer("unique", os.urandom(4096)))
        layers = [bases.busybox_layer(), bytes(tar)]
        other = bases.write_layout(bench.folder / "other", layers)
        tar[600] ^= 1
        (other.path / "blobs" / other.diff_ids[1].replace(":", "/")).write_bytes(bytes(tar))
        ran = bench.job(other.ref, "-c", "true")
        assert ran.returncode == BAD_ARCHIVE, ran.stderr
        assert other.diff_ids[1][:19] in ran.stderr

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_cleans_up(
        self, bench: Bench, base: bases.Base, number: signal.Signals
    ) -> None:
        layer = bench.folder / "layer.tar"
        command = "trap '' TERM INT; echo started; sleep 300; echo slept"
        folders = set(bench.folder.iterdir())
        job = ("run", *bench.choice, base.ref, "-c", command, "-o", str(layer))
        with started(bench, *job) as (running, said):
            wait_for("started", said)
            running.send_signal(number)
            assert running.wait(60) == 128 + number, said.read_text()
        assert "slept" not in said.read_text().replace("echo slept", "")
        assert set(bench.folder.iterdir()) - folders <= {said}

    def test_two_jobs_on_one_base(self, bench: Bench, base: bases.Base) -> None:
        layers = [bench.folder / f"layer{number}.tar" for number in range(2)]

        def job(number: int) -> str:
            command = f"sleep 0.5; echo {number} > /data/changed"
            return bench.job(base.ref, "-c", command, "-o", layers[number]).diff_id

        with ThreadPoolExecutor() as pool:
            assert len(set(pool.map(job, range(2)))) == 2
        assert [content(layer, "data/changed") for layer in layers] == [b"0\n", b"1\n"]


def _each(commands: tuple[str, ...]) -> Iterator[str]:
    for command in commands:
        yield from ("-c", command)


def _without_result(config: Any) -> dict[str, Any]:
    kept = dict(config)
    for key in ("rootfs", "history", "created"):
        kept.pop(key)
    return kept
