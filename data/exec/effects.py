"""What a statement entails at other replica sets: from effects to the steps that carry them out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import column_positions, global_index_table
from data.catalog.materialized import NULL_BUCKET
from data.catalog.objects import Distribution, Table
from data.distribution.places import Places
from data.exec.placement import PlacementCache
from protocol.errors import DefinitionError
from protocol.messages.sql import (
    ApplyImages,
    ChildKeys,
    Effect,
    LockKeys,
    PutIndexKeys,
    PutViewRows,
    Step,
)
from protocol.sqltypes import StorageRow

Steps = dict[int, list[Step]]  # by replica set


class EffectSpace(Protocol):
    """What is asked of a database on this instance."""

    placement: PlacementCache

    @property
    def catalog(self) -> Catalog: ...


def steps_of(space: EffectSpace, places: Places, effects: Iterable[tuple[int, Effect]]) -> Steps:
    """The steps for effects, each with the replica set that it comes from.

    Old index entries go before new ones come: a key may move between rows.
    """
    first: Steps = defaultdict(list)
    then: Steps = defaultdict(list)
    sets = places.replica_sets
    for rs, effect in effects:
        table = space.catalog.table_by_id(effect.table_id)
        if effect.kind == "images":
            for other in sets:
                if other != rs:
                    then[other].append(ApplyImages(effect.changes))
        elif effect.kind == "index":
            _put_entries(space, places, table, effect, first, then)
        elif effect.kind == "view":
            _put_view_rows(space, places, table, effect, first, then)
        elif effect.kind in ("child", "changed"):
            restrict = effect.kind == "changed"
            for other in sets:
                then[other].append(ChildKeys(table.id, effect.name, effect.rows, restrict))
        else:
            _lock_parents(space, places, table, effect, then)
    for rs, some in then.items():
        first[rs] += some
    return first


def _put_entries(
    space: EffectSpace, places: Places, table: Table, effect: Effect, first: Steps, then: Steps
) -> None:
    index = next(i for i in table.indexes if i.id == effect.index_id)
    entries = global_index_table(table, index)
    at = range(len(entries.distribution_key))
    for rs, rows in _placed(space, places, entries, effect.deletes, at).items():
        old = [(*row, bucket) for row, bucket in rows]
        first[rs].append(PutIndexKeys(table.id, index.id, old, []))
    for rs, rows in _placed(space, places, entries, effect.rows, at).items():
        new = [(*row, bucket) for row, bucket in rows]
        then[rs].append(PutIndexKeys(table.id, index.id, [], new))


def _put_view_rows(
    space: EffectSpace, places: Places, view: Table, effect: Effect, first: Steps, then: Steps
) -> None:
    width = len(view.distribution_key)
    for rs, rows in _placed(space, places, view, effect.deletes, range(width)).items():
        keys = [tuple(row[width:]) for row, _ in rows]
        first[rs].append(PutViewRows(view.id, keys, []))
    at = column_positions(view, view.distribution_key)
    for rs, rows in _placed(space, places, view, effect.rows, at).items():
        new = [(*row, bucket) for row, bucket in rows]
        then[rs].append(PutViewRows(view.id, [], new))


def _lock_parents(
    space: EffectSpace, places: Places, parent: Table, effect: Effect, then: Steps
) -> None:
    """Lock the parent rows where they are, so that nobody deletes them meanwhile."""
    placed_by = parent.distribution_key  # (): by the hidden row key
    if (
        parent.distribution is Distribution.HASH
        and placed_by
        and set(placed_by) <= set(effect.columns)
    ):
        at = [effect.columns.index(c) for c in placed_by]
        for rs, rows in _placed(space, places, parent, effect.rows, at).items():
            keys = [key for key, _ in rows]
            then[rs].append(LockKeys(parent.id, effect.columns, keys, effect.name))
        return
    index = next(
        (i for i in parent.indexes if i.is_global and set(i.columns) == set(effect.columns)), None
    )
    if index is None:
        raise DefinitionError(
            f"foreign key {effect.name}: the parent's key {effect.columns} cannot be located",
            hint="Make a global unique index on the parent's columns.",
        )
    # the index entry stands for the parent: it is locked, and goes when the parent goes
    entries = global_index_table(parent, index)
    at = [effect.columns.index(c) for c in entries.distribution_key]
    ordered = [tuple([key[i] for i in at]) for key in effect.rows]
    for rs, rows in _placed(space, places, entries, ordered, range(len(at))).items():
        keys = [key for key, _ in rows]
        then[rs].append(LockKeys(-index.id, entries.distribution_key, keys, effect.name))


def _placed(
    space: EffectSpace,
    places: Places,
    table: Table,
    rows: Iterable[StorageRow],
    at: Sequence[int],
) -> dict[int, list[tuple[StorageRow, int]]]:
    """Rows with their buckets, by replica set. `at`: where the distribution key stands in them."""
    buckets = places.buckets
    hasher = space.placement.hasher(table, table.distribution_key)
    placed: dict[int, list[tuple[StorageRow, int]]] = defaultdict(list)
    for row in rows:
        key = [row[i] for i in at]
        bucket = NULL_BUCKET if None in key else hasher(key)
        placed[buckets[bucket]].append((row, bucket))
    return placed
