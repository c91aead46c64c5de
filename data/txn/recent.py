"""What a lead says about the states it reads: the other half of read_atomic.py. Pure.

A lead remembers for a while which transactions over several replica sets it committed. It knows of
none before its term began: what it says reaches back to that moment at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import takewhile

from data.txn.workspace import Workspace
from protocol.ids import TxnId
from protocol.messages.sql import ReadView

KEPT_S = 60.0
KEPT_MAX = 20_000
LISTED_MAX = 1000  # in one answer; beyond, it says that it is not complete


class RecentCommits:
    """The transactions over several replica sets that one lead committed in its term."""

    def __init__(self) -> None:
        self._since_s = 0.0  # complete from then on
        self._commits: deque[tuple[float, TxnId, tuple[int, ...]]] = deque()

    def start(self, now_s: float) -> None:
        """A term begins."""
        self._since_s = now_s
        self._commits.clear()

    def add(self, txn: TxnId, participants: tuple[int, ...], now_s: float) -> None:
        """A transaction's changes have become visible here."""
        commits = self._commits
        commits.append((now_s, txn, participants))
        while len(commits) > KEPT_MAX or commits[0][0] < now_s - KEPT_S:
            self._since_s = commits.popleft()[0]

    def view(self, workspaces: Iterable[Workspace], back_ms: int, now_s: float) -> ReadView:
        """About the last committed state of this moment; `back_ms`: how far back is of use."""
        since_s = max(self._since_s, now_s - back_ms / 1000)
        recent = list(takewhile(lambda c: c[0] >= since_s, reversed(self._commits)))
        if len(recent) > LISTED_MAX:
            since_s = recent[LISTED_MAX - 1][0]
            recent = recent[:LISTED_MAX]
            since_s = min(now_s, since_s + 0.001)  # others of that moment are left out
        return ReadView(
            int((now_s - since_s) * 1000),
            tuple(
                [
                    (w.txn, w.participants, self._age_ms(w, now_s))
                    for w in workspaces
                    if w.prepared_s > 0.0
                ]
            ),
            tuple([(txn, participants) for _, txn, participants in recent]),
        )

    def _age_ms(self, workspace: Workspace, now_s: float) -> int:
        """Since it was prepared, rounded up; -1: in an earlier term."""
        if workspace.prepared_s <= self._since_s:
            return -1
        return int((now_s - workspace.prepared_s) * 1000) + 1
