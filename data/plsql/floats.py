"""BINARY_FLOAT and BINARY_DOUBLE while a block runs: IEEE 754, as in SQL. Pure.

A double is a float of Python, a BINARY_FLOAT a Single. Arithmetic is that of data/sql/floats.py;
what has a double in it is a double, a Single with a NUMBER is a Single. NaN equals itself and is
greater than all else, as in Oracle. A NUMBER is compared with a float as a float.
"""

from __future__ import annotations

from typing import Any

from data.sql.floats import FLOAT_RUNTIME
from data.sql.single import single
from protocol.sqltypes import StorageValue


class Single(float):
    """A BINARY_FLOAT: one of the floats of 32 bits."""

    __slots__ = ()


def double(value: Any) -> float:
    """Of a number or a storage value; "NaN" is one."""
    return float(value)


def narrowed(value: Any) -> Single:
    """The nearest BINARY_FLOAT; what is larger is infinite."""
    return Single(single(value))


def loaded(value: StorageValue) -> Any:
    """Of a BINARY_DOUBLE's storage value."""
    return None if value is None else double(value)


def loaded_single(value: StorageValue) -> Any:
    """Of a BINARY_FLOAT's storage value."""
    return None if value is None else narrowed(value)


def computed(operation: str, a: Any, b: Any) -> float:
    """tg_fadd and so on, of two numbers, a float among them."""
    result = FLOAT_RUNTIME[operation](a, b)
    return double(result) if type(a) is float or type(b) is float else narrowed(result)


def negated(value: float) -> float:
    """-value, of the same type."""
    return type(value)(-value)


def comparable(a: Any, b: Any) -> tuple[Any, Any]:
    """Two numbers, a float among them, as what Python orders and compares in their way."""
    left, right = double(a), double(b)
    if left != left or right != right:
        return left != left, right != right
    return left, right
