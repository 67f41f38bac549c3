"""Finding backends, and pipelines that hold them to their contract."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pluggy
import pytest

from runcommit_core import (
    BackendContractError,
    Container,
    EngineInfo,
    EngineOptions,
    Image,
    Layers,
    UnknownBackendError,
    UsageError,
    hookimpl,
    process,
    run_commit,
)
from runcommit_core.plugins.backends import (
    choose_backend,
    describe,
    find_backend,
    installed,
    pipeline,
)
from runcommit_core.plugins.chosen import chosen_plugins
from tests import canned, images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runcommit_core import Job, SavedImage

ENGINE = EngineOptions()
wrapper = pluggy.HookimplMarker("runcommit")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    one = images.image(images.layer({"old": b"old"}))
    return f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(one))}"


def job_on(base: str, backend: object, *plugins: object) -> Any:
    return run_commit(base, "true", backend=backend, plugins=plugins, console=lambda _: None)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let exactly these be installed: (name, what it stands for, distribution)."""

    def put(*items: tuple[str, str, str]) -> None:
        site = tmp_path / f"site-{len(list(tmp_path.iterdir()))}"
        for owner in {"runcommit"} | {distribution for _, _, distribution in items}:
            info = site / f"{owner}-1.0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
            lines = [f"{name} = {value}" for name, value, each in items if each == owner]
            if lines:
                text = "\n".join(
                    ["[console_scripts]", "a = b:c", "", "[runcommit.backends]", *lines]
                )
                (info / "entry_points.txt").write_text(f"{text}\n\n[other]\ndocker = no:thing\n")
        monkeypatch.setattr(sys, "path", [str(site)])

    return put


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a module of a name importable, with these members."""

    def make(name: str, **members: object) -> None:
        made = ModuleType(name)
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, name, made)

    return make


def usable(name: str, problem: str = "") -> Any:
    @hookimpl
    def describe(engine: EngineOptions) -> EngineInfo:
        return EngineInfo(name=name, problem=problem)

    return canned.backend(describe=describe)


# --- finding


def test_what_this_distribution_brings():
    ours = [item for item in installed() if item.distribution == "runcommit"]
    assert [item.name for item in ours] == ["docker", "podman", "buildah", "podman-api", "native"]
    assert {item.version for item in ours} == {importlib.metadata.version("runcommit")}
    for item in ours:
        pipeline(find_backend(item.name), item.name)


@pytest.mark.usefixtures("unmeasured")
def test_where_one_distribution_has_backends_nothing_slow_is_imported():
    program = (
        "import sys; from runcommit_core.plugins.backends import find_backend, pipeline;"
        " pipeline(find_backend('podman'), 'podman');"
        " print(sorted({'importlib.metadata', 'email', 'socket'} & {*sys.modules}))"
    )
    done = process.attempt(sys.executable, "-c", program)
    assert done.output == "[]\n", done.errors


def test_an_unknown_name_lists_the_known(install: Callable[..., None]):
    install(("zeta", "a", "x"), ("docker", "b", "y"))
    with pytest.raises(UnknownBackendError, match="no backend is called 'dokcer'") as caught:
        find_backend("dokcer")
    assert "installed: docker, zeta" in str(caught.value)
    assert "runcommit backends" in caught.value.tip


def test_nothing_is_installed(install: Callable[..., None]):
    install()
    with pytest.raises(UnknownBackendError, match="installed: none"):
        find_backend("docker")
    with pytest.raises(UnknownBackendError, match="no backend can be used"):
        choose_backend("auto", ENGINE)


def test_two_distributions_with_one_name(install: Callable[..., None]):
    install(("docker", "tests.canned", "one"), ("docker", "tests.canned", "other"))
    with pytest.raises(UnknownBackendError, match=r"one 1\.0 and other 1\.0") as caught:
        find_backend("docker")
    assert "uninstall" in caught.value.tip


def test_a_dotted_module_and_an_object_in_it(module: Callable[..., None]):
    made = canned.backend()
    module("some.where", inner=SimpleNamespace(made=made))
    assert find_backend("some.where:inner.made") is made
    assert find_backend("tests.canned") is canned
    assert choose_backend("some.where:inner.made", ENGINE) == ("some.where:inner.made", made)


@pytest.mark.parametrize("name", ["no.such.module", "os.path:nothing", "os:path.nothing", "a:b"])
def test_what_cannot_be_imported(name: str):
    with pytest.raises(UnknownBackendError, match="cannot be imported") as caught:
        find_backend(name)
    assert repr(name) in str(caught.value)


def test_an_object_has_a_name_for_messages():
    class Mine:
        """Without a name of its own."""

    mine = Mine()
    assert choose_backend(mine, ENGINE) == ("Mine", mine)
    assert choose_backend(canned, ENGINE) == ("tests.canned", canned)


# --- auto


def test_auto_keeps_the_documented_order(install: Callable[..., None], module: Callable[..., None]):
    module("fine", it=usable("fine"))
    names = ["zeta", "native", "buildah", "alpha", "podman", "docker"]
    install(*((name, "fine:it", "d") for name in names))
    order = ["docker", "podman", "buildah", "alpha", "zeta", "native"]
    assert [item.name for item in installed()] == order
    assert choose_backend("auto", ENGINE)[0] == "docker"
    install(*((name, "fine:it", "d") for name in names[:4]))
    assert choose_backend("auto", ENGINE)[0] == "buildah"


def test_auto_passes_over_what_is_unusable(
    install: Callable[..., None], module: Callable[..., None]
):
    module("fine", it=usable("fine"))
    module("broken", it=usable("broken", "no daemon"))
    module("half", it=canned.backend(save=None))
    install(
        ("docker", "broken:it", "d"),
        ("podman", "half:it", "d"),
        ("buildah", "no.such.module", "d"),
        ("other", "fine:it", "d"),
    )
    assert choose_backend("auto", ENGINE)[0] == "other"


def test_auto_lists_every_reason(install: Callable[..., None], module: Callable[..., None]):
    module("broken", one=usable("x", "no daemon"), other=usable("x", "no user namespaces"))
    module("half", it=canned.backend(save=None))
    install(
        ("docker", "broken:one", "d"), ("podman", "broken:other", "d"), ("half", "half:it", "d")
    )
    with pytest.raises(UnknownBackendError) as caught:
        choose_backend("auto", ENGINE)
    assert str(caught.value).splitlines() == [
        "no backend can be used:",
        "  docker: no daemon",
        "  podman: no user namespaces",
        "  half: backend 'half' does not implement save",
    ]


def test_describe_tells_of_a_broken_backend(install: Callable[..., None]):
    install(("gone", "no.such.module", "d"))
    assert "cannot be imported" in describe("gone", ENGINE).problem
    assert "no backend is called" in describe("other", ENGINE).problem


# --- the contract of a backend


@pytest.mark.parametrize("step", ["describe", "load", "run", "commit", "save"])
def test_a_missing_step(step: str):
    with pytest.raises(BackendContractError, match=f"'half' does not implement {step}$") as caught:
        pipeline(canned.backend(**{step: None}), "half")
    assert "hookimpl" in caught.value.tip


def test_an_unmarked_step_is_missing():
    with pytest.raises(BackendContractError, match="does not implement load, save"):
        pipeline(canned.backend(load=lambda job: None, save=lambda job: None), "half")


def test_a_misspelt_hook():
    @hookimpl
    def comit(job: Job) -> Image:
        return Image("")

    with pytest.raises(BackendContractError, match="comit"):
        pipeline(canned.backend(comit=comit), "canned")


def test_a_wrong_argument():
    @hookimpl
    def load(jobb: Job) -> Image:
        return Image("")

    with pytest.raises(BackendContractError, match="jobb"):
        pipeline(canned.backend(load=load), "canned")


def test_a_plugin_with_a_wrong_hook():
    @hookimpl
    def exract(job: Job) -> Layers:
        return Layers()

    with pytest.raises(BackendContractError, match="exract"):
        chosen_plugins([SimpleNamespace(exract=exract)])


def test_no_other_backend_ever_answers():
    """A step that returns None must not fall through to another engine's."""
    hooks: Any = pipeline(canned.backend(), "canned")
    for step in ("describe", "load", "run", "commit", "save"):
        assert len(getattr(hooks, step).get_hookimpls()) == 1


