"""A plan's Route and a statement's parameter values → buckets. Pure."""

from __future__ import annotations

from collections.abc import Callable

from data.distribution.hashing import bucket_of, bucket_of_int
from data.distribution.keys import is_plain_integer, key_bytes
from data.sql.plan_types import Param, Route, RouteValue, SpecialValues, source_value
from protocol.sqltypes import StorageValue


def key_bucket(
    key: tuple[RouteValue, ...], values: tuple[StorageValue, ...], special: SpecialValues
) -> int:
    """The bucket of one routing key, -1 if a part is NULL (no row has it)."""
    if len(key) == 1:
        only = key[0]
        value = source_value(only.source, values, special)
        if value is None:
            return -1
        if type(value) is int and is_plain_integer(only.type):
            return bucket_of_int(value)
        return bucket_of(key_bytes((value,), (only.type,)))
    parts = [source_value(part.source, values, special) for part in key]
    if None in parts:
        return -1
    return bucket_of(key_bytes(parts, [part.type for part in key]))


def buckets_of(
    route: Route, values: tuple[StorageValue, ...], special: SpecialValues
) -> tuple[int, ...]:
    """The distinct buckets of a "keys" or "global_index" route; () if no row can match."""
    if len(route.keys) == 1:
        bucket = key_bucket(route.keys[0], values, special)
        return (bucket,) if bucket >= 0 else ()
    found = {key_bucket(key, values, special) for key in route.keys}
    return tuple(sorted(b for b in found if b >= 0))


def fast_bucket(route: Route) -> Callable[[tuple[StorageValue, ...]], int] | None:
    """For a route of one key of one integer parameter: values → bucket (-1: NULL). Else None."""
    if len(route.keys) != 1 or len(route.keys[0]) != 1:
        return None
    only = route.keys[0][0]
    if type(only.source) is not Param or not is_plain_integer(only.type):
        return None
    index = only.source.index

    def bucket(values: tuple[StorageValue, ...]) -> int:
        value = values[index]
        return -1 if value is None else bucket_of_int(value)  # type: ignore[arg-type]

    return bucket
