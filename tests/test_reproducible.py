"""``--check-reproducible``, and the options of the layer, on the backend without an engine."""

from __future__ import annotations

import io

import pytest

from runcommit_core import RawLayer, SavedImage, run_commit
from runcommit_core.errors import ReproducibilityError, UsageError
from runcommit_core.interface.hookspecs import hookimpl
from runcommit_core.testing import bases
from runcommit_core.testing.bench import content, entries
from tests.tars import Member, diff_id, tar

SCRATCH = "runcommit_core.testing.scratch"


@pytest.fixture
def base(tmp_path, monkeypatch, machine):
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    return bases.busybox(tmp_path / "base")


@pytest.fixture
def run(base, tmp_path):
    """Run commands; the layer goes to ``layer.tar``, what they say to ``run.said``."""

    def run(*commands: str, **options):
        return run_commit(
            base.ref,
            commands,
            backend=SCRATCH,
            layer=tmp_path / "layer.tar",
            console=run.said.append,
            **options,
        )

    run.said = []
    return run


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Where jobs have their private folders; nothing may stay in it."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


class Jobs:
    """Notes the jobs whose command was run."""

    def __init__(self):
        self.jobs = []

    @hookimpl(wrapper=True)
    def run(self, job):
        self.jobs.append(job)
        return (yield)


def test_the_second_job_differs_by_its_names_only(run, folders):
    jobs = Jobs()
    result = run("echo said; echo 1 > /x", check_reproducible=True, plugins=[jobs])
    first, second = jobs.jobs
    assert (first.argv, first.run, first.layer) == (second.argv, second.run, second.layer)
    assert first.base is second.base
    for name in ("id", "folder", "output", "transport", "cleanup"):
        assert getattr(first, name) != getattr(second, name)
    assert second.output.is_relative_to(second.folder)
    assert b"".join(run.said) == b"said\n", "the second run is to be silent"
    assert len(result.layers) == 1


def test_without_the_option_the_job_runs_once(run, folders):
    jobs = Jobs()
    run("echo 1 > /x", plugins=[jobs])
    assert len(jobs.jobs) == 1


def test_equal_layers_are_published(run, folders, tmp_path):
    result = run("echo 1 > /x", check_reproducible=True)
    assert content(tmp_path / "layer.tar", "x") == b"1\n"
    assert result.layers[0].diff_id == run("echo 1 > /x").layers[0].diff_id


def test_no_layer_twice_is_equal(run, folders):
    assert run("true", check_reproducible=True).layers == ()


def test_different_layers_are_not_published(run, folders, tmp_path):
    layer = tmp_path / "layer.tar"
    layer.write_text("of an earlier run")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ReproducibilityError) as caught:
        run("date +%s > /time; echo 1 > /x", check_reproducible=True, image=tmp_path / "image")
    assert layer.read_text() == "of an earlier run"
    assert sorted({*tmp_path.iterdir()} - {tmp_path / "cache"}) == before
    first, *rest = str(caught.value).splitlines()
    assert first.count("sha256:") == 2
    (line,) = rest
    assert line.startswith("  time: content sha256:")
    assert caught.value.tip == (
        "--exclude GLOB would keep them out of the layer, where nobody needs them"
    )


