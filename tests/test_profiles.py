"""Exclusion from the layer: profiles as data, and what they and patterns do to a change."""

from __future__ import annotations

import functools

import pytest

from runcommit_core.errors import UsageError
from runcommit_core.layer.cure import cures
from runcommit_core.layer.exclusion import Exclusion, exclusion
from runcommit_core.layer.globs import matcher
from runcommit_core.layer.profiles import find_profiles, profiles
from runcommit_core.layer.scrub import with_ancestors
from runcommit_core.request.layer_options import layer_options
from tests import layers
from tests.layers import EPOCH
from tests.tars import Member, directory, hardlink

REAL_STATE = (
    b"var/lib/dpkg/status",
    b"var/lib/dpkg/info/a.list",
    b"var/lib/apt/extended_states",
    b"var/cache/debconf/config.dat",
    b"var/lib/rpm/rpmdb.sqlite",
    b"var/lib/rpm/rpmdb.sqlite-wal",
    b"var/lib/rpm/Packages",
    b"usr/lib/sysimage/libdnf5/packages.toml",
    b"lib/apk/db/installed",
    b"lib/apk/db/scripts.tar",
    b"etc/apk/world",
    b"etc/ld.so.cache",
    b"etc/ssh/sshd_config",
    b"usr/lib/python3/a.py",
    b"usr/lib/python3/sourceless.pyc",
    b"usr/lib/python3/a.dist-info/RECORD",
    b"root/.npmrc",
    b"root/.config/pip/pip.conf",
)

REMOVED = {
    "apt": (
        b"var/lib/apt/lists/mirror.example_debian_dists_bookworm_InRelease",
        b"var/lib/apt/lists/partial",
        b"var/lib/apt/periodic/update-success-stamp",
        b"var/cache/apt/pkgcache.bin",
        b"var/cache/apt/archives/a_1_all.deb",
        b"var/cache/apt/archives/partial/a_1_all.deb",
        b"var/log/apt/history.log",
        b"var/log/dpkg.log",
        b"var/log/alternatives.log",
        b"var/lib/dpkg/status-old",
        b"var/cache/debconf/templates.dat-old",
    ),
    "dnf": (
        b"var/cache/dnf/fedora-1/repodata/repomd.xml",
        b"var/cache/libdnf5/fedora-1/repodata/repomd.xml",
        b"var/cache/yum/x86_64/7/base/repomd.xml",
        b"var/lib/dnf/repos/fedora-1/countme",
        b"var/log/dnf.rpm.log",
        b"var/log/dnf5.log",
        b"var/log/hawkey.log",
        b"var/log/yum.log",
        b"var/lib/rpm/__db.001",
        b"var/lib/rpm/rpmdb.sqlite-shm",
        b"usr/lib/sysimage/rpm/rpmdb.sqlite-shm",
    ),
    "dnf-history": (
        b"var/lib/dnf/history.sqlite",
        b"var/lib/dnf/history.sqlite-wal",
        b"usr/lib/sysimage/libdnf5/transaction_history.sqlite",
    ),
    "zypper": (
        b"var/cache/zypp/solv/@System/solv",
        b"var/log/zypper.log",
        b"var/log/zypp/history",
    ),
    "apk": (b"var/cache/apk/APKINDEX.2c4ac24e.tar.gz", b"var/log/apk.log"),
    "pip": (
        b"root/.cache/pip",
        b"root/.cache/pip/http/a",
        b"home/me/.cache/pip/http/a",
        b"root/.cache/uv/wheels-v1/a",
        b"home/me/.cache/uv/wheels-v1/a",
    ),
    "python": (b"usr/lib/python3/__pycache__", b"srv/a/__pycache__/b.cpython-311.pyc"),
    "npm": (b"root/.npm/_logs/1.log", b"home/me/.npm/_cacache/index-v5/a"),
    "ldconfig": (b"var/cache/ldconfig/aux-cache",),
    "man": (b"var/cache/man/index.db", b"var/cache/man/de/index.db"),
    "fontconfig": (b"var/cache/fontconfig/1-le64.cache-9",),
    "logs": (b"var/log/wtmp", b"var/log/nginx/access.log"),
    "machine-id": (
        b"etc/machine-id",
        b"var/lib/dbus/machine-id",
        b"var/lib/systemd/random-seed",
    ),
    "ssh-host-keys": (b"etc/ssh/ssh_host_ed25519_key", b"etc/ssh/ssh_host_ed25519_key.pub"),
}


def removal(name: str):
    test = exclusion(profiles=find_profiles([name])).test(lambda _: False)
    return with_ancestors(test)


def test_every_profile_is_tested():
    assert [profile.name for profile in profiles()] == list(REMOVED)


@pytest.mark.parametrize("name", REMOVED)
def test_what_a_profile_removes(name: str):
    is_removed = removal(name)
    assert [path for path in REMOVED[name] if not is_removed(path)] == []
    assert [path for path in REAL_STATE if is_removed(path)] == []


@pytest.mark.parametrize("name", REMOVED)
def test_every_pattern_removes_something(name: str):
    (profile,) = find_profiles([name])
    for each in profile.removes:
        assert any(map(with_ancestors(matcher([each.pattern])), REMOVED[name])), each.pattern
        assert each.reason


