"""docs/reference/hooks.md: what backends and plugins implement, and the values they are given."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING

from markdown import MADE, words

import runcommit_core
from runcommit_core.interface import hookspecs
from runcommit_core.plugins import brought

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = f"""\
# Hooks

{MADE}
A backend or plugin is a module (or an object) with functions marked `@hookimpl`, named like these.
It names only the arguments that it wants, by the names here. How to write one:
[a backend](../how-to/write-a-backend.md), [a plugin](../how-to/plugins.md).
"""

KINDS = {
    "required": "Every backend has it.",
    "optional": "One answer: the first implementation that does not return None.",
    "all": "Every implementation is called.",
}


def page() -> str:
    """The page as Markdown."""
    hooks = list(_hooks())
    names = _closure({name for hook in hooks for name in _names(hook)})
    values = [_value(name) for name in runcommit_core.__all__ if name in names]
    common = [_value("Client"), *map(_module, COMMON), _value("Identity"), _functions()]
    attributes = f"## Attributes\n\n{words(inspect.getdoc(brought) or '')}\n"
    sections = [HEAD, *map(_section, hooks), attributes, RECIPES, *common, VALUES, *values]
    return "\n".join(sections)


COMMON = ("containers", "images", "inventory", "overlays", "roots", "services")

OTHERS = (
    *("added_capabilities", "check_emulation", "client_environment", "flag_values", "identity_of"),
    *("mounts_elsewhere", "overlay_finding", "place_finding", "rootless_limits", "run_environment"),
    *("save_root", "save_upper", "scratch_environment", "settled", "space_finding", "unpack_base"),
    *("cache_dir", "isolated", "unpack_layer"),
    *("variable_stand_ins", "variable_words", "version_finding"),
)

RECIPES = """\
## What backends have in common

A step of a backend is seldom more than one of these, called with the engine's own words:
`from runcommit_core import containers, images, inventory`. None of them has to be used. For an
engine that takes no images `roots` keeps unpacked bases; `services` is for one that is a service.
"""

VALUES = """\
## Values

What travels between the steps; all of it is in `runcommit_core`, and nothing of it can be changed.
"""


def _hooks() -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(inspect.getsource(hookspecs))):
        if isinstance(node, ast.FunctionDef) and any(map(_is_mark, node.decorator_list)):
            yield node


def _is_mark(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).partition("(")[0] == "hookspec"


def _section(hook: ast.FunctionDef) -> str:
    kind = "all" if ast.unparse(hook.decorator_list[0]) == "hookspec" else "optional"
    if hook.name in hookspecs.REQUIRED_STEPS:
        kind = "required"
    told = words(ast.get_docstring(hook) or "")
    return f"## {hook.name}\n\n`{_signature(hook)}`\n\n{told}\n\n*{KINDS[kind]}*\n"


def _signature(function: ast.FunctionDef) -> str:
    return f"{function.name}({_arguments(function)}) -> {ast.unparse(function.returns)}"


def _arguments(function: ast.FunctionDef) -> str:
    arguments = function.args
    arguments.args = [each for each in arguments.args if each.arg != "self"]
    return ast.unparse(arguments)


def _names(node: ast.AST) -> set[str]:
    """The public names that annotations below a node use."""
    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return found & set(runcommit_core.__all__)


def _closure(names: set[str]) -> set[str]:
    """These names and those that their definitions use."""
    found = {name for name in names if inspect.isclass(getattr(runcommit_core, name))}
    further = {other for name in found for other in _names(_annotations(_class(name)))}
    further = {name for name in further if inspect.isclass(getattr(runcommit_core, name))}
    return found if further <= found else _closure(found | further)


def _annotations(definition: ast.ClassDef) -> ast.Module:
    """Fields and public methods' signatures, without what methods do."""
    nodes = [*_fields(definition), *(each.args for each in _methods(definition))]
    return ast.Module(nodes, [])


def _class(name: str) -> ast.ClassDef:
    [node] = ast.parse(inspect.getsource(getattr(runcommit_core, name))).body
    return node


def _fields(definition: ast.ClassDef) -> list[ast.AnnAssign]:
    return [
        node
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_")
    ]


def _methods(definition: ast.ClassDef) -> list[ast.FunctionDef]:
    return [
        node
        for node in definition.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def _module(name: str) -> str:
    """The public functions and values of a module of ``runcommit_core``'s."""
    module = getattr(runcommit_core, name)
    lines = [f"### {name}\n", words(inspect.getdoc(module) or ""), ""]
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            told = re.sub(r"\s+", " ", words(ast.get_docstring(node) or "")).replace(":func:", "")
            if isinstance(node, ast.FunctionDef):
                lines.append(f"* `{name}.{_signature(node)}`: {told}")
            else:
                lines.append(f"* `{name}.{node.name}`: {told}")
                lines += [f"  * `{ast.unparse(field)}`" for field in _fields(node)]
    return "\n".join([*lines, ""])


def _functions() -> str:
    """The public functions that are for backends and in no public module."""
    lines = ["### Others\n"]
    for name in OTHERS:
        [node] = ast.parse(inspect.getsource(getattr(runcommit_core, name))).body
        told = re.sub(r"\s+", " ", words(ast.get_docstring(node) or "")).replace(":func:", "")
        lines.append(f"* `{_signature(node)}`: {told}")
    return "\n".join([*lines, ""])


def _value(name: str) -> str:
    definition = _class(name)
    lines = [f"### {name}\n", words(ast.get_docstring(definition) or ""), ""]
    lines += [f"* `{ast.unparse(node)}`" for node in _fields(definition)]
    for method in _methods(definition):
        told = re.sub(r"\s+", " ", words(ast.get_docstring(method) or ""))
        plain = any(ast.unparse(each) == "property" for each in method.decorator_list)
        signature = f"{method.name}: {ast.unparse(method.returns)}" if plain else _signature(method)
        lines.append(f"* `{signature}`: {told}" if told else f"* `{signature}`")
    return "\n".join([*lines, ""])
