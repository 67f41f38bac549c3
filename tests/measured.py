"""Coverage of a whole run, every process that Python runs in included.

The file ``a1_coverage.pth`` that comes with coverage starts it in each interpreter that has
``COVERAGE_PROCESS_START`` in its environment: processes that run tests, and command lines that they
start.  Each writes a file of its own into one folder.  That costs a process 0.1 s, so it is done on
one host per backend: what others run is the same code.
"""

from __future__ import annotations

import configparser
import io
import os
import tomllib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.run_folder import run_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    import coverage

    from tests.hosts import HostSpec

TOP = Path(__file__).parent.parent
VARIABLE = "COVERAGE_PROCESS_START"


def begin() -> None:
    """Measure all Python processes that are started from now on."""
    folder = run_folder() / "coverage"
    folder.mkdir()
    folder.chmod(0o1777)
    _settings().write_text(_recipe(folder))
    os.environ[VARIABLE] = str(_settings())


def variables(spec: HostSpec) -> dict[str, str]:
    """What a process on a host needs in its environment to be measured; often nothing."""
    wanted = VARIABLE in os.environ and spec.name == spec.backend
    return {VARIABLE: os.environ[VARIABLE]} if wanted else {}


def save_own() -> None:
    """Write down what this process has done: a worker ends without a word."""
    import coverage

    if own := coverage.Coverage.current():
        own.stop()
        own.save()


def conclude() -> tuple[str, bool]:
    """The table of all that was measured, and whether it reaches the floor.

    A process that was killed leaves no file, or half of one: that is not counted.
    """
    import coverage

    whole = coverage.Coverage(config_file=str(_settings()), messages=False)
    told = io.StringIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", coverage.exceptions.CoverageWarning)
            whole.combine()
        _know_what_nobody_ran(whole)
        covered = whole.report(file=told)
    except coverage.CoverageException as error:
        return f"coverage was not counted: {error}\n", False
    floor = float(_wanted()["report"]["fail_under"])
    told.write(f"{covered:.2f} % are covered; the floor is {floor:g} %\n")
    return told.getvalue(), covered >= floor


def _know_what_nobody_ran(whole: coverage.Coverage) -> None:
    """Count the modules that no process has imported."""
    files = [str(path) for folder in _packages() for path in folder.rglob("*.py")]
    whole.get_data().touch_files(files, plugin_name="")


def _packages() -> list[Path]:
    """Where the packages are that are measured."""
    places = (TOP, *TOP.glob("backends/*"))
    folders = [place / name for place in places for name in _wanted()["run"]["source_pkgs"]]
    return [folder for folder in folders if folder.is_dir()]


def _wanted() -> dict[str, Any]:
    tool = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]
    return dict(tool["coverage"])


def _settings() -> Path:
    return run_folder() / "coverage.ini"


def _recipe(folder: Path) -> str:
    """What pyproject.toml says, where every user can read it, and where the files go."""
    parser = configparser.ConfigParser(interpolation=None)
    # sources, or a package that is told, would cost each process a look at every file
    parser["run"] = {
        "branch": "true",
        "parallel": "true",
        "data_file": str(folder / "data"),
        "include": _lines(f"{package}/*" for package in _packages()),
    }
    parser["report"] = {
        "exclude_also": _lines(_wanted()["report"]["exclude_also"]),
        "show_missing": "true",
        "skip_covered": "true",
    }
    written = io.StringIO()
    parser.write(written)
    return written.getvalue()


def _lines(words: Iterable[str]) -> str:
    return "".join(f"\n{word}" for word in words)
