"""Plugins that are not backends: found, asked for, blocked, broken, and beside the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import (
    BackendContractError,
    PolicyError,
    UsageError,
    explain,
    hookimpl,
    run_commit,
)
from runcommit_core.plugins.chosen import chosen_plugins
from runcommit_core.plugins.distributions import may_have
from tests import canned, images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runcommit_core import Layers, Result

    Install = Callable[..., None]

SAYING = """\
from runcommit_core import hookimpl
said = []
@hookimpl
def check(job, layers):
    said.append("{name}")
"""
OBSERVING = """\
from runcommit_core import hookimpl
runcommit_observer = True
@hookimpl(wrapper=True)
def run():
    return (yield)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    one = images.image(images.layer({"old": b"old"}))
    return f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(one))}"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    known = set(sys.modules)
    yield folder
    for name in sys.modules.keys() - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """Put a distribution of one module with one entry point where Python looks."""

    def put(name: str, code: str = SAYING, *, owner: str = "", value: str = "") -> None:
        owner = owner or f"dist-{name}"
        module = owner.replace("-", "_")
        (site / f"{module}.py").write_text(code.replace("{name}", name))
        info = site / f"{module}-2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 2.0\n")
        (info / "entry_points.txt").write_text(f"[runcommit.plugins]\n{name} = {value or module}\n")

    return put


def names(*asked: object) -> list[str]:
    return [plugin.name for plugin in chosen_plugins(asked)]


def job(base: str, **options: Any) -> Result:
    options = {"network": "none", "console": lambda _: None, **options}
    return run_commit(base, "true", backend=canned.backend(), **options)


# --- which take part


def test_installed_ones_by_name_then_those_asked_for(install: Install, site: Path):
    for name in ("zeta", "alpha", "mid"):
        install(name)
    (site / "loose.py").write_text(SAYING)
    given = SimpleNamespace()
    assert names() == ["alpha", "mid", "zeta"]
    assert names("loose", "zeta", given) == ["alpha", "mid", "zeta", "loose", ""]
    assert str(chosen_plugins()[0]) == "alpha (dist-alpha 2.0)"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["no:a"], ["b"]),
        (["no:a", "no:b", "no:unknown"], []),
        (["a", "no:a"], ["b"]),
        (["no:a", "a"], ["a", "b"]),
        (["no:loose", "loose"], ["a", "b", "loose"]),
        (["loose", "no:loose"], ["a", "b"]),
        (["loose", "loose"], ["a", "b", "loose"]),
        (["dist_a", "dist_a:"], ["a", "b"]),
    ],
)
def test_blocked_and_named_twice(
    install: Install, site: Path, words: list[str], expected: list[str]
):
    install("a")
    install("b")
    (site / "loose.py").write_text(SAYING)
    assert names(*words) == expected


def test_a_blocked_plugin_is_not_imported(install: Install):
    install("broken", "raise RuntimeError('at import')")
    assert names("no:broken") == []


def test_all_of_them_are_called(base: str, install: Install):
    install("a")
    job(base)
    job(base, plugins=["no:a"])
    assert sys.modules["dist_a"].said == ["a"]


def test_plugins_take_no_part_in_an_explanation(base: str, install: Install):
    install("a")
    install("b", OBSERVING.replace("runcommit_observer = True", ""))
    options = {"backend": "podman", "engine_path": "/nowhere/engine", "network": "none"}
    told = dict(explain(base, "true", plugins=["no:b"], **options).facts)
    assert told["plugin"].startswith("a (dist-a 2.0) takes part in check, ")
    assert told["cache"].startswith("hermetic: a result of this very job is taken from")
    assert sys.modules["dist_a"].said == []
    told = dict(explain(base, "true", **options).facts)
    assert told["cache"].startswith("not used for this job: it runs twice or with plugins")
    with pytest.raises(UsageError, match="no plugin is called 'c'; installed: a, b"):
        explain(base, "true", plugins=["c"], **options)


# --- errors


def test_an_unknown_name(install: Install):
    with pytest.raises(UsageError, match="no plugin is called 'tming'; installed: none"):
        names("tming")
    install("timing")
    with pytest.raises(UsageError, match="'tming'; installed: timing") as caught:
        names("tming")
    assert "runcommit plugins" in caught.value.tip
    for word in ("", "no:"):
        with pytest.raises(UsageError, match="can be called"):
            names(word)


def test_a_broken_import_names_the_distribution(install: Install):
    install("bad", "import no_such_module")
    with pytest.raises(
        UsageError, match=r"plugin 'bad' of dist-bad 2\.0 cannot be imported"
    ) as caught:
        names()
    assert "ModuleNotFoundError: No module named 'no_such_module'" in str(caught.value)
    assert caught.value.tip == "do without it: -p no:bad; or uninstall dist-bad"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (SAYING.replace("check", "chek"), "has a wrong hook: .*chek"),
        (SAYING.replace("layers", "layer"), "has a wrong hook: .*layer"),
        ("x = 1", "has no hook"),
    ],
)
def test_a_wrong_hook_names_the_distribution(install: Install, code: str, told: str):
    install("fine")
    install("bad", code)
    with pytest.raises(BackendContractError, match=f"(?s)plugin 'bad' of dist-bad 2.0 {told}"):
        names()


def test_two_distributions_with_one_name(install: Install):
    install("a", owner="one")
    install("a", owner="other")
    with pytest.raises(UsageError, match=r"from (one|other) 2\.0 and (one|other) 2\.0") as caught:
        names()
    assert "-p no:a" in caught.value.tip
    assert names("no:a") == []


