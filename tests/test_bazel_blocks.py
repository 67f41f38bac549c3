"""What the documentation shows of Bazel, analysed or built by a real one."""

from __future__ import annotations

import ast
import io
import shlex
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing.bases import busybox_layer
from tests.docblocks import TOP, blocks, commands, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bazels import Workspace
    from tests.hosts import Host

HOW_TO = "docs/how-to/bazel.md"
EXAMPLE = "examples/bazel/README.md"
STARLARK = [
    block
    for page in pages()
    for block in blocks(page, (TOP / page).read_text())
    if block.language == "starlark"
]
MODULES = [block for block in STARLARK if block.title == "MODULE.bazel"]
BUILDS = [block for block in STARLARK if block.title != "MODULE.bazel"]

pytestmark = [pytest.mark.needs("bazel"), pytest.mark.lane("bazel")]


@pytest.fixture
def packages(bazel_workspace: Workspace) -> Iterator[Workspace]:
    """A package for each block, and an empty library for the tool from its sources."""
    folder = bazel_workspace.folder / "blocks"
    write(folder / "dependencies", 'load("@rules_python//python:defs.bzl", "py_library")\n'
          'py_library(name = "dependencies", visibility = ["//visibility:public"])\n')  # fmt: skip
    for number, block in enumerate(BUILDS):
        write(folder / str(number), block.text)
        (folder / str(number) / "server.tar").touch()
    yield bazel_workspace
    shutil.rmtree(folder)


def write(folder: Path, build_file: str) -> None:
    folder.mkdir(parents=True)
    (folder / "BUILD.bazel").write_text(build_file)


def analyse(workspace: Workspace, *words: str) -> None:
    dependencies = "--@runcommit//bazel:dependencies=//blocks/dependencies"
    backend = "--@runcommit//bazel:backend=podman"
    workspace.run("build", "--nobuild", backend, dependencies, *words)


def test_the_blocks_of_build_files_are_analysed(packages: Workspace):
    assert len(BUILDS) > 5
    analyse(packages, "//blocks/...")


def test_the_blocks_of_module_files_name_what_is_there(packages: Workspace):
    module = (packages.folder / "MODULE.bazel").read_text()
    for call in (node.value for block in MODULES for node in ast.parse(block.text).body):
        if ast.unparse(call.func) == "bazel_dep":
            name = ast.literal_eval(call.keywords[0].value)
            assert f'bazel_dep(name = "{name}"' in module
        else:
            [label] = map(ast.literal_eval, call.args)
            analyse(packages, f"--extra_toolchains={label}", "//blocks/0:all")


@pytest.fixture
def top(bazel_workspace: Workspace, host: Host) -> Iterator[Workspace]:
    """The workspace, whose package at the top is for the caller to fill."""
    file = bazel_workspace.folder / "BUILD.bazel"
    before = file.read_text()
    yield bazel_workspace.on(host)
    file.write_text(before)


def run_commands(workspace: Workspace, page: str, *flags: str) -> None:
    """Run the commands of a page's block; each must begin with ``bazel``."""
    [block] = [each for each in blocks(page, (TOP / page).read_text()) if each.run_by]
    for command in commands(block.text):
        program, *words = shlex.split(command, comments=True)
        assert program == "bazel"
        workspace.run(*words, *flags)


@pytest.mark.hosts("podman")
def test_the_commands_of_the_how_to_are_understood(top: Workspace):
    [block] = [each for each in BUILDS if each.page == HOW_TO and each.title]
    (top.folder / "BUILD.bazel").write_text(block.text)
    run_commands(top, HOW_TO, "--nobuild")


def write_small_debian(path: Path) -> None:
    """Write a file system with what the example calls, beside what busybox has."""
    files = {
        "usr/bin/useradd": b"#!/bin/sh\necho service:x:99:99::/:/bin/sh >>/etc/passwd\n",
        "usr/bin/install": b"#!/bin/sh\nmkdir -p /srv/data\n",
        "var/lib/dpkg/status": b"Package: bash\nStatus: install ok installed\nVersion: 1\n\n",
    }
    path.write_bytes(busybox_layer())
    with tarfile.open(path, "a") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.hosts("podman")
def test_the_example_is_built(top: Workspace):
    shutil.copy(TOP / "examples/bazel/BUILD.bazel", top.folder)
    write_small_debian(top.folder / "rootfs.tar")
    run_commands(top, EXAMPLE)
    assert "bash" in top.text("packages/packages.txt")
