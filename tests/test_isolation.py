"""No code of the current folder, or of the user's PYTHONPATH, runs in a Python that we start."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core import process

if TYPE_CHECKING:
    from tests.bases import Base
    from tests.hosts import Host

TOP = Path(__file__).parent.parent
OF_PYTHON = {"sitecustomize", "usercustomize", "org", "coverage", "encodings"}
"""What an interpreter looks for by itself, and modules of its own that others may not have."""

TRACE = """\
import posix
file = posix.open({trace!r}, posix.O_WRONLY | posix.O_APPEND)
posix.write(file, __name__.encode() + b"\\n")
posix.close(file)
"""
"""Nothing but what is built into the interpreter, for whoever runs it may have nothing else yet."""


def imported_names() -> set[str]:
    """The first names of all modules that we, or anything that we import, may import."""
    found = {*sys.stdlib_module_names, *sys.modules, *OF_PYTHON}
    for path in (*TOP.glob("runcommit_core/**/*.py"), *TOP.glob("backends/**/*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return {name.partition(".")[0] for name in found}


def plant(folder: Path, trace: Path) -> Path:
    """A folder with a module of every name; each writes to ``trace`` when it is run."""
    folder.mkdir()
    for name in imported_names():
        (folder / f"{name}.py").write_text(TRACE.format(trace=str(trace)))
    return folder


def test_a_backends_module_is_called_with_its_words(tmp_path: Path):
    """It finds ours and Python's own library, and what lies beside its package nobody imports."""
    package = tmp_path / "guest_of_ours"
    package.mkdir()
    (package / "__init__.py").touch()
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    lines = (
        "import json",
        "from runcommit_core import forks",
        "def main(*words):",
        "    print(json.dumps(words), flush=True)",
        "    return forks.ended(forks.forked(lambda: len(words)))",
    )
    (package / "called.py").write_text("\n".join(lines))
    find = "import runcommit_core, sys; sys.path.append(sys.argv[1]);"
    find += (
        "from runcommit_core import isolated; print(*isolated('guest_of_ours.called'), sep='\\0')"
    )
    words = process.output(sys.executable, "-c", find, str(tmp_path)).split("\0")
    done = process.attempt(*words, "one", "t w o")
    assert (done.returncode, done.output) == (2, '["one", "t w o"]\n')


@pytest.mark.hosts("docker", "podman", "podman-rootless", "buildah", "buildah-rootless", "native")
def test_no_planted_module_runs(host: Host, shared_tmp: Path, busybox_base: Base) -> None:
    trace = shared_tmp / "trace"
    trace.touch()
    trace.chmod(0o666)
    here, path = plant(shared_tmp / "here", trace), plant(shared_tmp / "path", trace)
    surroundings = {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}

    # a user's own Python takes them: the traps work
    host.run(host.python, "-c", "import this", cwd=here)
    assert trace.read_text() == "this\n"
    assert host.run(host.python, "-P", "-c", "", check=False, env=surroundings).returncode == 1
    assert "encodings\n" in trace.read_text()
    trace.write_text("")

    isolation = ("--run-flag", f"--isolation={host.spec.isolation}")
    network = ("--network", "none")
    words = ("run", "-b", host.backend, *network, "--no-cache", "--verify", busybox_base.ref)
    ran = host.run(
        *(host.python, "-I", "-m", "runcommit_core", *words, "-c", "echo x > /new"),
        *(isolation if host.backend == "buildah" else ()),
        cwd=here, env=surroundings,
    )  # fmt: skip
    assert ran.stdout.startswith("sha256:")
    assert trace.read_text() == ""
