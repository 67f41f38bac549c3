"""The rules of the house that a program can check."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.interface.hookspecs import Pipeline
from tests.options_table import options_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent
CORE = TOP / "runcommit_core"
PACKAGES = (
    CORE,
    *sorted(TOP.glob("backends/*/runcommit_*")),
    *sorted(TOP.glob("examples/*/runcommit_*")),
)
ENGINES = ("docker", "podman", "buildah")
ENGINE = re.compile("|".join(ENGINES), re.IGNORECASE)
PLUGGABLE = {"runcommit_core", "runcommit_core.testing"}
"""What a backend may import from: what a third party's backend has, too."""

STARTERS = re.compile(r"fork|forkpty|system|popen|posix_spawnp?|(exec|spawn)[lv]p?e?")
FORBIDDEN = [
    # Taken apart, so that this file does not hold them.
    "py" + r"pi\.org",
    "python" + r"hosted\.org",
    "npm" + r"js\.(org|com)",
    "deb" + r"ian\.org",
    r"(?<![\w.])/wo" + r"rk(?![\w-])",
    r"\.\./sha" + "red",
    r"/ro" + r"ot/\.",
]


CHECKERS = {
    "lint": ("ruff", "check", "--output-format=concise"),
    "format": ("ruff", "format", "--check", "--output-format=concise"),
    "types": ("mypy",),
}


@pytest.mark.parametrize(
    "checker",
    [
        pytest.param(CHECKERS["lint"], id="lint"),
        pytest.param(CHECKERS["format"], id="format"),
        pytest.param(CHECKERS["types"], id="types", marks=pytest.mark.costly),
    ],
)
def test_checker_has_no_findings(checker: tuple[str, ...]):
    done = subprocess.run(
        [sys.executable, "-m", *checker],
        check=False,
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def sources(*folders: Path) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield path.relative_to(TOP), parsed(path)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name); relative imports are resolved, name is empty for ``import module``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*above, *filter(None, [module])])
            yield from ((module, alias.name) for alias in node.names)


def package_of(path: Path) -> str:
    parts = path.parent.parts
    return ".".join(parts[2:] if parts[0] in ("backends", "examples") else parts)


def test_only_one_module_starts_processes_and_one_divides_them():
    starts = set()
    for path, tree in sources(*PACKAGES):
        if {module for module, _ in imports(tree, "")} & {"subprocess", "multiprocessing", "pty"}:
            starts.add(str(path))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
                and STARTERS.fullmatch(node.attr)
            ):
                starts.add(str(path))
    assert starts == {"runcommit_core/engine/process.py", "runcommit_core/engine/forks.py"}


def test_only_what_isolates_it_starts_python():
    """Elsewhere, code of the current folder or of PYTHONPATH would run; a bench is its author's."""
    names = {
        str(path)
        for path, tree in sources(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "executable"
    }
    assert names == {"runcommit_core/engine/apart.py", "runcommit_core/testing/bench.py"}


def test_core_knows_no_backend():
    backends = {package.name for package in PACKAGES} - {"runcommit_core"}
    found = [
        f"{path}: {module}"
        for path, tree in sources(CORE)
        for module, _ in imports(tree, package_of(path))
        if module.partition(".")[0] in backends
    ]
    assert found == []


FORMATS = re.compile(
    r"docker[-_]?(archive|tar|hub|file|ignore|flags|run_flags|manifest|types|init|config|layer|index)"
    r"|docker\.io|vnd\.docker|docker://|docker-(content|distribution)-|is_docker|as_docker|_docker_documents|_DOCKERS"
    r"|below_docker|Docker-Content-Digest|docker-credential-|\.dockerenv|podman-init|docker-daemon"
    r"|\.docker$",
    re.IGNORECASE,
)
"""Formats and protocols that bear an engine's name and are everybody's."""

NAMED = {
    # what runcommit brings, and what users are told to choose
    "plugins/builtin.py": 5,
    # the keys of the published answer to `image id`
    "cli/commands.py": 4,
    # schemes of names for images, which are told from paths
    "oci/references.py": 1,
    # whose syntax, and whose archives and images, a text for users is about
    "cli/options.py": 2,
    "oci/candidates.py": 1,
    "oci/detect.py": 3,
    "plan/plan.py": 1,
    "remote/certificates.py": 1,
    "remote/credentials.py": 2,
    # names that a variable must not have in the environment of a client
    "surroundings/variables.py": 1,
}
"""Modules of the core in whose code an engine's name stands, and how often."""


def named_engines(tree: ast.Module) -> Iterator[str]:
    """Names and texts of a module that name an engine; docstrings aside."""
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    told |= {
        id(after.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef)
        for before, after in itertools.pairwise(node.body)
        if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr)
    }
    for node in ast.walk(tree):
        texts = [getattr(node, field, None) for field in ("id", "attr", "name", "arg", "module")]
        if isinstance(node, ast.Constant) and id(node) not in told:
            texts.append(node.value)
        for text in texts:
            if isinstance(text, str) and ENGINE.search(FORMATS.sub("", text)):
                yield text


