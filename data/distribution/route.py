"""Where a fragment runs (Route), where its values come from, and which buckets that means. Pure.

The values of a plan that data/sql makes and data/exec follows; data/sql/plan_types.py has the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from data.distribution.hashing import (
    BucketOfInteger,
    BucketOfTwoIntegers,
    bucket_of,
    bucket_of_int,
)
from data.distribution.keys import is_plain_integer, key_bytes
from protocol.sqltypes import SqlType, StorageValue


@dataclass(frozen=True, slots=True)
class Param:
    """Statement parameter `index` (from 0): a storage value of `CompiledStatement.param_types`."""

    index: int


@dataclass(frozen=True, slots=True)
class Const:
    """A storage value known when the statement was compiled."""

    value: StorageValue


@dataclass(frozen=True, slots=True)
class Special:
    """A value the executor knows, the same at every element of one statement.

    name: "sysdate" (µs UTC, whole seconds), "systimestamp" (µs UTC), "today" (µs of midnight),
    "user", "schema", "element", "replica_set", "data_space" (of the connection's element, int),
    "database", "session_id", "element_map" (the lead's element id of
    each bucket, 4096 numbers separated by commas), "nextval" and "currval" (argument: sequence
    id; drawn once per statement), "scalar" (the value of the plan's `First` of that number), "rows"
    (JSON: the rows of a `First`, or the keys of a `KeyFilter`, of that number).
    """

    name: str
    argument: int = 0


ParamSource = Param | Const | Special
SpecialValues = Callable[[Special], StorageValue]


@dataclass(frozen=True, slots=True)
class Fragment:
    """One SQLite statement and where its parameters ?1..?n come from."""

    sql: str
    params: tuple[ParamSource, ...] = ()
    # set by the compiler: the indexes when every source is a Param, else None
    plain: tuple[int, ...] | None = None

    def bind(
        self, values: tuple[StorageValue, ...], special: SpecialValues
    ) -> tuple[StorageValue, ...]:
        """The SQLite parameters for these statement parameters."""
        if self.plain is not None:
            return tuple([values[i] for i in self.plain])
        return tuple([source_value(p, values, special) for p in self.params])


def source_value(
    source: ParamSource, values: tuple[StorageValue, ...], special: SpecialValues
) -> StorageValue:
    """The value of one source."""
    if type(source) is Param:
        return values[source.index]
    if type(source) is Const:
        return source.value
    assert type(source) is Special
    return special(source)


def make_fragment(sql: str, params: tuple[ParamSource, ...]) -> Fragment:
    """A Fragment with its fast path filled in."""
    plain = tuple(p.index for p in params if type(p) is Param)
    return Fragment(sql, params, plain if len(plain) == len(params) else None)


@dataclass(frozen=True, slots=True)
class RouteValue:
    """One column of a routing key: `source` gives a storage value of `type`."""

    source: ParamSource
    type: SqlType


@dataclass(frozen=True, slots=True)
class Route:
    """Where a fragment runs.

    kind:
    * "keys": at the buckets of `keys` (see data/distribution/route.py); usually one key;
    * "global_index": `keys` are values of global index `index_id`: run `lookup` (element text, its
      one column is the target bucket, params are those of the key) at the bucket of the key, then
      the fragment at the target bucket; no row there: no rows at all. `many`: the index is not
      unique, and the fragment runs at all the target buckets;
    * "all": once at every replica set;
    * "local": at any one element, best the connection's own (only DUPLICATE tables or none);
    * "here": at the connection's element only (hint LOCAL);
    * "everywhere": at every element, all copies (hint GLOBAL);
    * "session": in the session's own temporary tables.

    `always`: the fragment gives a row even where no row matches (COUNT of nothing is 0), so a key
    that is NULL or not found goes to bucket 0 instead of nowhere.
    """

    kind: Literal["keys", "global_index", "all", "local", "here", "everywhere", "session"]
    table_id: int = 0
    keys: tuple[tuple[RouteValue, ...], ...] = ()
    index_id: int = 0
    lookup: Fragment | None = None
    always: bool = False
    many: bool = False


ROUTE_ALL = Route("all")
ROUTE_LOCAL = Route("local")
ROUTE_HERE = Route("here")
ROUTE_EVERYWHERE = Route("everywhere")
ROUTE_SESSION = Route("session")


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
        if bucket < 0:
            return (0,) if route.always else ()
        return (bucket,)
    found = {key_bucket(key, values, special) for key in route.keys}
    return tuple(sorted(b for b in found if b >= 0))


def fast_bucket(route: Route) -> Callable[[tuple[StorageValue, ...]], int] | None:
    """For a route of one key of parameters and constants: values → bucket (-1: NULL). Else None.

    Gives what `buckets_of` gives, without looking at the plan again for each execution.
    """
    if len(route.keys) != 1:
        return None
    key = route.keys[0]
    found = _key_function(key)
    if found is None or not route.always:
        return found
    some = found
    return lambda values: max(some(values), 0)


def _key_function(
    key: tuple[RouteValue, ...],
) -> Callable[[tuple[StorageValue, ...]], int] | None:
    """Values → bucket of the key, -1: a part is NULL. None if it needs more than parameters."""
    if any(type(part.source) is Special for part in key):
        return None
    plain = all(type(part.source) is Param and is_plain_integer(part.type) for part in key)
    indexes = tuple(part.source.index for part in key if type(part.source) is Param)
    if plain and len(key) == 1:
        return BucketOfInteger(indexes[0])
    if plain and len(key) == 2:
        return BucketOfTwoIntegers(*indexes)
    return lambda values: key_bucket(key, values, _no_special)


def _no_special(special: Special) -> StorageValue:
    raise AssertionError(f"{special} in a key of parameters and constants")
