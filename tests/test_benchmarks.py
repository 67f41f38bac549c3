"""The benchmarks' own parts that do not measure; nothing here takes a time."""

from __future__ import annotations

import pytest

from benchmarks import bases
from benchmarks.measure import Contender, Kind, Timing, measure
from benchmarks.report import Measured, as_json, markdown
from runcommit_core.oci.base import open_base


@pytest.mark.parametrize("gzipped", [True, False])
def test_both_forms_of_a_base_are_one_image(tmp_path, gzipped):
    base = bases.make("small", tmp_path, gzipped=gzipped)
    layout, archive = open_base(base.ref), open_base(f"docker-archive:{base.archive}")
    assert layout.config == archive.config
    assert layout.diff_ids == archive.diff_ids


def test_data_is_the_same_in_every_run_and_compressible(tmp_path, monkeypatch):
    monkeypatch.setitem(bases.KINDS, "tiny", lambda: bases._data(4))
    (tmp_path / "other").mkdir()
    first, second = bases.make("tiny", tmp_path), bases.make("tiny", tmp_path / "other")
    assert open_base(first.ref).diff_ids == open_base(second.ref).diff_ids
    stored = sum(layer.size for layer in open_base(first.ref).layers)
    assert stored < first.archive.stat().st_size * 2 / 3


def test_contenders_take_turns_and_the_first_round_does_not_count():
    calls = []
    contenders = [
        Contender("host", name, Kind.OTHER, lambda name=name: calls.append(name)) for name in "ab"
    ]
    timings = measure(contenders, rounds=2)
    assert "".join(calls) == "ababab"
    assert [len(timing.seconds) for timing in timings] == [2, 2]


def test_ratios_are_to_the_fastest_reference_and_to_ours():
    def timing(name, kind, seconds):
        return Timing(Contender("host", name, kind, list), seconds)

    timings = [
        timing("slow import", Kind.REFERENCE, [9.0]),
        timing("fast import", Kind.REFERENCE, [2.0]),
        timing("ours", Kind.OURS, [3.0, 5.0, 4.0]),
        timing("old", Kind.CLASSIC, [40.0]),
    ]
    measured = [Measured("W1", "title", "small", timings)]
    assert "| small | host | ours | 4.000 | 3.000 | 5.000 | 2.00 | 10.0 |" in markdown(measured)
    assert as_json(measured)[2]["seconds"] == [3.0, 5.0, 4.0]