def test_a_layer_only_one_of_both_times(run, folders, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    once = Once(flag, lambda image: (image / "new").mkdir())
    with pytest.raises(ReproducibilityError, match="and none\n  new: only in the first"):
        run("true", check_reproducible=True, plugins=[once])


class Once:
    """Does something to the root folder before the first run alone."""

    def __init__(self, flag, act):
        self.flag, self.act = flag, act

    @hookimpl(wrapper=True)
    def load(self):
        image = yield
        if self.flag.exists():
            self.flag.unlink()
            self.act(type(self.flag)(image.name))
        return image


def test_a_command_that_fails_the_second_time(run, folders, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    once = Once(flag, lambda image: (image / "data/key").touch())
    with pytest.raises(ReproducibilityError, match="not when it was run again") as caught:
        run("ls /data/key && rm /data/key", check_reproducible=True, plugins=[once])
    assert "exit code" in str(caught.value)
    assert "No such file" in str(caught.value)


def test_profiles_that_would_have_cured_it(run, folders):
    make = "mkdir -p /srv/__pycache__ /var/log/app; date > /srv/__pycache__/a.pyc"
    with pytest.raises(ReproducibilityError) as caught:
        run(make, check_reproducible=True)
    assert caught.value.tip == "--clean python would remove this path"
    with pytest.raises(ReproducibilityError) as caught:
        run(make, "date > /var/log/app/a", "date > /d", check_reproducible=True)
    assert caught.value.tip == (
        "--clean python,logs would remove 2 of these 3 paths; "
        "--exclude GLOB would keep the others out of the layer, where nobody needs them"
    )
    cured = {"clean": ["python,logs"], "exclude": "d"}
    result = run(make, "date > /var/log/app/a", "date > /d", check_reproducible=True, **cured)
    assert len(result.layers) == 1


def test_the_first_twenty_differences(run, folders):
    command = "for n in $(seq 10 34); do date > /f$n; done"
    with pytest.raises(ReproducibilityError) as caught:
        run(command, check_reproducible=True)
    _, *lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        *(f"f{number}" for number in range(10, 30)),
        "and 5 more",
    ]


# --- the other options


def test_exclude_and_clean(run, tmp_path):
    command = (
        "mkdir -p /var/cache/apt/archives /var/log/new; echo > /var/log/new/a"
        "; echo > /var/cache/apt/archives/a.deb; echo > /var/cache/apt/archives/lock"
        "; echo > /data/added; echo > /data/changed; rm /data/deleted; echo > /data/tree/new"
    )
    run(command, exclude=["data/*ed"], clean=["apt,logs"])
    assert list(entries(tmp_path / "layer.tar")) == [
        *("data", "data/tree", "data/tree/new"),
        *("var", "var/cache", "var/cache/apt", "var/cache/apt/archives"),
        *("var/cache/apt/archives/lock", "var/log", "var/log/new"),
    ]


def test_excluding_everything_leaves_no_layer(run):
    assert run("echo > /x", exclude="**").layers == ()


def test_mtime(run, tmp_path):
    command = "touch -d @1500000000 /old; touch /new; touch -d @1500000000 /data/changed"
    for mtime, old in (("clamp", 1_500_000_000), ("set", 1_600_000_000)):
        run(command, mtime=mtime, source_date_epoch=1_600_000_000)
        found = entries(tmp_path / "layer.tar")
        assert (found["old"].mtime, found["new"].mtime) == (old, 1_600_000_000)
        assert found["data/changed"].mtime == old
        assert found["data"].mtime == bases.EPOCH


class Marked:
    """Saves a file with an attribute of a user's, which the scratch backend cannot."""

    data = tar(Member(b"x", pax={b"SCHILY.xattr.user.mark": b"1"}))

    @hookimpl(tryfirst=True)
    def save(self, job):
        name = diff_id(self.data)
        raw = RawLayer(name, lambda: io.BytesIO(self.data))
        return SavedImage(b"", (*job.base.diff_ids, name), (raw,))


@pytest.mark.parametrize(("xattrs", "kept"), [(True, {"SCHILY.xattr.user.mark": "1"}), (False, {})])
def test_xattrs(run, tmp_path, xattrs, kept):
    run("true", xattrs=xattrs, plugins=[Marked()])
    assert entries(tmp_path / "layer.tar")["x"].pax_headers == kept


def test_wrong_options_are_told_before_anything_runs(run, base):
    jobs = Jobs()
    for wrong in ({"exclude": "a["}, {"clean": ["nothing"]}, {"mtime": "never"}):
        with pytest.raises(UsageError):
            run("true", plugins=[jobs], **wrong)
    assert jobs.jobs == []
