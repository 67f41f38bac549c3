"""Patterns of paths: their language, held against a slow matcher that tries everything."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcommit_core.errors import UsageError
from runcommit_core.layer.globs import matcher


def chosen(pattern: str, *paths: str) -> list[str]:
    test = matcher([pattern])
    return [path for path in paths if test(path.encode())]


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("a", ["a"], ["b", "a/b", "x/a", "aa", "A"]),
        ("/a/b/", ["a/b"], ["a", "a/b/c", "b"]),
        ("./a//./b", ["a/b"], ["a"]),
        ("a*", ["a", "ab", "a.b", "a\n"], ["ba", "a/b"]),
        ("*", ["a", ".a", "é"], ["a/b"]),
        ("*.py", ["a.py", ".py"], ["a/b.py", "a.pyc"]),
        ("a/*/c", ["a/b/c", "a/.b/c"], ["a/c", "a/b/b/c"]),
        ("a**b", ["ab", "axb"], ["a/b"]),
        ("**", ["a", "a/b"], []),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("**/a", ["a", "b/a", "c/b/a"], ["ba", "a/b", "b/xa"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "a/bz", "a/z/b"]),
        ("**/a/**", ["a/b", "x/a/b"], ["a", "x/a"]),
        ("a/**/**/z", ["a/z", "a/b/z"], ["a"]),
        ("**/b/**/b", ["b/b", "b/x/b", "x/b/b/b"], ["b", "x/b"]),
        ("a?", ["ab", "aé", "a?"], ["a", "abc", "a/"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
        ("[!a-c]x", ["dx"], ["ax", "/x", "x"]),
        ("[^a]x", ["bx"], ["ax"]),
        ("[]]x", ["]x"], ["x"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("a[.-0]b", ["a.b", "a0b"], ["a/b"]),
        (r"[\]x", ["\\x"], ["x"]),
        (r"\*\[\?", ["*[?"], ["a[b"]),
        ("a.b+(c|d)$", ["a.b+(c|d)$"], ["axb+(c|d)$"]),
        ("/!a", ["!a"], ["a"]),
    ],
)
def test_language(pattern: str, matches: list[str], others: list[str]):
    assert chosen(pattern, *matches, *others) == matches


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "names no path"),
        ("/./", "names no path"),
        ("a/../b", "'..'"),
        ("!a", "begins with '!'"),
        ("a[b", "without its ']'"),
        ("[a/b]", "without its ']'"),
        ("[z-a]", "end is before its start"),
        ("[!]", "empty class"),
        ("[]", "empty class"),
        ("a\\", "single \\"),
        ("a\0", "NUL"),
    ],
)
def test_senseless_patterns(pattern: str, why: str):
    with pytest.raises(UsageError, match=re.escape(why)) as caught:
        matcher([pattern])
    assert repr(pattern) in str(caught.value)


def test_several_patterns_are_alternatives():
    test = matcher(["a", "b/*"])
    assert [test(path) for path in (b"a", b"b/c", b"b", b"c")] == [True, True, False, False]


def test_no_pattern_and_the_root():
    assert not matcher([])(b"a")
    assert not matcher(["**", "*"])(b"")


def test_paths_that_are_no_utf8():
    assert matcher(["a?b"])(b"a\xffb")
    assert matcher(["a*"])(b"a\xff\xfe")
    assert matcher([b"a\xff".decode(errors="surrogateescape")])(b"a\xff")


def test_many_stars_do_not_backtrack():
    """A backtracking matcher would need longer than anyone can wait."""
    test = matcher(["**/*a*a*a*a*a*a*a*a*b", "**/a/**/a/**/a/**/a/**/a/**/b"])
    assert not test(b"/".join([b"a"] * 1000 + [b"a" * 250]))


ALPHABET = "ab.]"
names = st.text(ALPHABET, min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
components = st.one_of(
    st.just("**"),
    st.lists(st.sampled_from(["a", "b", ".", "*", "?", "[ab]", "[!a]", "[]b]"]), min_size=1)
    .map("".join)
    .filter(lambda component: component not in {".", "..", "**"}),
)
patterns = st.lists(components, min_size=1, max_size=5).map("/".join)


@given(patterns, paths)
def test_the_same_as_trying_everything(pattern: str, path: str):
    assert matcher([pattern])(path.encode()) == slow(pattern.split("/"), path.split("/"))


def slow(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern == ["**"]:
        return bool(path)
    if pattern[0] == "**":
        return any(slow(pattern[1:], path[skip:]) for skip in range(len(path) + 1))
    return bool(path) and slow_name(pattern[0], path[0]) and slow(pattern[1:], path[1:])


def slow_name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(slow_name(pattern[1:], name[skip:]) for skip in range(len(name) + 1))
    for start, members in (("[ab]", "ab"), ("[!a]", "b.]"), ("[]b]", "]b"), ("?", ALPHABET)):
        if pattern.startswith(start):
            rest = pattern[len(start) :]
            return bool(name) and name[0] in members and slow_name(rest, name[1:])
    return bool(name) and name[0] == pattern[0] and slow_name(pattern[1:], name[1:])