def test_pipelines_do_not_share_plugins():
    @hookimpl
    def extract() -> Layers:
        return Layers()

    pipeline(canned.backend(), "canned", chosen_plugins([SimpleNamespace(extract=extract)]))
    hooks: Any = pipeline(canned.backend(), "canned")
    assert len(hooks.extract.get_hookimpls()) == 1


@pytest.mark.parametrize(
    ("step", "owed"),
    [
        ("load", "Image"),
        ("run", "Container"),
        ("commit", "Image"),
        ("save", "SavedImage"),
        ("extract", "Layers"),
    ],
)
def test_a_step_that_returns_the_wrong_thing(base: str, step: str, owed: str):
    @hookimpl
    def nothing() -> None:
        return None

    @hookimpl
    def text() -> str:
        return "text"

    for returned, found in ((nothing, "None"), (text, "a str")):
        if (step, found) == ("extract", "None"):
            continue  # None leaves the step to the core
        with pytest.raises(BackendContractError) as caught:
            job_on(base, canned.backend(**{step: returned}))
        assert str(caught.value) == (
            f"step '{step}' of backend 'canned' returned {found}, "
            f"it must return runcommit_core.{owed}"
        )


def test_an_image_that_does_not_stand_on_the_base(base: str):
    @hookimpl
    def save(job: Job) -> SavedImage:
        saved: SavedImage = canned.save(job)
        return dataclasses.replace(saved, diff_ids=saved.diff_ids[1:])

    with pytest.raises(BackendContractError, match="does not stand on the base"):
        job_on(base, canned.backend(save=save))


