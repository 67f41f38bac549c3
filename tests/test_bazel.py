"""``oci_run_and_commit`` and its rules on a real Bazel: results, caches, cancellation."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core.testing.bench import content, entries, image_config
from tests import images
from tests.hosts import Host, key, session

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.bazels import Workspace

ENGINES = ("docker", "podman", "buildah")
LAYER = "RunCommitLayer"

pytestmark = [pytest.mark.needs("bazel"), pytest.mark.lane("bazel")]


@pytest.fixture
def workspace(bazel_workspace: Workspace, host: Host) -> Workspace:
    return bazel_workspace.on(host)


def manifest_of(layout: Path) -> dict[str, Any]:
    [entry] = json.loads((layout / "index.json").read_bytes())["manifests"]
    return dict(json.loads((layout / images.blob_of(entry)).read_bytes()))


# -- the result


@pytest.mark.hosts
@pytest.mark.needs(*ENGINES)
def test_three_engines_give_one_image(bazel_workspace: Workspace):
    digests, diff_ids = {}, {}
    for name in ENGINES:
        workspace = bazel_workspace.on(session().host(key("bazel", name)))
        done = workspace.build("//seed:image", "//seed:image.digest", "--output_groups=+diff_id")
        assert LAYER in done.ran, f"{name} did not run"
        [digest] = workspace.run("cquery", "--output=files", "//seed:image.digest").stdout.split()
        digests[name] = (workspace.folder / digest).read_text().strip()
        diff_ids[name] = images.digest(workspace.output("seed/image_layer.tar").read_bytes())
    assert len(set(digests.values())) == 1, digests
    assert len(set(diff_ids.values())) == 1, diff_ids
    image = bazel_workspace.output("seed/image")
    [entry] = json.loads((image / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == digests["docker"]
    config = image_config(image)
    assert config["config"]["Entrypoint"] == ["/bin/cat", "/opt/app/words"]
    assert config["rootfs"]["diff_ids"][-1] == diff_ids["docker"]


@pytest.mark.hosts("podman")
def test_the_image_runs(workspace: Workspace, host: Host, shared_tmp: Path):
    workspace.build("//seed:image")
    image = shutil.copytree(workspace.output("seed/image"), shared_tmp / "image")
    name = host.run("podman", "pull", "--quiet", f"oci:{image}").stdout.strip()
    try:
        ran = host.run("podman", "run", "--rm", "--network", "none", name)
        assert ran.stdout == "it runs\n"
    finally:
        host.run("podman", "rmi", name)


@pytest.mark.hosts("docker")
def test_the_committed_image_loads_and_runs(workspace: Workspace, host: Host):
    workspace.build("//Upper/Case:Target")
    archive = workspace.output("Upper/Case/Target_commit.tar")
    host.run("docker", "load", "--input", archive)
    name = "bazel/upper/case:target"
    try:
        ran = host.run("docker", "run", "--rm", "--network=none", name, "/bin/ls", "/upper")
        assert ran.stdout == "/upper\n"
    finally:
        host.run("docker", "rmi", name)


@pytest.mark.hosts("podman")
def test_layers_stand_in_the_callers_order(workspace: Workspace):
    workspace.build("//seed:between")
    image = workspace.output("seed/between")
    files = [workspace.output("seed/between_layer.tar"), workspace.folder / "bases/file.tar"]
    files.append(workspace.output("traps/quoting.tar"))
    config = image_config(image)
    assert config["rootfs"]["diff_ids"][2:] == [images.digest(file.read_bytes()) for file in files]
    assert content(files[0], "srv/copy") == b"from a tar\n"
    assert (config["config"]["User"], config["config"]["WorkingDir"]) == ("1000", "/srv")
    assert "OF_THE_IMAGE=yes" in config["config"]["Env"]
    assert "OF_THE_RUN" not in json.dumps(config)
    assert manifest_of(image)["annotations"] == {"a": "b"}


@pytest.mark.hosts(*ENGINES)
def test_one_label_in_two_configurations_at_once(workspace: Workspace):
    done = workspace.build("//index:twice")
    assert done.ran.count(LAYER) == 2
    layout = workspace.output("index/twice")
    index = manifest_of(layout)
    files = [
        json.loads((layout / images.blob_of(each)).read_bytes()) for each in index["manifests"]
    ]
    tops = [layout / images.blob_of(each["layers"][-1]) for each in files]
    assert sorted(content(top, "built-for") for top in tops) == [b"arm64\n", b"other\n"]


@pytest.mark.hosts("podman")
def test_an_index_without_emulation_is_a_clear_error(workspace: Workspace):
    done = workspace.build("//index:both", check=False)
    assert done.returncode == 1
    assert "arm64" in done.log
    assert "emulat" in done.log or "binfmt" in done.log, done.log


# -- what runs again, and what does not


@pytest.mark.hosts("podman")
def test_only_what_changed_runs_again(workspace: Workspace):
    targets = ("//changes/...", "//changes:image.digest")
    workspace.build(*targets)
    digest = workspace.text("changes/image.digest.txt") if _standin() else ""
    assert workspace.build(*targets).ran == ()
    build = "changes/BUILD.bazel"
    with edited(workspace, build, "oci_run_and_commit(", "# a comment\noci_run_and_commit("):
        assert workspace.build(*targets).ran == ()
    with edited(workspace, build, '"label": "one"', '"label": "two"'):
        assert LAYER not in workspace.build(*targets).ran, "a label needs no run"
    with edited(workspace, build, "echo one", "echo two"):
        assert workspace.build(*targets).ran.count(LAYER) == 1
    workspace.build(*targets)
    with edited(workspace, build, "//bases:stubborn", "//bases:linked"):
        assert workspace.build(*targets).ran.count(LAYER) == 1
    workspace.build(*targets)
    assert not digest or workspace.text("changes/image.digest.txt") == digest


@pytest.mark.hosts("docker")
def test_the_same_bytes_after_clean_and_nothing_from_a_disk_cache(
    workspace: Workspace, tmp_path: Path
):
    targets = ("//changes/...", f"--disk_cache={tmp_path / 'cache'}")
    layers = ("changes/image_layer.tar", "changes/other.tar")
    workspace.run("clean")  # what other tests have built went to no cache
    workspace.build(*targets)
    first = [workspace.output(layer).read_bytes() for layer in layers]
    workspace.run("clean")
    assert workspace.build(*targets).ran == (), "the cache does not serve"
    workspace.run("clean")
    time.sleep(1.1)  # times in the layer have whole seconds
    assert workspace.build("//changes/...").ran.count(LAYER) == 2
    assert [workspace.output(layer).read_bytes() for layer in layers] == first


@pytest.mark.hosts("buildah")
def test_silent_when_it_works_even_with_strict_surroundings(workspace: Workspace):
    workspace.run("info", "release")  # a server that starts says so
    with edited(workspace, "changes/BUILD.bazel", "echo one", "echo said; echo strict"):
        done = workspace.build(
            "//changes/...",
            "--incompatible_strict_action_env",
            f"--action_env=PATH={workspace.on(workspace.host)._env()['PATH']}",
            "--sandbox_default_allow_network=false",
            "--noenable_workspace",
            "--incompatible_disallow_empty_glob",
        )
    assert LAYER in done.ran, done.log
    assert "said" not in done.log
    assert [line for line in done.log.splitlines() if not line.startswith(("INFO", "WARN"))] == []
    assert content(workspace.output("changes/image_layer.tar"), "file") == b"strict\n"


# -- ends


@pytest.mark.hosts("docker", "podman", "buildah")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cancelling_leaves_no_container(workspace: Workspace, host: Host, number: signal.Signals):
    before = host.leftovers()
    process = workspace.start(
        "build", f"--@runcommit//bazel:backend={host.backend}", "//failing:sleeping",
        "--color=no", "--curses=no",
    )  # fmt: skip
    try:
        wait_until(lambda: bool(host.leftovers() - before), process)
        process.send_signal(number)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 8, log
    wait_until(lambda: not host.leftovers() - before)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


# -- rootless


@pytest.mark.hosts("podman-rootless", "buildah-rootless")
@pytest.mark.needs("podman-rootless")
def test_a_user_without_rights_builds(rootless_workspace: Workspace, host: Host):
    # without a network, as a user's own needs a /dev/net/tun that not every machine has
    done = rootless_workspace.on(host).build("//traps:with_inputs")
    assert done.ran.count(LAYER) == 1
    layer = rootless_workspace.output("traps/with_inputs.tar")
    assert set(entries(layer)) == {"copied"}
    assert layer.resolve().stat().st_uid != 0


# -- helpers


class edited:  # noqa: N801
    """A file with a change that is taken back with the block."""

    def __init__(self, workspace: Workspace, path: str, old: str, new: str) -> None:
        self._file = workspace.folder / path
        self._text = self._file.read_text()
        assert self._text.count(old) == 1
        self._file.write_text(self._text.replace(old, new))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._file.write_text(self._text)


def _standin() -> bool:
    return "RUNCOMMIT_RULES_OCI" not in os.environ
