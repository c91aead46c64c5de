"""Nested tables as multisets: comparisons, MULTISET UNION and the like, MEMBER OF. Pure.

Order does not matter, duplicates do; a NULL element makes a comparison unknown unless the counts
decide it (PL/SQL Language Reference, "Collection Comparisons"; SQL Language Reference, "Multiset
Operators"). Elements are scalars, or nested tables themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from data.plsql import values
from data.plsql.errors import predefined
from data.plsql.types import Collection, CollectionType
from data.plsql.values import Value

Compare = Callable[[Value, Value], bool | None]


def _elements(value: Value) -> list[Value]:
    if not isinstance(value, Collection) or value.type.kind != "table":
        raise predefined("VALUE_ERROR", ": only nested tables can be compared as multisets")
    return [element for _, element in value.in_order()]


def same(a: Value, b: Value) -> bool | None:
    """Are two elements equal?"""
    if isinstance(a, Collection) and isinstance(b, Collection):
        return equal(a, b)
    return values.equal(a, b)


def _identical(a: Value, b: Value) -> bool:
    """As `same`, NULL being like NULL: what UNION DISTINCT, INTERSECT and EXCEPT go by."""
    return (a is None and b is None) or same(a, b) is True


def equal(a: Value, b: Value) -> bool | None:
    """a = b."""
    if a is None or b is None:
        return None
    left, right = _elements(a), _elements(b)
    if len(left) != len(right):
        return False
    return _all_found(left, right)


def unequal(a: Value, b: Value) -> bool | None:
    """a <> b."""
    found = equal(a, b)
    return None if found is None else not found


def submultiset(a: Value, b: Value) -> bool | None:
    """a SUBMULTISET OF b."""
    if a is None or b is None:
        return None
    left, right = _elements(a), _elements(b)
    return False if len(left) > len(right) else _all_found(left, right)


def _all_found(wanted: list[Value], among: list[Value]) -> bool | None:
    """Has each of `wanted` an equal one of its own?"""
    rest = list(among)
    missing = [value for value in wanted if not _taken(rest, value)]
    if not missing:
        return True
    has_nulls = any(value is None for value in (*rest, *missing))
    nulls = sum(value is None for value in rest)
    surely_missing = [value for value in missing if value is not None]
    return None if has_nulls and len(surely_missing) <= nulls else False


def _taken(rest: list[Value], value: Value) -> bool:
    if value is None:
        return False
    for at, other in enumerate(rest):
        if same(value, other):
            del rest[at]
            return True
    return False


def member(value: Value, of: Value) -> bool | None:
    """value MEMBER OF of."""
    if of is None:
        return None
    elements = _elements(of)
    if value is None:
        return None if elements else False
    answers = [same(value, element) for element in elements]
    return True if True in answers else None if None in answers else False


def is_set(value: Value, _: Value = None) -> bool | None:
    """value IS A SET: no duplicates."""
    if value is None:
        return None
    elements = _elements(value)
    return len(_distinct(elements)) == len(elements)


def _distinct(elements: list[Value]) -> list[Value]:
    found: list[Value] = []
    for element in elements:
        if not any(_identical(element, other) for other in found):
            found.append(element)
    return found


def as_set(value: Value) -> Value:
    """SET(value)."""
    if value is None:
        return None
    assert isinstance(value, Collection)
    return _made(value.type, _distinct(_elements(value)))


def cardinality(value: Value) -> Value:
    """CARDINALITY(value)."""
    return None if value is None else len(_elements(value))


def combined(operator: str, distinct: bool, a: Value, b: Value) -> Value:
    """a MULTISET UNION, INTERSECT or EXCEPT b."""
    if a is None or b is None:
        return None
    left, right = _elements(a), _elements(b)
    if distinct:
        left, right = _distinct(left), _distinct(right)
    rest = list(right)
    in_both: list[Value] = []
    only_left: list[Value] = []
    for value in left:
        at = next((n for n, other in enumerate(rest) if _identical(value, other)), None)
        if at is None:
            only_left.append(value)
        else:
            in_both.append(rest.pop(at))
    if operator == "INTERSECT":
        chosen = in_both
    elif operator == "EXCEPT":
        chosen = only_left
    else:
        chosen = left + (rest if distinct else right)
    return _made(a.type, chosen)


def _made(type_: CollectionType, elements: list[Value]) -> Collection:
    made = Collection(type_)
    made.fill(elements)
    return made


OPERATORS: dict[str, Compare] = {
    "=": equal,
    "<>": unequal,
    "MEMBER": member,
    "SUBMULTISET": submultiset,
    "IS A SET": is_set,
}
