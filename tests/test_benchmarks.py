"""The benchmarks' own parts; what takes times here is not looked at."""

from __future__ import annotations

import functools
import json
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from benchmarks import bases, changes, engines, plot, run
from benchmarks.goals import (
    Goal,
    Growth,
    above_reference,
    difference,
    ratio,
    seconds,
    speedup,
)
from benchmarks.measure import Contender, Group, Kind, Timing, measure
from benchmarks.report import Measured, as_json, markdown
from benchmarks.workloads import ONE_LINE, WORKLOADS, Place, Workload
from runcommit_core.oci.base import open_base
from runcommit_core.testing.bases import busybox, file_layer
from tests.hosts import SPECS, Host

if TYPE_CHECKING:
    from collections.abc import Iterator


def timing(name, kind, *times, base="small", host="host", subject=""):
    return Timing(Contender(Group(base, host, subject), name, kind, list), list(times))


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("gzipped", [True, False])
def test_all_forms_of_a_base_are_one_image(tmp_path, gzipped):
    base = bases.make("small", tmp_path, gzipped=gzipped)
    layout, archive = open_base(base.ref), open_base(base.archive_ref)
    assert layout.config == archive.config
    assert layout.diff_ids == archive.diff_ids
    (described,) = json.loads((base.layout / "manifest.json").read_bytes())
    assert (base.layout / described["Config"]).read_bytes() == layout.config
    stored = [(base.layout / name).stat().st_size for name in described["Layers"]]
    assert stored == [layer.size for layer in layout.layers]


@pytest.mark.usefixtures("machine")
def test_data_is_the_same_in_every_run_and_compressible(tmp_path, monkeypatch):
    monkeypatch.setitem(bases.KINDS, "tiny", bases._data(4))
    (tmp_path / "other").mkdir()
    first, second = bases.make("tiny", tmp_path), bases.make("tiny", tmp_path / "other")
    assert open_base(first.ref).diff_ids == open_base(second.ref).diff_ids
    stored = sum(layer.size for layer in open_base(first.ref).layers)
    assert stored < first.archive.stat().st_size * 2 / 3


@pytest.mark.usefixtures("machine")
def test_a_base_has_the_files_and_layers_of_its_recipe(tmp_path, monkeypatch):
    monkeypatch.setitem(bases.KINDS, "tiny", bases._data(3, layers=2))
    monkeypatch.setitem(bases.KINDS, "many", bases._many_files(300))
    wide, many = bases.make("tiny", tmp_path), bases.make("many", tmp_path)
    assert [len(open_base(base.ref).layers) for base in (wide, many)] == [3, 2]
    region = open_base(many.archive_ref).layers[-1].region
    with region.path.open("rb") as file:
        file.seek(region.offset)
        with tarfile.open(fileobj=file, mode="r|") as tar:
            assert len(tar.getnames()) == 300


def test_contenders_take_turns_and_the_first_round_does_not_count():
    calls = []

    def contender(name):
        say = functools.partial(functools.partial, calls.append)
        group = Group("small", "host")
        return Contender(group, name, Kind.OTHER, say(name), say("("), say(")"))

    timings = measure([contender("a"), contender("b")], rounds=2)
    assert "".join(calls) == "(a)(b)" * 3
    assert [len(timing.seconds) for timing in timings] == [2, 2]


def test_ratios_are_to_the_fastest_reference_and_to_ours():
    timings = [
        timing("slow import", Kind.REFERENCE, 9.0),
        timing("fast import", Kind.REFERENCE, 2.0),
        timing("ours", Kind.OURS, 3.0, 5.0, 4.0),
        timing("old", Kind.CLASSIC, 40.0),
        timing("floor", Kind.FLOOR, 0.5),
        timing("elsewhere", Kind.REFERENCE, 1.0, subject="other bytes"),
    ]
    measured = [Measured("W1", Workload("title", (), list, ()), timings)]
    text = markdown(measured)
    assert "| small | host | ours | 4.000 | 3.000 | 5.000 | 2.00 | 4.00 | 10.0 |" in text
    assert "| small | host | floor | 0.500 | 0.500 | 0.500 | 0.25 |  |  |" in text
    assert "elsewhere, other bytes | 1.000 | 1.000 | 1.000 | 1.00 |" in text
    assert as_json(measured)["times"][2]["seconds"] == [3.0, 5.0, 4.0]


TIMES = [
    timing("bare", Kind.REFERENCE, 1.0),
    timing("no-op", Kind.OURS, 2.0),
    timing("line", Kind.OURS, 4.0),
    timing("forced", Kind.FORCED, 9.0),
    timing("old", Kind.CLASSIC, 40.0),
    timing("floor", Kind.FLOOR, 0.5),
    timing("line", Kind.OURS, 6.0, base="large"),
    timing("no-op", Kind.OURS, 2.0, base="large"),
    timing("line", Kind.OURS, 1.0, base="large", subject="other"),
]


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal("", 4, ratio(Kind.REFERENCE)), 4, True),
        (Goal("", 3.9, ratio(Kind.REFERENCE)), 4, False),
        (Goal("", 10, speedup(Kind.CLASSIC), at_least=True), 10, True),
        (Goal("", 10.1, speedup(Kind.CLASSIC), at_least=True), 10, False),
        (Goal("", 6, above_reference(Kind.FLOOR)), 6, True),
        (Goal("", 1, difference(Kind.REFERENCE)), 3, False),
        (Goal("", 6, seconds()), 6, True),
        (Goal("", 6, seconds(), base="small"), 4, True),
        (Goal("", 6, seconds(), subject="other"), 1, True),
        (Goal("", 1.1, Growth("", "small", "large").ours), 1.5, False),
    ],
)
def test_a_goal_is_held_against_the_worst_of_ours(goal, value, met):
    worst = goal.worst(TIMES)["host"]
    assert worst.value == pytest.approx(value)
    assert goal.met(worst.value) is met


