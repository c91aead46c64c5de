"""Rows kept by columns, against a list of rows."""

from __future__ import annotations

import random

import pytest

from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import StorageRow


@pytest.mark.parametrize("width", [0, 1, 3])
def test_it_is_a_list_of_rows(width: int) -> None:
    some = random.Random(width)
    kept, rows = RowColumns.of_rows((), width), list[StorageRow]()
    for _ in range(200):
        more = [tuple(some.randrange(9) for _ in range(width)) for _ in range(some.randrange(4))]
        kept.add(RowColumns.of_rows(more, width))
        rows += more
        count = some.randrange(5)
        taken = kept.take(count)
        assert (len(taken), list(taken)) == (len(rows[:count]), rows[:count])
        del rows[:count]
        assert (len(kept), list(kept)) == (len(rows), rows)