def test_core_names_no_engine():
    """A backend brings its engine's names, variables and sentences."""
    found = {
        path.relative_to("runcommit_core").as_posix(): [*named_engines(tree)]
        for path, tree in sources(CORE)
        if "testing" not in path.parts
    }
    assert {path: len(texts) for path, texts in found.items() if texts} == NAMED, found


LINES = {
    "backends/docker/runcommit_docker": 400,
    "backends/podman/runcommit_podman": 500,
    "backends/podman/runcommit_podman_api": 1000,
    "backends/buildah/runcommit_buildah": 400,
    "examples/backend-umoci/runcommit_umoci": 350,
}
"""How long a backend may be in all its modules: what many need is the core's."""


@pytest.mark.parametrize("folder", LINES)
def test_backends_are_short(folder: str):
    lines = [line for path in Path(folder).glob("*.py") for line in path.read_text().splitlines()]
    assert 0 < len(lines) <= LINES[folder]


def test_no_module_of_a_backend_takes_the_name_of_a_step():
    """An import of it would put the module where its package has the step, in mid-process."""
    modules = {path.stem for package in PACKAGES[1:] for path in package.glob("*.py")}
    assert len(modules) > 1
    assert not modules & {name for name in dir(Pipeline) if not name.startswith("_")}


def test_backends_import_only_what_is_public():
    found = []
    for path, tree in sources(*PACKAGES[1:]):
        for module, name in imports(tree, package_of(path)):
            if module.partition(".")[0] != "runcommit_core":
                continue
            if module not in PLUGGABLE or name not in importlib.import_module(module).__all__:
                found.append(f"{path}: {module} {name}")
    assert found == []


def test_repository_names_no_machine_and_no_registry():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.split("\0") if (TOP / name).is_file()]
    assert "pyproject.toml" in names
    forbidden = re.compile("|".join(FORBIDDEN).encode())
    found = [
        f"{name}: {match.group().decode()}"
        for name in names
        for match in forbidden.finditer((TOP / name).read_bytes())
    ]
    assert found == []


def test_the_table_of_options_is_of_these_options():
    text = (TOP / "docs/reference/options.md").read_text()
    rows = re.findall(r"^\| `(--[a-z-]+)` \|", text, re.MULTILINE)
    assert rows == list(options_of("run").values())


def test_the_table_of_options_knows_each_with_each_engine():
    """A table made from a few of the tests says of many options that nobody tried them."""
    lines = (TOP / "docs/reference/options.md").read_text().splitlines()
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines if "|" in line]
    assert len(head) > len(ENGINES)
    untried = {
        f"{row[1]}: {engine}"
        for row in rows
        for engine in ENGINES
        if all(cell == "-" for name, cell in zip(head, row, strict=True) if engine in name)
    }
    assert untried == set()


MOST_LINES, MOST_PARAMETERS = 60, 8


def test_functions_are_short_and_take_little():
    """A recipe fits on a page; the words of the command line arrive as keywords of one group."""
    found = []
    lengths = []
    for path, tree in sources(CORE):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                taken = [each for each in given if each.arg not in ("self", "cls")]
                lengths.append(lines)
                if lines > MOST_LINES or len(taken) > MOST_PARAMETERS:
                    found.append(f"{path}: {node.name}: {lines} lines, {len(taken)} parameters")
    assert found == []
    assert sum(lines <= 25 for lines in lengths) >= 0.95 * len(lengths)
