"""What rules_docker's own tests assert, and each of its known defects, on a real Bazel.

All targets of ``tests/bazel/workspace/traps`` are built at once on each engine, on one base.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing.bench import content, entries, image_config
from tests import bazels, images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bazels import Workspace
    from tests.hosts import Host

ENGINES = ("docker", "podman", "buildah")
pytestmark = [
    pytest.mark.hosts(*ENGINES),
    pytest.mark.needs("bazel"),
    pytest.mark.lane("bazel"),
]


@pytest.fixture(scope="session")
def traps(bazel_workspace: Workspace, host: Host, bazel_folder: Path) -> Iterator[Path]:
    """A copy of what the targets made with this host's engine."""
    workspace = bazel_workspace.on(host)
    temporary = set(_files(host.env["TMPDIR"]))
    workspace.build("//traps/...", "//Upper/...")
    assert set(_files(host.env["TMPDIR"])) == temporary, "temporary files stayed"
    copy = bazel_folder / f"traps-{host.name}"
    copy.mkdir()
    for name in ("traps", "Upper"):
        shutil.copytree(workspace.output(name), copy / name)
    yield copy
    shutil.rmtree(copy)


@pytest.fixture
def built(traps: Path) -> Path:
    return traps / "traps"


def _files(folder: str) -> Iterator[str]:
    from pathlib import Path

    # logs and locks of the engines themselves are not an action's
    yield from (str(path) for path in Path(folder).rglob("*") if "runcommit" in path.name)


def saved(archive: Path) -> tuple[dict[str, object], dict[str, object], list[str]]:
    """The entry of manifest.json, the config, and the names in the topmost layer."""
    with tarfile.open(archive) as tar:
        [entry] = json.loads(_read(tar, "manifest.json"))
        config = json.loads(_read(tar, entry["Config"]))
        with tarfile.open(fileobj=tar.extractfile(entry["Layers"][-1])) as layer:
            return entry, config, layer.getnames()


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file
    return file.read()


def test_extract_gives_the_file(built: Path):
    assert (built / "extract/foo.txt").read_text() == "test\n"


def test_commit_gives_an_image_that_keeps_its_command(built: Path):
    entry, config, names = saved(built / "commit_commit.tar")
    assert names == ["foo.txt"]
    assert entry["RepoTags"] == ["bazel/traps:commit"]
    # two words stay one, where splitting at blanks made three
    assert config["config"] == bazels.BUSYBOX


def test_commit_layer_gives_the_layer_alone(built: Path):
    layer = built / "commit_layer.tar.gz"
    with tarfile.open(layer, "r:gz") as tar:
        assert set(tar.getnames()) == {"foo.txt", "env.txt"}
        assert _read(tar, "env.txt") == b"a \"value\" with $ and 'blanks'\n"
    told = json.loads((built / "commit_layer.metadata.json").read_bytes())
    diff_id = (built / "commit_layer.diff_id").read_text().strip()
    assert [item["diff_id"] for item in told["layers"]] == [diff_id]


def test_an_entrypoint_is_not_in_the_way_and_no_run_flag_leaks(built: Path):
    _, config, names = saved(built / "stubborn_commit.tar")
    assert "tmp/who" in names
    assert config["config"] == bazels.STUBBORN
    assert "s3cret" not in json.dumps(config)
    assert "container" not in config
    assert config.get("container_config") is None


def test_an_oci_image_keeps_all_of_the_bases_config_and_its_volumes(built: Path):
    config = image_config(built / "stubborn_oci")
    assert config["config"] == bazels.STUBBORN
    layer = built / "stubborn_oci_layer.tar"
    assert content(layer, "tmp/who") == b"0\n"
    assert content(layer, "data/changed") == b"changed\n"


