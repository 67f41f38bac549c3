"""docs/reference/bazel.md: rules, attributes and flags, from the Starlark files' documentation."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BAZEL = Path(__file__).parents[2] / "bazel"

HEAD = """\
# Bazel: rules, attributes, flags

Made from the documentation strings by `scripts/reference`. How to use all this:
[RUN for rules_oci](../how-to/bazel.md).
"""

FLAGS = """\
## Flags

| flag | |
|---|---|
| `--@runcommit//bazel:backend=NAME` | the backend of all targets that choose none themselves; \
`none`: there is no engine here, skip the targets that need one |
| `--@runcommit//bazel:env=NAME=VALUE` | a variable for runcommit and the engine's client; \
repeatable |
| `--@runcommit//bazel:dependencies=LABEL` | a `py_library` with pluggy and click, for the \
hermetic tool instead of the locked ones |
| `--extra_toolchains=@runcommit//bazel/toolchains:hermetic` | the tool is built from its sources |
"""

MNEMONICS = """\
## Mnemonics

| rule | mnemonic | rules_docker's |
|---|---|---|
| `container_run_and_commit_layer`, `oci_run_and_commit` | `RunCommitLayer` | `RunAndCommitLayer` |
| `container_run_and_commit` | `RunCommitImage` | `RunAndCommit` |
| `container_run_and_extract` | `RunCommitExtract` | `RunAndExtract` |
"""


def page() -> str:
    """The page as Markdown."""
    shared = _attributes(_tree("private/attributes.bzl"))
    parts = [HEAD, *_functions("defs.bzl"), *_functions("oci.bzl")]
    parts.append("## Attributes of all of them\n\n" + _table(shared))
    for file, title in (
        ("layer", "container_run_and_commit_layer"),
        ("image", "container_run_and_commit"),
        ("extract", "container_run_and_extract"),
    ):
        own = _attributes(_tree(f"private/{file}.bzl"))
        parts.append(f"## Attributes of `{title}` alone\n\n" + _table(own))
    toolchain = _tree("private/toolchain.bzl")
    parts.append(f"## runcommit_toolchain\n\n{_doc_of_rule(toolchain, 'runcommit_toolchain')}\n")
    found = [row for row in _attributes(toolchain) if row[0] != "values"]
    parts += [_table(found), FLAGS, MNEMONICS]
    return "\n".join(parts)


def _tree(name: str) -> ast.Module:
    return ast.parse((BAZEL / name).read_text())


def _functions(name: str) -> Iterator[str]:
    """A section for each public function of a file that is loaded by others."""
    for node in _tree(name).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            text, _, arguments = (ast.get_docstring(node) or "").partition("\nArgs:\n")
            items = [
                f"* `{key.strip()}`: {meaning.strip()}"
                for key, _, meaning in (line.partition(":") for line in arguments.splitlines())
            ]
            load = f'```starlark\nload("@runcommit//bazel:{name}", "{node.name}")\n```\n'
            yield "\n".join([f"## {node.name}\n", load, text.strip(), "", *items, ""])


def _attributes(tree: ast.Module) -> list[tuple[str, str, str]]:
    """(name, type, documentation) of the attributes that a file defines, in their order."""
    found = []
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.Dict)):
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and isinstance(value, ast.Call)):
                continue
            function = value.func
            if isinstance(function, ast.Attribute) and ast.unparse(function.value) == "attr":
                found.append((key.value, function.attr, _doc(value), value.lineno))
    rows = sorted(found, key=lambda row: row[3])
    kept = [row for row in rows if not (row[0].startswith("_") or row[1].startswith("output"))]
    return [(name, kind, doc) for name, kind, doc, _ in kept]


def _doc_of_rule(tree: ast.Module, name: str) -> str:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return _doc(node.value)
    raise LookupError(name)


def _doc(call: ast.expr) -> str:
    words = call.keywords if isinstance(call, ast.Call) else []
    for keyword in words:
        if keyword.arg == "doc":
            return str(ast.literal_eval(_joined(keyword.value)))
    return ""


def _joined(node: ast.expr) -> ast.expr:
    """Strings that are added are one: literal_eval adds numbers only."""
    if isinstance(node, ast.BinOp):
        parts = (_joined(node.left), _joined(node.right))
        return ast.Constant("".join(str(ast.literal_eval(part)) for part in parts))
    return node


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{name}` | {kind} | {' '.join(doc.split())} |" for name, kind, doc in rows]
    return "\n".join(["| attribute | type | |", "|---|---|---|", *lines, ""])
