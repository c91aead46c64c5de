"""Which buckets a replica set owns, as its lead knows it; and the table that says so. Pure.

The table `_own` is in every element, changed by row changes of ordinary transactions only (moving
buckets: data/moving/), so it agrees with the rows at every moment, on every copy and after every
failure. A row (bucket, owner): the replica set that the bucket belongs to as far as this set knows;
its own number, or where it gave the bucket to. `VERSION_ROW` counts the changes, which requests
name (`DistributionMap.versions`). Rows below it say which replica sets take part in statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import compress

from data.txn.locks import Resource
from protocol.errors import StaleMapError
from protocol.limits import BUCKET_COUNT

OWN_TABLE = "_own"
VERSION_ROW = -1
VERSION_LOCK: Resource = (OWN_TABLE, VERSION_ROW)  # held by whoever changes the ownership
UNKNOWN = -1  # a version that no request names


def membership_row(rs: int) -> int:
    """The row that says whether a replica set takes part (1) or not (0)."""
    return VERSION_ROW - rs


class Ownership:
    """The table in memory, while the element leads; the last committed state of it.

    While a change of it is in a batch that may still fail, `version` is UNKNOWN and buckets that
    may be gone count as gone: requests come again.
    """

    def __init__(self) -> None:
        self.version = 0
        self.known = False  # the table has been filled; before, the first map is believed
        self.owned = bytearray(BUCKET_COUNT)  # 1 where the bucket is ours
        self.gone: Mapping[int, int] = {}  # buckets that were given away, and to whom
        self.taking_part: Mapping[int, bool] = {}  # what is known of other replica sets

    def load(self, rows: Iterable[tuple[int, int]], rs: int) -> None:
        """Take what the table says."""
        owned = bytearray(BUCKET_COUNT)
        gone: dict[int, int] = {}
        taking_part: dict[int, bool] = {}
        version = -1
        for bucket, owner in rows:
            if bucket >= 0:
                if owner == rs:
                    owned[bucket] = 1
                else:
                    gone[bucket] = owner
            elif bucket == VERSION_ROW:
                version = owner
            else:
                taking_part[VERSION_ROW - bucket] = bool(owner)
        self.known = version >= 0
        self.version = max(version, 0)
        self.owned, self.gone, self.taking_part = owned, gone, taking_part

    def apply(self, rows: Iterable[tuple[int, int]], rs: int) -> None:
        """Take rows that were changed since `load`, all of them: a group of buckets is few."""
        gone, taking_part = dict(self.gone), dict(self.taking_part)
        for bucket, owner in rows:
            if bucket >= 0:
                self.owned[bucket] = owner == rs
                gone.pop(bucket, None)
                if owner != rs:
                    gone[bucket] = owner
            elif bucket == VERSION_ROW:
                self.known, self.version = True, owner
            else:
                taking_part[VERSION_ROW - bucket] = bool(owner)
        self.gone, self.taking_part = gone, taking_part

    def check(self, version: int, bucket: int) -> None:
        """May a request made by this version run, which is about one bucket (-1: any)?

        Raises StaleMapError.
        """
        if version != self.version and (bucket < 0 or not self.owned[bucket]):
            raise StaleMapError(f"made by ownership version {version}, here is {self.version}")

    def check_row(self, bucket: int) -> None:
        """May a row of this bucket come here? Raises StaleMapError."""
        if self.known and not self.owned[bucket]:
            raise StaleMapError(f"bucket {bucket} is not owned here")

    def check_rows(self, buckets: list[int]) -> None:
        """`check_row` for many rows."""
        if self.known and not all(map(self.owned.__getitem__, buckets)):
            for bucket in buckets:
                self.check_row(bucket)

    def changing(self, buckets: Iterable[int]) -> None:
        """A change of these buckets is on its way; `load` follows."""
        self.version = UNKNOWN
        for bucket in buckets:
            self.owned[bucket] = 0

    def buckets(self) -> list[int]:
        """Those that are owned, ascending."""
        return list(compress(range(BUCKET_COUNT), self.owned))