def test_names_come_with_commas_aliases_and_twice():
    found = find_profiles(["yum, apt", "dnf,python", "pyc"])
    assert [profile.name for profile in found] == ["dnf", "apt", "python"]


@pytest.mark.parametrize("name", ["atp", "", "apt,", "APT"])
def test_unknown_profiles(name: str):
    with pytest.raises(UsageError, match="no clean-up profile") as caught:
        find_profiles([name])
    assert "apt, dnf" in str(caught.value)
    assert "layer profiles" in caught.value.tip


def test_no_name_is_taken_twice():
    names = [name for profile in profiles() for name in (profile.name, *profile.aliases)]
    assert len(names) == len(set(names))


# --- options


def options(**given):
    plain = {"always": False, "mtime": "clamp", "xattrs": False, "exclude": (), "clean": ()}
    return layer_options(**plain | given)


def test_options_take_one_word_or_many():
    assert options(exclude="a/b", clean="ldconfig").excluded == Exclusion(
        ("a/b", "var/cache/ldconfig/aux-cache")
    )
    assert options(exclude=["a", "b"]).excluded.patterns == ("a", "b")
    assert not options().excluded


@pytest.mark.parametrize("wrong", [{"exclude": "a["}, {"clean": "x"}, {"mtime": "now"}])
def test_wrong_options(wrong):
    with pytest.raises(UsageError):
        options(**wrong)


# --- in the layer


@pytest.fixture
def changed(tmp_path):
    def run(base, *raw, patterns=(), clean=()):
        chosen = exclusion(patterns, find_profiles(clean))
        kinds = {member.name.rstrip(b"/"): member.type == b"5" for member in (*base, *raw)}
        test = chosen.test(lambda path: kinds.get(path, False))
        return functools.partial(layers.changed, tmp_path)(base, raw, exclude=test)

    return run


VAR = (directory(b"var"), directory(b"var/log"), directory(b"var/log/nginx"))


def test_new_directories_stay_without_their_content(changed):
    raw = (*VAR, Member(b"var/log/nginx/access.log"), Member(b"var/log/a.log"))
    assert changed((), *raw, clean=["logs"]) == ["var/", "var/log/", "var/log/nginx/"]


def test_an_excluded_directory_goes_with_all_below(changed):
    raw = (directory(b"a"), directory(b"a/b"), Member(b"a/b/c"))
    assert changed((), *raw, patterns=["a/b"]) == ["a/"]


def test_what_is_below_a_pattern_with_stars_goes_without_the_directory(changed):
    raw = (directory(b"a"), directory(b"a/b"), Member(b"a/b/c"))
    assert changed((), *raw, patterns=["a/b/**"]) == ["a/", "a/b/"]


def test_nothing_is_left(changed):
    raw = (directory(b"a"), Member(b"a/b"))
    assert changed((), *raw, patterns=["a"]) == []


def test_a_changed_file_of_the_base_counts_as_unchanged(changed):
    base = (*VAR, Member(b"var/log/a", content=b"old"), Member(b"kept"))
    raw = (*VAR, Member(b"var/log/a", content=b"new"), Member(b"kept", content=b"new"))
    assert changed(base, *raw, clean=["logs"]) == ["kept"]


def test_a_deleted_file_of_the_base_stays(changed):
    base = (*VAR, Member(b"var/log/a"), Member(b"var/b"))
    raw = (*VAR, Member(b"var/log/.wh.a"), Member(b"var/.wh.b"))
    assert changed(base, *raw, clean=["logs"]) == ["var/", "var/.wh.b"]


def test_a_deleted_directory_of_the_base_is_no_file(changed):
    base = (*VAR,)
    raw = (*VAR[:2], Member(b"var/log/.wh.nginx"))
    assert changed(base, *raw, clean=["logs"]) == ["var/", "var/log/", "var/log/.wh.nginx"]


def test_other_names_of_an_excluded_file_stay(changed):
    raw = (Member(b"a", content=b"x"), hardlink(b"b", b"a"), hardlink(b"c", b"a"))
    assert changed((), *raw, patterns=["a"]) == ["b", "c"]


def test_epoch_is_not_touched_by_exclusion(tmp_path):
    raw = [Member(b"a", mtime=EPOCH + 9), Member(b"b", mtime=EPOCH + 9)]
    assert layers.changed(tmp_path, (), raw, exclude=matcher(["a"]), mtime="set") == ["b"]


# --- cures


def test_cures_name_the_profiles_that_help_most():
    paths = {
        b"var/log/apt/history.log": False,
        b"var/log/apt/term.log": False,
        b"var/cache/apt/pkgcache.bin": False,
        b"var/log/other.log": False,
        b"srv/__pycache__/.wh.a.pyc": False,
        b"srv/data": False,
    }
    found = cures(paths)
    assert list(found) == ["apt", "logs", "python"]
    assert found["apt"] == set(list(paths)[:3])
    assert found["python"] == {b"srv/__pycache__/.wh.a.pyc"}


def test_no_profile_cures_a_directory_that_it_keeps():
    assert cures({b"var/log/random-7": True}) == {}
    assert list(cures({b"var/log/random-7": False})) == ["logs"]
