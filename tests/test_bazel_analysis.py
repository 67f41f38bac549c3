"""What Bazel knows of the rules before anything runs; no engine is needed here."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.bazels import TOP

if TYPE_CHECKING:
    from tests.bazels import Workspace

ACTIONS = {
    "//traps:quoting": "RunCommitLayer",
    "//traps:commit": "RunCommitImage",
    "//traps:extract": "RunCommitExtract",
}
REQUIREMENTS = {"no-remote-exec", "no-sandbox", "supports-graceful-termination"}

pytestmark = [pytest.mark.needs("bazel"), pytest.mark.lane("bazel")]


def action(workspace: Workspace, target: str, mnemonic: str, *flags: str) -> dict[str, Any]:
    query = f"mnemonic({mnemonic}, {target})"
    done = workspace.run(
        "aquery", query, "--output=jsonproto", "--@runcommit//bazel:backend=docker", *flags
    )
    [found] = json.loads(done.stdout)["actions"]
    return dict(found)


def requirements(found: dict[str, Any]) -> dict[str, str]:
    return {item["key"]: item.get("value", "") for item in found["executionInfo"]}


@pytest.mark.parametrize(("target", "mnemonic"), ACTIONS.items(), ids=ACTIONS.values())
def test_actions_say_what_they_need(bazel_workspace: Workspace, target: str, mnemonic: str):
    found = action(bazel_workspace, target, mnemonic)
    told = requirements(found)
    assert set(told) >= {*REQUIREMENTS, "requires-network"}
    # slow actions are worth a cache, a remote one too
    assert not {"no-cache", "no-remote", "no-remote-cache", "local"} & set(told)
    assert found["arguments"][-2:][0] == "job"


def test_no_network_is_asked_for_where_none_is_wanted(bazel_workspace: Workspace):
    told = requirements(action(bazel_workspace, "//traps:with_inputs", "RunCommitLayer"))
    assert "requires-network" not in told


def test_requirements_can_be_changed(bazel_workspace: Workspace):
    flag = "--modify_execution_info=RunCommitLayer=+no-remote-cache"
    told = requirements(action(bazel_workspace, "//traps:quoting", "RunCommitLayer", flag))
    assert "no-remote-cache" in told


def test_strict_surroundings_have_one_path(bazel_workspace: Workspace):
    flag = "--incompatible_strict_action_env"
    found = action(bazel_workspace, "//traps:quoting", "RunCommitLayer", flag)
    variables = {item["key"]: item["value"] for item in found["environmentVariables"]}
    assert variables["PATH"].startswith("/bin:/usr/bin")


def test_without_an_engine_targets_are_skipped(bazel_workspace: Workspace):
    done = bazel_workspace.build("//...", check=False)
    assert done.returncode == 0, done.log
    assert not [name for name in done.ran if name.startswith("RunCommit")]
    done = bazel_workspace.build("//seed:image", check=False)
    assert done.returncode == 1
    assert "incompatible" in done.log


def test_helper_targets_are_private_and_manual(bazel_workspace: Workspace):
    query = "//seed:image_layer"
    done = bazel_workspace.run("query", query, "--output=build")
    assert '"manual"' in done.stdout
    assert '"requires-container-runtime"' in done.stdout
    assert '"//visibility:private"' in done.stdout
    wildcard = bazel_workspace.run("query", "//seed:all - attr(tags, manual, //seed:all)").stdout
    assert set(wildcard.split()) == {"//seed:image", "//seed:between"}


def test_a_wrong_backend_is_named(bazel_workspace: Workspace):
    done = bazel_workspace.build("//traps:argv", "--@runcommit//bazel:backend=a b", check=False)
    assert done.returncode == 1
    assert '"a b" can be no backend' in done.log, done.log


def test_one_kind_of_command_per_target(bazel_workspace: Workspace):
    folder = bazel_workspace.folder / "wrong"
    folder.mkdir()
    (folder / "BUILD.bazel").write_text(
        'load("@runcommit//bazel:defs.bzl", "container_run_and_commit_layer")\n'
        "[container_run_and_commit_layer(\n"
        '    name = "wrong" + each, base = "//bases:busybox", argv = ["x"] if each else [],\n'
        '    commands = ["y"] if each else [],\n'
        ') for each in ["", "2"]]\n'
    )
    flag = "--@runcommit//bazel:backend=docker"
    done = bazel_workspace.build("//wrong/...", flag, "--keep_going", check=False)
    assert done.returncode == 1
    assert "expected one of commands, argv and script, found none" in done.log
    assert "found commands and argv" in done.log


def test_public_files_use_no_rule_that_bazel_8_has_not():
    native = re.compile(r"\bnative\.|^\s*(py|sh|cc|java)_(binary|library|test)\(", re.MULTILINE)
    for path in sorted((TOP / "bazel").rglob("*")):
        if path.suffix == ".bzl" or path.name == "BUILD.bazel":
            text = path.read_text()
            used = {match[2] for match in native.finditer(text) if match[1]}
            for match in native.finditer(text):
                assert match[1], f"{path}: {match[0]}"
                assert f'"{match[1]}_{match[2]}"' in text, f"{path}: {match[0]} is not loaded"
            assert used <= {"binary", "library", "test"}


def test_nothing_is_loaded_by_itself(bazel_workspace: Workspace):
    """Bazel 8 loads no rule by itself and knows no WORKSPACE; 7 can do so, too."""
    flags = ("--incompatible_autoload_externally=", "--noenable_workspace")
    everything = "//... + @runcommit//bazel:all + @runcommit//bazel/private:all"
    done = bazel_workspace.run("query", everything, *flags)
    assert "@runcommit//bazel:toolchain_type" in done.stdout
