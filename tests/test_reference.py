"""The pages of the reference that are made from the sources are those of these sources."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runcommit_core.cli.commands import cli
from runcommit_core.errors import RuncommitError
from runcommit_core.interface.hookspecs import Pipeline

TOP = Path(__file__).parent.parent
REFERENCE = TOP / "docs/reference"
PAGES = ["bazel.md", "cli.md", "errors.md", "hooks.md", "job.schema.json", "schemas.md"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, TOP / "scripts/reference", folder], check=True)
    assert sorted(path.name for path in folder.iterdir()) == PAGES
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_made_from_the_sources(name: str, made: Path):
    told = "out of date: run .venv/bin/python scripts/reference"
    assert (REFERENCE / name).read_text() == (made / name).read_text(), told


def test_every_attribute_of_bazel_rules_is_told(made: Path):
    assert "|  |\n" not in (made / "bazel.md").read_text()


def test_every_hook_verb_option_variable_and_error_is_there(made: Path):
    pages = {name: (made / name).read_text() for name in PAGES}
    hooks = {name for name in dir(Pipeline) if not name.startswith("_")}
    assert set(re.findall(r"^## (\w+)$", pages["hooks.md"], re.MULTILINE)) >= hooks
    for verb in cli.commands:
        assert f"## runcommit {verb}" in pages["cli.md"]
    for option in cli.commands["run"].params:
        if option.param_type_name == "option":
            assert f"`{option.opts[-1]}" in pages["cli.md"]
    files = {*(TOP / "runcommit_core").rglob("*.py")} - {
        *TOP.glob("runcommit_core/testing/**/*.py")
    }
    sources = "".join(path.read_text() for path in files)
    for variable in set(re.findall(r'"(RUNCOMMIT_[A-Z_]+)"', sources)):
        assert f"| `{variable}` |" in pages["cli.md"]
    for error in RuncommitError.__subclasses__():
        if error.__module__ == RuncommitError.__module__:
            assert re.search(
                rf"^\| {error.exit_code} \|.*`{error.__name__}`", pages["errors.md"], re.MULTILINE
            )
