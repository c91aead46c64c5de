"""The executing side's front door: SQL and transaction messages, by RPC or locally."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from data.exec.shard import ReadReply, Shard
from data.txn.deadlock_watch import answer_waits, end_wait
from data.txn.ports import Reply
from protocol import trace
from protocol.errors import GridError, InternalError, NotServingError
from protocol.messages import epochs, recovery, sql, txn
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request

log = structlog.get_logger()

OnReply = Callable[[Any, GridError | None], None]


class LocalReply:
    """Answers a caller in this process. Answers once; later ones go nowhere."""

    __slots__ = ("_on_reply", "on_cancel")

    def __init__(self, on_reply: OnReply) -> None:
        self._on_reply: OnReply | None = on_reply
        self.on_cancel: Callable[[], object] | None = None  # as Request has it

    def cancel(self) -> None:
        """The caller gives up."""
        on_cancel, self.on_cancel = self.on_cancel, None
        if on_cancel is not None:
            on_cancel()

    def reply(self, message: Any) -> None:
        """Hand the answer over."""
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is not None:
            on_reply(message, None)

    def fail(self, error: GridError) -> None:
        """Hand the error over."""
        on_reply, self._on_reply = self._on_reply, None
        if on_reply is not None:
            on_reply(None, error)


def _read(shard: Shard, message: sql.ReadRows, reply: ReadReply, owner: str) -> None:
    shard.read(message, reply, owner)


def _run(shard: Shard, message: sql.RunStatement, reply: Reply, _owner: str) -> None:
    shard.check(message.schema, message.map_version, message.bucket)
    shard.writer.run(message, reply)


def _list(shard: Shard, _message: txn.ListTransactions, reply: Reply, _owner: str) -> None:
    writer = shard.writer
    reply.reply(txn.TransactionList(writer.transactions(), writer.rs, shard.coordinated()))


def _ask_open(shard: Shard, message: txn.AskOpen, reply: Reply, _owner: str) -> None:
    reply.reply(txn.StillOpen(tuple(t for t in message.txns if shard.open_here(t))))


_BY_DATABASE: Final[dict[type, Callable[[Shard, Any, Any, str], None]]] = {
    sql.ReadRows: _read,
    sql.RunStatement: _run,
    sql.OpenSnapshot: lambda s, m, r, owner: s.open_snapshot(m, r, owner),
    sql.CloseSnapshots: lambda s, m, r, _: s.close_snapshots(m.numbers),
    txn.RollBack: lambda s, m, r, _: s.writer.roll_back(m, r),
    txn.ListTransactions: _list,
    txn.AskOpen: _ask_open,
    txn.AskWaits: lambda s, m, r, _: answer_waits(s.writer, r),
    txn.EndWait: lambda s, m, _r, _: end_wait(s.writer, m),
    txn.UndoStatement: lambda s, m, r, _: s.writer.undo_statement(m, r),
    txn.CommitSingle: lambda s, m, r, _: s.writer.commit_single(m, r),
    txn.Prepare: lambda s, m, r, _: s.writer.prepare(m, r),
    txn.Decide: lambda s, m, r, _: s.writer.decide(m, r),
    txn.AskOutcome: lambda s, m, r, _: s.writer.ask_outcome(m, r),
    txn.Forget: lambda s, m, r, _: s.writer.forget(m, r),
    epochs.AskEpoch: lambda s, m, r, _: s.epochs.ask(m, r),
    epochs.LogEpoch: lambda s, m, r, _: s.epochs.log_epoch(m, r),
    epochs.FlushLog: lambda s, m, r, _: s.epochs.flush(m, r),
    epochs.CreateEpoch: lambda s, m, r, _: s.epochs.create_here(m, r),
    recovery.AskElement: lambda s, m, r, _: s.recovery.ask(m, r),
    recovery.AskCrossing: lambda s, m, r, _: s.recovery.crossing(m, r),
    recovery.AskPrepared: lambda s, m, r, _: s.recovery.prepared(m, r),
    recovery.GoBack: lambda s, m, r, _: s.recovery.go_back(m, r),
    recovery.Trust: lambda s, m, r, _: s.recovery.trust(m, r),
    recovery.Distrust: lambda s, m, r, _: s.recovery.distrust(m, r),
    txn.PeekOutcomes: lambda s, m, r, _: s.writer.peek_outcomes(m, r),
    txn.HoldPrepares: lambda s, m, r, _: s.writer.hold_prepares(m, r),
}


class FragmentServer:
    """Finds the shard of a message and calls its handler."""

    def __init__(self, shards: dict[str, Shard], instance: str) -> None:
        self._shards = shards  # by database, kept up to date by the instance
        self._instance = instance

    def register(self, rpc: RpcNode) -> None:
        """Answer these messages on the internal network."""
        for message_type in _BY_DATABASE:
            rpc.handle(message_type, self._from_peer)
        rpc.handle(sql.FetchRows, self._fetch)
        rpc.handle(sql.CloseCursor, self._close)
        rpc.subscribe(self._peer_changed)

    def _peer_changed(self, name: str, _incarnation: str, connected: bool) -> None:
        if not connected:
            for shard in self._shards.values():
                shard.peer_lost(name)

    def _from_peer(self, message: Any, request: Request) -> None:
        self._dispatch(message, request, request.peer_name)

    def serve_local(self, message: Any, on_reply: OnReply) -> Callable[[], None]:
        """The same for a caller in this process; gives what stops a long read."""
        reply = LocalReply(on_reply)
        try:
            if type(message) is sql.FetchRows:
                self._fetch(message, reply)
            elif type(message) is sql.CloseCursor:
                self._close(message, reply)
            else:
                self._dispatch(message, reply, self._instance)
        except GridError as error:
            reply.fail(error)
        except Exception as error:
            log.exception("fragment.failed", message=type(message).__name__)
            reply.fail(InternalError(f"{type(error).__name__}: {error}"))
        return reply.cancel

    def _dispatch(self, message: Any, reply: Any, owner: str) -> None:
        if trace.steps.listener is not None:
            trace.step("data/exec/fragments.py", message)
        shard = self._shards.get(message.db)
        if shard is None:
            raise NotServingError(
                f"database {message.db} is not loaded on {self._instance}",
                hint="Retry: another element of the replica set takes over.",
            )
        _BY_DATABASE[type(message)](shard, message, reply, owner)

    def _fetch(self, message: sql.FetchRows, reply: Any) -> None:
        for shard in self._shards.values():
            if shard.has_cursor(message.cursor):
                shard.fetch(message, reply)
                return
        raise NotServingError("the cursor is gone; run the query again")

    def _close(self, message: sql.CloseCursor, _reply: Any) -> None:
        for shard in self._shards.values():
            shard.close_cursor(message)
