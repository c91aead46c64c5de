"""Expressions made to eat memory or time: refused early, or stopped soon. One test per function."""

from __future__ import annotations

import time

import pytest

from data.catalog.pg_functions import like
from data.sql import regexps, strings
from protocol.errors import ParameterError, TooComplexError, TooLargeError
from protocol.limits import VALUE_CHARS_MAX

SOON_S = 10.0  # liveness, not speed: the unbounded forms take minutes or for ever


@pytest.mark.parametrize(
    "make",
    [
        lambda: strings.pad("x", 2_000_000_000, left=False),
        lambda: strings.pad("x", 10**30, "yz", left=True),
        lambda: strings.repeat("ab", 10**12),
        lambda: strings.replace("x" * 100_000, "x", "y" * 1000),
        lambda: regexps.regexp_replace("x" * 20, "x", "y" * 400_000),
        lambda: regexps.regexp_replace("x" * 100_000, "(x+)", "\\1" * 100),
        lambda: like("%" * (VALUE_CHARS_MAX // 50), "x"),
    ],
)
def test_values_beyond_the_limit_are_refused_before_they_are_made(make: object) -> None:
    began = time.monotonic()
    with pytest.raises(TooLargeError):
        make()  # type: ignore[operator]
    assert time.monotonic() - began < SOON_S


@pytest.mark.parametrize("pattern", ["^(a|aa)+$", "^(a|a?)+$", "^(a|b|ab)*c$", "(.*)*x(.*)*y\\1z"])
def test_patterns_without_end_are_stopped(pattern: str) -> None:
    began = time.monotonic()
    for find in (regexps.regexp_like, regexps.regexp_count, regexps.regexp_substr):
        try:
            find("a" * 5000 + "!", pattern)
        except TooComplexError as error:
            assert error.sqlstate == "54001"
    assert time.monotonic() - began < SOON_S


def test_long_and_deep_patterns_are_refused() -> None:
    with pytest.raises(TooComplexError):
        regexps.regexp_like("a", "a" * 10_000)
    with pytest.raises((TooComplexError, ParameterError)):
        regexps.regexp_like("a", "(" * 4000 + ")" * 4000)
    with pytest.raises(ParameterError):
        regexps.regexp_like("a", "(")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("%a_c%", "xxabcx", 1),
        ("a%", "ba", 0),
        ("%b", "ab", 1),
        ("%b", "abc", 0),
        ("a%b%c", "axxbxxc", 1),
        ("a%b%c", "axxcxxb", 0),
        ("%ab%ab", "abab", 1),
        ("%ab%ab", "ab", 0),
        ("%", "", 1),
        ("", "", 1),
        ("a\\%b", "a%b", 1),
        ("a\\%b", "axb", 0),
        ("_%_", "a", 0),
    ],
)
def test_like_in_catalog_queries(pattern: str, text: str, expected: int) -> None:
    assert like(pattern, text) == expected


def test_like_with_many_wildcards_takes_no_time() -> None:
    began = time.monotonic()
    assert like("%a" * 200 + "%b", "a" * 3000) == 0
    assert time.monotonic() - began < SOON_S


def test_what_regular_expressions_give() -> None:
    assert regexps.regexp_replace("hello world", "(o)", "[\\1]") == "hell[o] w[o]rld"
    assert regexps.regexp_replace("hello world", "o", "", 6) == "hello wrld"
    assert regexps.regexp_replace("aXbX", "X", "-", 1, 2) == "aXb-"
    assert regexps.regexp_replace("a", "a") is None  # an empty text is NULL
    assert regexps.regexp_replace("a\\n", "a", "\\") == "\\\\n"
    assert regexps.regexp_substr("one two", "[[:alpha:]]+", 1, 2) == "two"
    assert regexps.regexp_instr("one two", "t", 1, 1, 1) == 6
    assert regexps.regexp_count("abcabc", "b", 3) == 1
    assert regexps.regexp_like("ABC", "b", "i") == 1
    with pytest.raises(ParameterError):
        regexps.regexp_substr("a", "a", 1, 1, "", 3)
