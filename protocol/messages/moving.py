"""Management → data instances: bringing replica sets into and out of a database, moving buckets.

Every call may be repeated: what is done already is answered as done. Errors are retriable unless
their class says otherwise; NotLeadError: ask the lead that membership names now.

How a replica set comes in: publish a map in which its elements have their `replica_set` number and
that lists it in `DistributionMap.idle` (no statement goes there); wait until it has a lead;
`SeedReplicaSet`, which also takes it out of `idle`; then `MoveBuckets`. How one goes: `MoveBuckets`
until it owns nothing, `RetireReplicaSet`, which puts it into `idle`; then publish a map without it.
Ranges, versions and `idle` of a map in use are changed by data instances only.
"""

from __future__ import annotations

import msgspec

from protocol.messages import registry


class SeedReplicaSet(msgspec.Struct, frozen=True, array_like=True, tag="moving.seed"):
    """To the lead of any replica set in use: make an idle one ready and let it take part.

    It gets catalog, users, sequences' definitions and all rows of DUPLICATE tables; DDL and writes
    to DUPLICATE tables wait meanwhile. Reply: Seeded.
    """

    db: str
    rs: int  # the idle one


class Seeded(msgspec.Struct, frozen=True, array_like=True, tag="moving.seeded"):
    """It takes part in all statements from this map version on."""

    map_version: int
    rows: int = 0  # of DUPLICATE tables, copied


class RetireReplicaSet(msgspec.Struct, frozen=True, array_like=True, tag="moving.retire"):
    """To the lead of any *other* replica set: let one that owns no bucket take part no more.

    Reply: Retired. ElementStateError while it owns buckets; TransientError while transactions are
    under way there: ask again.
    """

    db: str
    rs: int


class Retired(msgspec.Struct, frozen=True, array_like=True, tag="moving.retired"):
    """No statement goes there from this map version on."""

    map_version: int


class AdoptBuckets(msgspec.Struct, frozen=True, array_like=True, tag="moving.adopt"):
    """To the lead of a replica set: buckets of a set that was evicted are its own from now on.

    Those of them that the map gives to a set that has elements in it stay where they are. Reply:
    Adopted, when the map says so too.
    """

    db: str
    rs: int
    buckets: tuple[int, ...]


class Adopted(msgspec.Struct, frozen=True, array_like=True, tag="moving.adopted"):
    """The map version that names the new owner."""

    map_version: int


class TakeOver(msgspec.Struct, frozen=True, array_like=True, tag="moving.take_over"):
    """To the lead of any replica set in use: buckets of sets that were evicted get these owners.

    Entries of global indexes that were in those buckets are made anew, and entries of rows that
    were in them go, in the same transaction. Writers of tables with global indexes wait meanwhile.
    What has an owner keeps it. Reply: TakenOver; then AdoptBuckets asks each owner to say so in the
    map.
    """

    db: str
    owners: tuple[tuple[int, tuple[int, ...]], ...]  # replica set, its new buckets


class TakenOver(msgspec.Struct, frozen=True, array_like=True, tag="moving.taken_over"):
    """It is committed; entries of global indexes made and removed."""

    map_version: int
    entries_made: int = 0
    entries_removed: int = 0
    sequences: tuple[str, ...] = ()  # whose counters are lost: they begin anew
    foreign_keys: tuple[str, ...] = ()  # "TABLE.KEY to PARENT": rows may have lost their parents


class PlanMove(msgspec.Struct, frozen=True, array_like=True, tag="moving.plan"):
    """To the lead of the source: how much is in these buckets? For progress. Reply: Planned."""

    db: str
    source: int
    buckets: tuple[int, ...]


class Planned(msgspec.Struct, frozen=True, array_like=True, tag="moving.planned"):
    """(bucket, rows) of those buckets that the source owns; `bytes_per_row` is an estimate."""

    buckets: tuple[tuple[int, int], ...]
    bytes_per_row: int


class MoveBuckets(msgspec.Struct, frozen=True, array_like=True, tag="moving.move"):
    """To the lead of the source: move these buckets to another set, in this order. Reply: Moved.

    Works for at most `for_ms`, then answers what is done; the caller asks for the rest. A group of
    buckets is moved whole or not at all. It rests half of the time; `rows_per_s` > 0 limits it
    more.
    """

    db: str
    source: int
    target: int
    buckets: tuple[int, ...]
    rows_per_s: int = 0
    for_ms: int = 5000


class Moved(msgspec.Struct, frozen=True, array_like=True, tag="moving.moved"):
    """`left`: not moved yet, in the order asked for; () when all are at the target.

    Buckets that the source does not own (any more) are not left. `waits`: why it did not get
    further, for people: "" or e.g. that a transaction has changed rows of the next buckets.
    """

    left: tuple[int, ...]
    rows: int  # moved by this call
    bytes: int
    map_version: int
    waits: str = ""


class OwnedBuckets(msgspec.Struct, frozen=True, array_like=True, tag="moving.owned_ask"):
    """To the lead of a replica set: which buckets are its own? The truth. Reply: Owned."""

    db: str
    rs: int


class Owned(msgspec.Struct, frozen=True, array_like=True, tag="moving.owned"):
    """Reply to OwnedBuckets; `ranges` of (first, last), `version` as in the map."""

    rs: int
    ranges: tuple[tuple[int, int], ...]
    version: int
    map_version: int
    known: bool = True  # False: its table has not been filled yet; ask again in a moment


registry.declare_module(__name__)
