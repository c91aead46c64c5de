"""Open workspaces as bytes: what a planned hand-over of the lead sends along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from data.storage import changes as row_changes
from data.txn.locks import Mode, Resource
from data.txn.ports import decode_locks, encode_locks
from data.txn.workspace import Part, Piece, Workspace
from protocol.errors import DiskFullError
from protocol.ids import TxnId
from protocol.limits import MIB
from protocol.messages.sql import Ran

LUGGAGE_BYTES_MAX = 4 * MIB  # larger workspaces stay behind: their transactions have to be repeated


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """One workspace. `age_s`: clocks of two hosts cannot be compared."""

    txn: TxnId
    term: int
    age_s: float
    changes: bytes
    statements: int
    marks: list[int]
    last_answer: Ran | None
    locks: bytes
    parts: list[Part] = []
    in_log: bool = False
    queue: list[tuple[int, bytes]] = []  # pieces on their way to the log


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode


def pack(
    workspaces: Iterable[tuple[Workspace, list[tuple[Resource, Mode]]]], now_s: float
) -> bytes:
    """Workspaces that are not in the log, with the locks they hold; the small ones first."""
    room = LUGGAGE_BYTES_MAX
    packed: list[_Packed] = []
    for workspace, held in sorted(workspaces, key=lambda pair: pair[0].rows):
        if workspace.prepared and not workspace.in_batch:
            continue  # the next lead finds it in its log
        queue = _pieces(workspace, room)
        if queue is None:
            break
        one = _Packed(
            workspace.txn,
            workspace.term,
            now_s - workspace.started_s,
            row_changes.encode(workspace.changes),
            workspace.statements,
            workspace.marks,
            workspace.last_answer,
            encode_locks(held),
            workspace.parts,
            workspace.in_log,
            queue,
        )
        size = len(_encode(one))
        if size > room:
            break
        room -= size
        packed.append(one)
    return _encode(packed) if packed else b""


def _pieces(workspace: Workspace, room: int) -> list[tuple[int, bytes]] | None:
    """Its changes that are neither in memory nor in the log; None: no room, or not readable."""
    pieces = []
    for piece in workspace.queue:
        try:
            data = piece.load()
        except DiskFullError:
            return None
        room -= len(data)
        if room < 0:
            return None
        pieces.append((piece.length, data))
    return pieces


def unpack(data: bytes, now_s: float) -> Iterator[tuple[Workspace, list[tuple[Resource, Mode]]]]:
    """What `pack` made."""
    for one in _decode(data) if data else ():
        workspace = Workspace(one.txn, one.term, now_s - one.age_s, used_s=now_s)
        workspace.changes = row_changes.decode(one.changes)
        workspace.parts = [Part(*part) for part in one.parts]
        workspace.queue.extend(Piece(count, partial(bytes, some)) for count, some in one.queue)
        workspace.in_log = one.in_log
        workspace.statements = one.statements
        workspace.marks = one.marks
        workspace.last_answer = one.last_answer
        yield workspace, decode_locks(one.locks)
