"""Rows of SYS.V$XACT_ID, V$TRANSACTION and their GV$ twins: what instances tell of transactions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from protocol.clock import wall_us
from protocol.ids import TxnId
from protocol.messages.txn import ListTransactions, TransactionList, parts_of
from protocol.sqltypes import StorageRow
from protocol.transactions import (
    CONNECTION,
    At,
    Coordinated,
    GridTransaction,
    put_together,
    shown,
    shown_all,
    shown_sets,
)

if TYPE_CHECKING:
    from data.exec.coordination import Coordination

ANSWER_TIMEOUT_S = 2.0
GLOBAL_VIEWS = ("gv$transaction", "gv$xact_id")
LOCAL_VIEWS = ("v$transaction",)


class TransactionViews:
    """The rows, as of the newest `refresh`: a catalog query refreshes before it reads."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self._here: list[GridTransaction] = []
        self._everywhere: list[tuple[int, GridTransaction]] = []  # with the element that told it

    def is_named_in(self, text: str) -> bool:
        """True: the query needs `refresh`."""
        lower = text.lower()
        return any(view in lower for view in (*GLOBAL_VIEWS, *LOCAL_VIEWS))

    async def refresh(self, text: str) -> str:
        """Ask this element, or all of them if the text names a GV$ view; a warning, or "".

        Never fails, and ends in ANSWER_TIMEOUT_S: who does not answer has no rows, and is named.
        """
        router, element = self._space.router, self._space.element.identity.element
        lower = text.lower()
        instances = router.instances() if any(v in lower for v in GLOBAL_VIEWS) else {}
        asked = instances or {element: router.instance}
        ask = ListTransactions(self._space.name)
        answers = {
            number: router.call_instance(name, ask, ANSWER_TIMEOUT_S)
            for number, name in asked.items()
        }
        await asyncio.wait(answers.values(), timeout=ANSWER_TIMEOUT_S)
        told: dict[int, list[At | Coordinated]] = {}
        silent: list[str] = []
        for number, future in answers.items():
            answer = _answer_of(future)
            if answer is None:
                silent.append(f"element {number} ({asked[number]})")
            else:
                told[number] = parts_of(answer)
        whole = {one.id: one for one in put_together(p for parts in told.values() for p in parts)}
        self._everywhere = []
        for number, parts in told.items():
            for one in put_together(parts):
                one.state = whole[one.id].state  # only all together know what is in doubt
                self._everywhere.append((number, one))
        self._here = [one for number, one in self._everywhere if number == element]
        if not silent:
            return ""
        return (
            f"what these know of transactions is missing, they did not answer: {', '.join(silent)}"
        )

    def rows(self, view: str, mine: TxnId | None) -> list[StorageRow] | None:
        """Of one of the views, None if it is another one. `mine`: the session's transaction."""
        element = self._space.element.identity.element
        match view:
            case "v$xact_id":
                return [(element, CONNECTION, mine.counter if mine is not None else 0)]
            case "gv$xact_id":
                return [
                    (number, CONNECTION, one.id.counter)
                    for number, one in self._everywhere
                    if one.is_coordinated
                ]
            case "v$transaction":
                return [_row(one) for one in self._here]
            case "gv$transaction":
                return [(*_row(one), number) for number, one in self._everywhere]
        return None


def _answer_of(future: asyncio.Future[object]) -> TransactionList | None:
    if not future.done():
        future.cancel()
        return None
    answer = None if future.exception() is not None else future.result()
    return answer if isinstance(answer, TransactionList) else None


def _row(one: GridTransaction) -> StorageRow:
    started_us = wall_us() - one.age_ms * 1000
    return (
        shown(one.id),
        one.state,
        one.coordinator,
        shown_sets(one.participants),
        one.age_ms,
        one.rows,
        one.locks,
        shown_all(one.waits_for) or None,
        one.waits_on or None,
        started_us,
    )