def test_a_new_layer_without_bytes(base: str):
    @hookimpl
    def save(job: Job) -> SavedImage:
        return dataclasses.replace(canned.save(job), layers=())

    with pytest.raises(BackendContractError, match="no bytes for the new layer"):
        job_on(base, canned.backend(save=save))


def test_engine_bases_are_the_backends_choice(base: str):
    with pytest.raises(UsageError, match="takes no bases engine:REF"):
        job_on("engine:some:tag", canned.backend())


# --- plugins


def test_a_plugin_times_a_step(base: str):
    seconds: list[float] = []

    @wrapper(wrapper=True)
    def run(job: Job) -> Iterator[None]:
        started = time.monotonic()
        container: Any = yield
        seconds.append(time.monotonic() - started)
        assert isinstance(container, Container)
        return container

    result = job_on(base, canned.backend(), SimpleNamespace(run=run))
    assert len(result.layers) == 1
    assert len(seconds) == 1
    assert result.seconds["run"] >= seconds[0] > 0


def test_a_plugin_sees_a_step_fail(base: str):
    seen: list[BaseException] = []

    @wrapper(wrapper=True)
    def save() -> Iterator[None]:
        try:
            return (yield)
        except UsageError as error:
            seen.append(error)
            raise

    failure = UsageError("from the backend")

    @hookimpl
    def failing() -> None:
        raise failure

    with pytest.raises(UsageError, match="from the backend"):
        job_on(base, canned.backend(save=failing), SimpleNamespace(save=save))
    assert seen == [failure]


def test_a_plugin_replaces_extract(base: str):
    warned = Layers(warnings=("replaced",))

    @hookimpl
    def extract(saved: SavedImage) -> Layers:
        assert len(saved.layers) == 1
        return warned

    result = job_on(base, canned.backend(), SimpleNamespace(extract=extract))
    assert (result.layers, result.warnings) == ((), ("replaced",))


def test_a_backend_brings_its_own_extract(base: str):
    @hookimpl
    def extract() -> Layers:
        return Layers(warnings=("the backend's",))

    assert job_on(base, canned.backend(extract=extract)).warnings == ("the backend's",)


def test_a_plugin_replaces_one_step_of_the_backend(base: str):
    result = job_on(base, canned.backend(), SimpleNamespace(save=canned.save_nothing))
    assert result.layers == ()