@pytest.mark.parametrize("word", ["os.path:nothing", "no.such", "a:b"])
def test_a_module_that_is_not_there(word: str):
    with pytest.raises(UsageError, match=f"plugin '{word}' cannot be imported"):
        names(word)


# --- check and the cache


def plugin(**members: object) -> object:
    return SimpleNamespace(**members)


@hookimpl
def check(layers: Layers) -> None:
    if len(layers):
        raise PolicyError("refused")


@hookimpl(wrapper=True)
def watching() -> Any:
    return (yield)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"check": hookimpl(lambda: None)}, "hit"),
        ({"run": watching, "runcommit_observer": True}, "hit"),
        ({"run": watching}, "off"),
        ({"run": watching, "runcommit_observer": "yes"}, "off"),
        ({"check": hookimpl(lambda: None), "run": watching}, "off"),
        ({}, "off"),
    ],
)
def test_the_cache(base: str, members: dict[str, object], expected: str):
    """Only who cannot change a result, or says so, gets one that no step has made."""
    job(base)
    assert job(base, plugins=[plugin(**members)]).cache == expected


def test_one_that_may_change_the_result_is_enough(base: str):
    job(base)
    observer = plugin(run=watching, runcommit_observer=True)
    assert job(base, plugins=[observer, plugin(run=watching)]).cache == "off"


def test_a_refusal_holds_for_a_result_from_the_cache(base: str, tmp_path: Path):
    for _ in range(2):
        with pytest.raises(PolicyError, match="refused"):
            job(base, plugins=[plugin(check=check)], layer=tmp_path / "layer")
        assert not (tmp_path / "layer").exists()
    assert job(base, layer=tmp_path / "layer").cache == "hit"


def test_all_layers_of_a_split_are_checked_at_once(base: str):
    seen: list[int] = []
    looking = plugin(check=hookimpl(lambda layers: seen.append(len(layers))))
    run_commit(
        base, ["a", "b"], split=True, backend=canned.backend(), plugins=[looking],
        console=lambda _: None,
    )  # fmt: skip
    assert len(seen) == 1


# --- the command line


def call(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runcommit_core", *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


def test_the_verb(install: Install, site: Path):
    assert call(site, "plugins").stdout == "no plugins are installed\n"
    install("gate")
    install("trace", OBSERVING)
    listed = call(site, "plugins")
    assert (listed.returncode, [line.split() for line in listed.stdout.splitlines()]) == (
        0,
        [
            ["PLUGIN", "DISTRIBUTION", "HOOKS", "CACHE", "USABLE"],
            ["gate", "dist-gate", "2.0", "check", "used", "yes"],
            ["trace", "dist-trace", "2.0", "run", "used", "yes"],
        ],
    )
    install("bad", "import no_such_module")
    listed = call(site, "plugins", "--json")
    assert listed.returncode == 1
    rows = json.loads(listed.stdout)
    assert [(row["name"], row["hooks"], bool(row["problem"])) for row in rows] == [
        ("bad", [], True),
        ("gate", ["check"], False),
        ("trace", ["run"], False),
    ]


def test_exit_codes(install: Install, site: Path, base: str):
    scratch = ("-b", "runcommit_core.testing.scratch")
    ran = call(site, "run", *scratch, "-p", "nothing", base, "-c", "true")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (
        2,
        "runcommit: error: no plugin is called 'nothing'; installed: none",
    )
    install("bad", SAYING.replace("check", "chek"))
    for verb in (("run",), ("extract", "--path", "/old", "--to", str(site))):
        ran = call(site, *verb, *scratch, base, "-c", "true")
        assert ran.returncode == 3
        assert "plugin 'bad' of dist-bad 2.0 has a wrong hook" in ran.stderr
    file = site / "job.json"
    said = {
        "base": base,
        "commands": ["true"],
        "backend": scratch[1],
        "plugins": ["no:bad", "nothing"],
    }
    file.write_text(json.dumps(said))
    assert call(site, "job", str(file)).returncode == 2


def test_the_stamp_changes_with_a_plugin(install: Install, site: Path):
    stamps = [json.loads(call(site, "stamp").stdout)["code"]]
    install("a")
    stamps.append(json.loads(call(site, "stamp").stdout)["code"])
    (site / "dist_a.py").write_text(OBSERVING)
    stamps.append(json.loads(call(site, "stamp").stdout)["code"])
    assert len(set(stamps)) == 3


# --- the quick look


def test_a_quick_look_never_misses(install: Install, site: Path, tmp_path: Path, monkeypatch: Any):
    assert not may_have("runcommit.plugins")
    install("a")
    assert may_have("runcommit.plugins")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nothing"), str(tmp_path)])
    assert not may_have("runcommit.plugins")
    monkeypatch.chdir(site)
    monkeypatch.setattr(sys, "path", [""])
    assert may_have("runcommit.plugins")
    (tmp_path / "frozen.zip").write_bytes(b"")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "frozen.zip")])
    assert may_have("runcommit.plugins")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [plugin(find_distributions=None)])
    assert may_have("runcommit.plugins")


def test_without_plugins_nothing_is_imported_for_them(base: str):
    program = (
        "import sys, runcommit_core.api, runcommit_core.plugins.chosen as e; e.chosen_plugins(); "
        "print(sorted({'importlib.metadata', 'pluggy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert found.stdout == b"[]\n"
