"""The usual way of a commit, by callbacks: no task and no future per message.

One participant gets `CommitSingle`. Of several, all but the anchor get `Prepare`, then the anchor
`CommitSingle`, which decides, then the others `Decide`. Whatever does not go as usual goes on as a
coroutine of `TransactionManager`, which knows how to retry and to settle lost answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from data.txn.deadlines import DECISION_WAIT_S, FAILOVER_WAIT_S
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError
from protocol.messages.txn import CommitSingle, Decide, Prepare

if TYPE_CHECKING:
    from data.txn.manager import Transaction, TransactionManager

LAST_TRY_S = 0.1  # not worth a try any more
Done = Callable[[GridError | None], None]


class Committing:
    """One transaction on its way; `done` is called once, with None if it is committed."""

    __slots__ = ("_deadline_s", "_done", "_failed", "_manager", "_members", "_missing", "_txn")

    def __init__(self, manager: TransactionManager, txn: Transaction, done: Done) -> None:
        self._manager = manager
        self._txn = txn
        self._done = done
        self._members: tuple[int, ...] = ()  # the anchor first
        self._missing = 0  # answers
        self._deadline_s = 0.0  # boottime: until then all have to have voted
        self._failed: GridError | None = None  # the first error among them

    def start(self, members: tuple[int, ...]) -> None:
        """Send the first messages. `members`: participants that ran something, in order."""
        manager, txn = self._manager, self._txn
        if not members:
            self._done(None)
            return
        if len(members) == 1:
            self._members = members
            self._commit_at(members[0], (), self._committed_alone)
            return
        anchor = manager.anchor_of(members)
        self._members = (anchor, *[rs for rs in members if rs != anchor])
        self._missing = len(members) - 1
        self._deadline_s = boottime_s() + FAILOVER_WAIT_S
        for rs in self._members[1:]:
            enlisted = txn.participants[rs]
            message = Prepare(
                manager.db, rs, enlisted.term, txn.id, enlisted.statements, self._members
            )
            if trace.steps.listener is not None:
                trace.step("data/txn/committing.py", message)
            manager.routes.send(rs, message, self._voted, FAILOVER_WAIT_S)

    def _commit_at(
        self,
        rs: int,
        participants: tuple[int, ...],
        answered: Callable[[Any, GridError | None], None],
    ) -> None:
        manager, txn = self._manager, self._txn
        enlisted = txn.participants[rs]
        message = CommitSingle(
            manager.db, rs, enlisted.term, txn.id, enlisted.statements, b"", participants
        )
        if trace.steps.listener is not None:
            trace.step("data/txn/committing.py", message)
        manager.routes.send(rs, message, answered, enlisted.commit_s)

    def _committed_alone(self, reply: Any, error: GridError | None) -> None:
        if error is None:
            self._done(None)
        else:
            self._otherwise(self._manager.commit_single(self._txn, self._members[0], b"", error))

    def _voted(self, reply: Any, error: GridError | None) -> None:
        self._failed = self._failed or error
        self._missing -= 1
        if self._missing:
            return
        manager, txn, members, failed = self._manager, self._txn, self._members, self._failed
        if failed is None:
            self._commit_at(members[0], members, self._decided)
        elif boottime_s() < self._deadline_s - LAST_TRY_S:  # who has it answers a second Prepare
            self._otherwise(manager.commit_several(txn, members, b"", self._deadline_s))
        else:
            self._otherwise(manager.refuse(txn, members, failed))

    def _decided(self, reply: Any, error: GridError | None) -> None:
        if error is not None:
            self._otherwise(self._manager.commit_prepared(self._txn, self._members, error))
            return
        manager, members = self._manager, self._members
        self._missing = len(members) - 1
        for rs in members[1:]:
            message = Decide(manager.db, rs, self._txn.id, True, members)
            if trace.steps.listener is not None:
                trace.step("data/txn/committing.py", message)
            manager.routes.send(rs, message, partial(self._told, rs), DECISION_WAIT_S)

    def _told(self, rs: int, reply: Any, error: GridError | None) -> None:
        if error is not None:
            telling = self._manager.tell_decision(rs, self._txn.id, True, self._members)
            self._manager.follow(telling, partial(self._told, rs, None))
            return
        self._missing -= 1
        if not self._missing:
            self._manager.may_forget(self._members[0], self._txn.id)
            self._done(None)

    def _otherwise(self, rest: Awaitable[None]) -> None:
        self._manager.follow(rest, self._done)