def test_no_shell_of_the_host_sees_a_command(built: Path):
    layer = built / "quoting.tar"
    assert content(layer, "step") == b"step 2\n"
    assert content(layer, "quoted") == b"it's$HOME `id` $(exit 3) \\ * \""
    assert content(layer, "expanded") == b"/root within ticks\n"


def test_commands_have_one_shell(built: Path):
    assert content(built / "one_shell.tar", "data/greeting") == b"hello\n"


def test_exec_form_and_scripts(built: Path):
    assert content(built / "argv.tar", "words") == b"[$HOME][a b][][']"
    assert content(built / "script.tar", "scripted") == b"from a script\n"


def test_nothing_changed_is_an_empty_layer_and_not_the_bases_topmost(built: Path):
    layer = (built / "nothing.tar").read_bytes()
    assert layer == bytes(len(layer))
    assert entries(built / "nothing.tar") == {}


def test_archives_with_blobs_are_bases(built: Path):
    assert set(entries(built / "hybrid.tar")) == {"hybrid"}


def test_inputs_are_in_no_layer(built: Path):
    layer = built / "with_inputs.tar"
    assert set(entries(layer)) == {"copied"}
    assert b"from a script" in content(layer, "copied")


def test_files_and_folders_are_extracted(built: Path):
    folder = built / "several"
    assert (folder / "other").read_text() == "other\n"
    assert (folder / "data/kept").read_text() == "kept"
    assert (folder / "out/below/two").read_text() == "2\n"
    assert (folder / "out/link").read_text() == "1\n"
    assert (folder / "out/below/empty").is_dir()


def test_a_package_may_have_upper_case_letters(traps: Path):
    entry, _, names = saved(traps / "Upper/Case/Target_commit.tar")
    assert names == ["upper"]
    assert entry["RepoTags"] == ["bazel/upper/case:target"]


def test_nothing_travels_as_a_whole_image(built: Path):
    told = json.loads((built / "quoting.metadata.json").read_bytes())
    assert told["transport"] in {"registry", "upper"}


def test_all_engines_gave_these_layers(built: Path, host: Host, bazel_folder: Path):
    """Each engine's layers against those of the first engine that was here."""
    names = ("quoting", "argv", "script", "with_inputs", "stubborn_oci_layer", "hybrid")
    found = {name: images.digest((built / f"{name}.tar").read_bytes()) for name in names}
    record = bazel_folder / "layers.json"
    if not record.exists():
        record.write_text(json.dumps(found))
    assert found == json.loads(record.read_text()), host.name


# -- what fails


def failing(workspace: Workspace, target: str) -> bazels.Built:
    done = workspace.build(f"//failing:{target}", check=False)
    assert done.returncode == 1, done.log
    return done


def test_the_first_command_that_fails_fails_the_build(bazel_workspace: Workspace, host: Host):
    done = failing(bazel_workspace.on(host), "second_command")
    assert "(Exit 5)" in done.log
    assert "exit code 42" in done.log
    assert "command 2 of 3" in done.log
    assert "\n1\n2\n3\n" in done.log, "the log is not complete"
    assert "\n2999\n3000\n" in done.log
    assert "to-stderr\n" in done.log
    assert "\nthird\n" not in done.log


def test_a_layer_is_no_base(bazel_workspace: Workspace, host: Host):
    done = failing(bazel_workspace.on(host), "layer_as_image")
    assert "(Exit 6)" in done.log
    assert "bases/file.tar" in done.log


def test_a_file_that_is_not_there(bazel_workspace: Workspace, host: Host):
    done = failing(bazel_workspace.on(host), "not_there")
    assert "/no/such/file" in done.log


def test_a_job_that_takes_too_long(bazel_workspace: Workspace, host: Host):
    done = failing(bazel_workspace.on(host), "slow")
    assert "(Exit 124)" in done.log


def test_a_base_of_another_architecture(bazel_workspace: Workspace, host: Host):
    done = failing(bazel_workspace.on(host), "foreign")
    assert "arm64" in done.log