def test_goals_are_rows_and_hosts_are_columns():
    goals = (
        Goal("ours : bare", 2, ratio(Kind.REFERENCE)),
        Goal("a start", 0.3, seconds(), "s", subject="never"),
    )
    growth = Growth("small → large", "small", "large")
    timings = [*TIMES, timing("line", Kind.OURS, 1.0, host="b"), timing("x", Kind.REFERENCE, 1.0)]
    timings.append(timing("x", Kind.REFERENCE, 1.0, host="b"))
    measured = [Measured("W9", Workload("title", (), list, goals, (growth,)), timings)]
    text = markdown(measured)
    assert "| workload | goal | host | b |" in text
    assert "| W9 | ours : bare ≤ 2 | 4.00 **missed** | 1.00 met |" in text
    assert "| W9 | a start ≤ 0.3 s | not measured | not measured |" in text
    assert "| host | what | small → large |\n| --- | --- | ---: |\n| host | line | 1.50 |" in text
    assert as_json(measured)["goals"][0] == {
        "workload": "W9",
        "goal": "ours : bare ≤ 2",
        "host": "host",
        "base": "small",
        "what": "line",
        "measured": 4.0,
        "met": False,
    }


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_goal_finds_what_it_compares(tmp_path, name):
    workload = WORKLOADS[name]
    spec = next(spec for spec in SPECS if spec.name == "podman")
    host = Host(spec, (), "python", str(tmp_path), "", {})
    timings = [
        Timing(contender, [1.0])
        for kind in workload.bases
        for base in [bases.Base(kind, tmp_path / kind, tmp_path / f"{kind}.tar")]
        for contender in workload.contenders(Place(host, base, tmp_path))
    ]
    assert [str(goal) for goal in workload.goals if not goal.worst(timings)] == []
    for growth in workload.growths:
        assert list(growth.ours(timings))
    labels = [(timing.group, timing.what) for timing in timings]
    assert len(labels) == len(set(labels))


@pytest.mark.usefixtures("machine")
def test_a_result_without_the_change_is_refused(tmp_path):
    layer = tmp_path / "layer.tar"
    layer.write_bytes(file_layer("x", b"x"))
    ONE_LINE.check_layer(layer)
    layer.write_bytes(file_layer("y", b"x"))
    with pytest.raises(AssertionError, match="without x"):
        ONE_LINE.check_layer(layer)
    with pytest.raises(AssertionError, match="without x"):
        ONE_LINE.check_image(busybox(tmp_path / "base").ref)


def test_bases_that_the_disk_cannot_hold_are_refused(monkeypatch, tmp_path):
    free = SimpleNamespace(free=20 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    monkeypatch.setattr(run, "session", lambda: SimpleNamespace(shared=tmp_path))
    run._check_disk(["small", "1200"], 3)
    with pytest.raises(SystemExit, match=r"20 GB free, .* on 9 hosts need 23"):
        run._check_disk(["small", "1200"], 9)


@pytest.mark.usefixtures("machine")
def test_a_workload_that_fails_costs_no_other_its_times(monkeypatch, tmp_path):
    def workload(action):
        def contenders(place):
            return [place.contender("it", Kind.OURS, action)]

        return Workload("title", ("small",), contenders, ())

    def fail():
        raise AssertionError("no layer")

    monkeypatch.setattr(run, "WORKLOADS", {"W1": workload(fail), "W2": workload(list)})
    monkeypatch.setattr(run, "session", lambda: SimpleNamespace(shared=tmp_path))
    forgotten = []
    monkeypatch.setattr(engines, "forget", forgotten.append)
    monkeypatch.setattr(engines, "take_in", lambda _host, _base: None)
    host = Host(SPECS[0], (), "python", str(tmp_path), "", {"TMPDIR": str(tmp_path)})
    options = SimpleNamespace(
        workload=["W1", "W2"], bases=None, layers="plain", without=[], rounds=1
    )
    measured, failures = run._measure_all([host], options)
    assert [item.name for item in measured] == ["W2"]
    assert failures == ["W1: AssertionError: no layer"]
    assert forgotten == [host]
    assert list(tmp_path.iterdir()) == []


def test_bars_of_one_base_stand_together_with_a_gap_between_hosts():
    measured = [Measured("W1", Workload("title", (), list, ()), TIMES)]
    panels = plot.panels(as_json(measured)["times"])
    assert [(title, len(bars)) for title, bars in panels] == [
        ("W1: title, base small", 6),
        ("W1: title, base large", 3),
    ]
    assert plot.places([{"host": name} for name in "aab"]) == [0, 1, 2 + plot.GAP]
    assert set(plot.COLOURS) == set(Kind)


@pytest.fixture
def place(host: Host, shared_tmp: Path) -> Iterator[Place]:
    base = bases.make("small", shared_tmp)
    engines.take_in(host, base)
    yield Place(host, base, Path(host.env["TMPDIR"]))
    host.run(host.program, "rmi", base.tag)


@pytest.mark.hosts("docker", "podman-rootless", "buildah")
def test_peers_and_floors_make_the_change(place):
    contenders = [
        *(each for each in place.others(ONE_LINE) if each.kind in {Kind.PEER, Kind.CLASSIC}),
        place.data_floor(changes.new_data(1, "1 MB")),
        place.files_floor(changes.small_files(10)),
    ]
    kinds = {contender.kind for contender in contenders}
    assert kinds == {Kind.PEER, Kind.CLASSIC, Kind.FLOOR}
    for contender in contenders:
        contender.prepare()
        contender.action()
        contender.finish()
