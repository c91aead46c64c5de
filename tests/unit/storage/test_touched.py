"""Which buckets the newest entries changed, as an element notes it while it applies them."""

from __future__ import annotations

from data.storage.changes import RowChange
from data.storage.tables import Tables
from data.storage.touched import FEW, Touched


class Texts:
    def __init__(self, bucket: int) -> None:
        self.bucket = bucket


class Known(Tables):
    """Tables without a file."""

    def __init__(self) -> None:
        self["T"] = Texts(1)  # type: ignore[assignment]
        self["D"] = Texts(-1)  # type: ignore[assignment]


def test_both_images_of_a_row_count() -> None:
    touched = Touched(5)
    touched.rows(Known(), [RowChange("T", ("a", 3), ("a", 4)), RowChange("T", None, ("b", 7))], 6)
    assert [b for b in range(9) if not touched.is_quiet(b, 5)] == [3, 4, 7]
    assert all(touched.is_quiet(b, 6) for b in range(9))
    touched.rows(Known(), [RowChange("T", ("b", 7), None)], 7)
    assert [b for b in range(9) if not touched.is_quiet(b, 6)] == [7]


def test_what_is_not_known_counts_as_all() -> None:
    touched = Touched(5)
    assert not touched.is_quiet(1, 4), "before it was opened"
    version = touched.version
    touched.rows(Known(), [RowChange("D", None, ("a",))], 6)
    assert not touched.is_quiet(1, 5)
    assert touched.version != version
    touched.rows(Known(), [RowChange("T", None, ("b", 7))] * (FEW + 1), 7)
    assert not touched.is_quiet(1, 6)
    touched.everything(3)
    assert not touched.is_quiet(1, 6), "an older entry does not make newer ones known"
    assert touched.is_quiet(1, 7)
