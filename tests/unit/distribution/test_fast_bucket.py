"""The quick way to a bucket gives what the general one gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.distribution.route import (
    Const,
    Param,
    Route,
    RouteValue,
    Special,
    buckets_of,
    fast_bucket,
)
from protocol.sqltypes import BIGINT, INTEGER, VARCHAR, SqlType, StorageValue

INTEGERS = st.none() | st.integers(-(2**63), 2**63 - 1)


def _route(*parts: tuple[Param | Const | Special, SqlType]) -> Route:
    return Route("keys", 1, (tuple(RouteValue(source, type_) for source, type_ in parts),))


def _no_special(special: Special) -> StorageValue:
    raise AssertionError(special)


def _agrees(route: Route, values: tuple[StorageValue, ...]) -> bool:
    quick = fast_bucket(route)
    assert quick is not None
    expected = buckets_of(route, values, _no_special)
    found = quick(values)
    return (found,) == expected if expected else found == -1


@given(INTEGERS)
def test_one_integer(value: int | None) -> None:
    assert _agrees(_route((Param(1), BIGINT)), ("other", value))


@given(INTEGERS, INTEGERS)
def test_two_integers_in_the_order_of_the_key(one: int | None, two: int | None) -> None:
    assert _agrees(_route((Param(1), INTEGER), (Param(0), BIGINT)), (one, two))


@given(INTEGERS, st.none() | st.text())
def test_mixed_with_constants(number: int | None, text: str | None) -> None:
    route = _route((Param(0), INTEGER), (Const(7), INTEGER), (Param(1), VARCHAR))
    assert _agrees(route, (number, text))


@pytest.mark.parametrize("route", [
    _route((Special("user"), VARCHAR)),
    Route("keys", 1, (_route((Param(0), INTEGER)).keys * 2)),
])  # fmt: skip
def test_what_has_no_quick_way(route: Route) -> None:
    assert fast_bucket(route) is None
