"""The standby's side of replication: takes changes and full copies from the active."""

from __future__ import annotations

import structlog

from mgmt.ha.role import copy_name
from mgmt.model.store import Logged, Position, Store
from protocol import trace
from protocol.errors import NotActiveManagementError
from protocol.messages.management import Follow, Followed, TakeCopy

log = structlog.get_logger(__name__)


class Follower:
    """Applies what the active of the newest term sends. Refuses everything of older terms."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._term = store.last.term  # the newest seen
        self._pieces = bytearray()
        self._copied: Position | None = None  # of which store the pieces are
        self.closed = ""  # why nothing may be taken now: active itself, or mgmtStandbyStop
        self.heard_seq = 0  # the newest change of the active that was heard of

    @property
    def term(self) -> int:
        """The newest term seen, of others or made here."""
        return self._term

    def raise_term(self, term: int) -> None:
        """From now on older terms are refused."""
        self._term = max(self._term, term)

    def follow(self, message: Follow) -> Followed:
        """Append changes. Raises NotActiveManagementError to a deposed active."""
        if trace.steps.listener is not None:
            trace.step("mgmt/ha/follower.py", message)
        self._check(message.term)
        fits = self._store.last == (message.after_seq, message.after_term)
        if fits:
            for change in message.changes:
                self._store.follow(Logged(change.seq, change.term, change.body))
        self.heard_seq = max(message.after_seq + len(message.changes), self._store.seq)
        return self._standing(fits=fits)

    def take_copy(self, message: TakeCopy) -> Followed:
        """Take a piece of a full copy. Raises NotActiveManagementError to a deposed active."""
        self._check(message.term)
        at = Position(message.seq, message.seq_term)
        if message.offset == 0:
            self._pieces.clear()
            self._copied = at
        if self._copied != at or message.offset != len(self._pieces):
            return self._standing(fits=False)  # the active begins again
        self._pieces += message.piece
        if len(self._pieces) == message.size:
            self._put_in_force(at)
        return self._standing(fits=True)

    def _put_in_force(self, at: Position) -> None:
        store, last = self._store, self._store.last
        if last.seq and last.term != at.term:  # perhaps changes that nobody else has
            aside = store.path.with_name(f"{store.path.stem}-seq{last.seq}-term{last.term}.db")
            store.save_to(aside)
            log.warning("management.store_set_aside", file=str(aside), seq=last.seq)
        store.replace_all(bytes(self._pieces), at)
        self._pieces.clear()
        self._copied = None
        log.info("management.full_copy_taken", seq=at.seq, term=at.term)

    def _check(self, term: int) -> None:
        if term < self._term:
            raise NotActiveManagementError(
                f"term {term} is over: {self._name} knows of term {self._term}"
            )
        if self.closed:
            raise NotActiveManagementError(f"{self._name} {self.closed}")
        self._term = term

    def _standing(self, *, fits: bool) -> Followed:
        seq, term = self._store.last
        return Followed(copy_name(self._name, self._store.copy_id), seq, term, fits)
