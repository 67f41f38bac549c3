"""Who imports whom in the core: rooms from top to bottom, and never in a circle.

What is imported for types alone counts: who must read one module to understand another does not
care when Python reads it.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOP = Path(__file__).parent.parent
CORE = TOP / "runcommit_core"

MOST_FLAT = 8

ROOMS = """
    __main__
    testing
    cli
    doctor
    runcommit_core
    explanation
    api
    publish
    execute
    plan
    files
    housekeeping
    request
    cache
    remote
    plugins
    steps
    surroundings
    engine
    registry
    interface
    layer
    index
    oci
    tar
    staging cachedir
    disk
    errors records version
    mouth
"""
"""A room imports from rooms on lines below its own, and from no other.

Of two rooms on one line neither imports from the other.  ``runcommit_core`` is the package itself,
with the public names.
"""


def modules() -> dict[str, Path]:
    """The core's modules, by their names below ``runcommit_core``."""
    found = {}
    for path in sorted(CORE.rglob("*.py")):
        parts = path.relative_to(CORE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name or CORE.name] = path
    return found


def imported(tree: ast.Module, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not resolved here"
            names = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for module, name in names:
            package, _, below = module.partition(".")
            if package != CORE.name:
                continue
            whole = f"{below}.{name}" if below else name
            yield whole if whole in known else below or CORE.name


def arrows(known: Mapping[str, Path]) -> dict[str, set[str]]:
    return {
        name: set(imported(ast.parse(path.read_bytes()), known)) - {name}
        for name, path in known.items()
    }


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """The strongly connected parts of more than one node (R. Tarjan, 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            part = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(part) > 1:
                found.append(part)

    for node in graph:
        if node not in order:
            visit(node)
    return found


def heights() -> dict[str, int]:
    lines = ROOMS.split("\n")
    return {room: -number for number, line in enumerate(lines) for room in line.split()}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def upwards(graph: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    height = heights()
    return {
        (module, other)
        for module, others in graph.items()
        for other in others
        if room_of(module) != room_of(other) and height[room_of(other)] >= height[room_of(module)]
    }


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return arrows(modules())


def test_every_room_has_its_line(graph: dict[str, set[str]]):
    assert {room_of(module) for module in graph} == set(heights())


def test_rooms_import_from_rooms_below(graph: dict[str, set[str]]):
    assert upwards(graph) == set()


def test_no_circle_of_imports(graph: dict[str, set[str]]):
    assert circles(graph) == []


def test_few_modules_lie_flat(graph: dict[str, set[str]]):
    flat = sorted(path.name for path in CORE.glob("*.py"))
    assert len(flat) <= MOST_FLAT, flat


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [{"b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_for_types_and_within_functions_count():
    source = """
from typing import TYPE_CHECKING
from runcommit_core import errors
if TYPE_CHECKING:
    from runcommit_core.oci.model import BaseImage

def later():
    import runcommit_core.tar.reader
    from runcommit_core import process, tar
"""
    known = dict.fromkeys(("errors", "oci.model", "tar", "tar.reader", "runcommit_core"), CORE)
    assert set(imported(ast.parse(source), known)) == set(known)


def test_an_arrow_upwards_is_found():
    graph = {"tar.reader": {"oci.model", "errors"}, "oci.model": {"tar.reader", "oci.config"}}
    assert upwards(graph) == {("tar.reader", "oci.model")}
