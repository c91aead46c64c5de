"""Key bytes → bucket: xxHash64 modulo the number of buckets. Pure; on disk, so never changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xxhash import xxh64_digest, xxh64_intdigest

from protocol.limits import BUCKET_COUNT
from protocol.sqltypes import StorageValue

_DIGITS: Final = 32  # more than a BIGINT has
_HEADS: Final = tuple([f"{digits + 1}:n" for digits in range(_DIGITS)])  # before so many
_MASK: Final = BUCKET_COUNT - 1  # the last two bytes of a hash say the bucket
_hash: Final = xxh64_digest  # 8 bytes, the highest first: no number larger than a machine word
assert BUCKET_COUNT & _MASK == 0
assert BUCKET_COUNT <= 1 << 16


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
    if len(one) >= _DIGITS or len(two) >= _DIGITS:
        return bucket_of(f"{len(one) + 1}:n{one}{len(two) + 1}:n{two}".encode())
    hashed = _hash(f"{_HEADS[len(one)]}{one}{_HEADS[len(two)]}{two}".encode())
    return (hashed[6] << 8 | hashed[7]) & _MASK


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
