"""What a planned hand-over carries of open transactions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.txn import luggage
from data.txn.workspace import Part, Piece, Workspace
from protocol.errors import DiskFullError
from protocol.ids import TxnId


def rows(first: int, count: int) -> list[RowChange]:
    return [RowChange("T", None, (number, "x" * 10)) for number in range(first, first + count)]


def a_large_one() -> Workspace:
    """Two PARTs in the log, two pieces on their way there, some changes in memory."""
    workspace = Workspace(TxnId(1, "one", 7), term=3, started_s=90.0)
    workspace.parts = [Part(11, 5), Part(12, 5)]
    workspace.changes = rows(10, 8)
    workspace.line_up(4)
    workspace.add_pieces([Piece(2, partial(row_changes.encode, rows(18, 2)))])
    workspace.changes = rows(20, 3)
    workspace.statements, workspace.marks, workspace.in_log = 2, [0, 14], True
    return workspace


def moved(workspace: Workspace) -> list[Workspace]:
    return [one for one, _ in luggage.unpack(luggage.pack([(workspace, [])], 100.0), 500.0)]


def test_changes_on_their_way_to_the_log_come_along() -> None:
    before = a_large_one()
    (after,) = moved(before)
    assert (after.rows, after.in_parts, after.marks) == (before.rows, 10, [0, 14])
    pieces = [change for piece in after.queue for change in row_changes.decode(piece.load())]
    assert pieces + after.changes == rows(10, 13)
    assert [piece.length for piece in after.queue] == [piece.length for piece in before.queue]


def no_room() -> bytes:
    raise DiskFullError("the spool is broken")


@pytest.mark.parametrize("load", [lambda: b"x" * luggage.LUGGAGE_BYTES_MAX, no_room])
def test_what_does_not_fit_or_cannot_be_read_stays_behind_whole(load: Callable[[], bytes]) -> None:
    workspace = a_large_one()
    workspace.add_pieces([Piece(1, load)])
    assert moved(workspace) == []
