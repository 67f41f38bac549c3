"""What of the Bazel module is made from something else, or must agree with it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

TOP = Path(__file__).parent.parent
NAME = re.compile(r"[a-z0-9_.-]+")


def test_the_lock_file_has_every_dependency_and_no_registry():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    lock = (TOP / "bazel/hermetic/requirements.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    wanted = {NAME.match(each)[0].replace(".", "-") for each in project["dependencies"]}
    assert locked >= wanted
    assert "://" not in lock
    build = (TOP / "bazel/hermetic/BUILD.bazel").read_text()
    linked = set(re.findall(r"@runcommit_pip//(\w+)", build))
    assert linked == {name.replace("-", "_") for name in wanted}


def test_the_module_has_the_versions_of_the_project():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    version = f'"{project["version"]}"'
    module = (TOP / "MODULE.bazel").read_text()
    assert f"    version = {version}," in module
    assert f"_OF_THE_SOURCES = {version}" in (TOP / "runcommit_core/version.py").read_text()
    assert f'bazel_dep(name = "runcommit", version = {version})' in (
        (TOP / "docs/how-to/bazel.md").read_text()
    )
