"""Key bytes → bucket: xxHash64 modulo the number of buckets. Pure; on disk, so never changed."""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh64_intdigest

from protocol.limits import BUCKET_COUNT
from protocol.sqltypes import StorageValue


def bucket_of(key: bytes) -> int:
    """The bucket, 0 .. BUCKET_COUNT-1, of canonical key bytes (data/distribution/keys.py)."""
    return xxh64_intdigest(key) % BUCKET_COUNT


def bucket_of_int(value: int) -> int:
    """The bucket of a key of one integer, as `bucket_of(key_bytes((value,), (BIGINT,)))`."""
    return xxh64_intdigest(b"n%d" % value) % BUCKET_COUNT


def buckets_of_ints(values: Iterable[int]) -> list[int]:
    """`bucket_of_int` of many."""
    return [xxh64_intdigest(b"n%d" % value) % BUCKET_COUNT for value in values]


def bucket_of_two_ints(first: int, second: int) -> int:
    """The bucket of a key of two integers, as `bucket_of(key_bytes((first, second), ...))`."""
    one, two = str(first + 0), str(second + 0)  # a bool is a number too
    return xxh64_intdigest(f"{len(one) + 1}:n{one}{len(two) + 1}:n{two}".encode()) % BUCKET_COUNT


class BucketOfInteger:
    """Values → bucket of a key that is the integer at `index`, -1: it is NULL."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __call__(self, values: tuple[StorageValue, ...]) -> int:
        value = values[self._index]
        return -1 if value is None else bucket_of_int(value)  # type: ignore[arg-type]


class BucketOfTwoIntegers:
    """The same of a key of two integers."""

    def __init__(self, first: int, second: int) -> None:
        self._first = first
        self._second = second

    def __call__(self, values: tuple[StorageValue, ...]) -> int:
        first, second = values[self._first], values[self._second]
        if first is None or second is None:
            return -1
        return bucket_of_two_ints(first, second)  # type: ignore[arg-type]
