"""Which buckets the newest entries changed, as an element notes it while it applies them."""

from __future__ import annotations

import apsw

from data.storage.changes import RowChange
from data.storage.tables import Tables
from data.storage.touched import FEW, Touched


def tables() -> Tables:
    """T, whose rows are in buckets, and D, whose rows are in none."""
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE T (A TEXT PRIMARY KEY, _BUCKET INTEGER NOT NULL)")
    connection.execute("CREATE TABLE D (A TEXT PRIMARY KEY)")
    return Tables(connection)


def test_both_images_of_a_row_count() -> None:
    touched = Touched(5)
    touched.rows(tables(), [RowChange("T", ("a", 3), ("a", 4)), RowChange("T", None, ("b", 7))], 6)
    assert [b for b in range(9) if not touched.is_quiet(b, 5)] == [3, 4, 7]
    assert all(touched.is_quiet(b, 6) for b in range(9))
    touched.rows(tables(), [RowChange("T", ("b", 7), None)], 7)
    assert [b for b in range(9) if not touched.is_quiet(b, 6)] == [7]


def test_what_is_not_known_counts_as_all() -> None:
    touched = Touched(5)
    assert not touched.is_quiet(1, 4), "before it was opened"
    version = touched.version
    touched.rows(tables(), [RowChange("D", None, ("a",))], 6)
    assert not touched.is_quiet(1, 5)
    assert touched.version != version
    touched.rows(tables(), [RowChange("T", None, ("b", 7))] * (FEW + 1), 7)
    assert not touched.is_quiet(1, 6)
    touched.everything(3)
    assert not touched.is_quiet(1, 6), "an older entry does not make newer ones known"
    assert touched.is_quiet(1, 7)
