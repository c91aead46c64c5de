"""Key bytes → bucket: xxHash64 modulo the number of buckets. Pure; on disk, so never changed."""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh64_intdigest

from protocol.limits import BUCKET_COUNT


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
    one, two = b"n%d" % first, b"n%d" % second
    return xxh64_intdigest(b"%d:%b%d:%b" % (len(one), one, len(two), two)) % BUCKET_COUNT
