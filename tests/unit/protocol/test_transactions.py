"""What instances tell of transactions, put together."""

from __future__ import annotations

from protocol.ids import TxnId
from protocol.transactions import (
    FAILED,
    IN_DOUBT,
    OPEN,
    PREPARED,
    At,
    Coordinated,
    put_together,
    shown,
    shown_all,
)

ONE, TWO, THREE = TxnId(3, "a", 148), TxnId(1, "b", 7), TxnId(3, "old", 148)


def _at(txn: TxnId, rs: int, *, prepared: int = 0, age: int = 10, rows: int = 1) -> At:
    members = (1, 2) if prepared else ()
    return At(txn, rs, prepared > 0, age, prepared, members, rows, 2, (), "")


def test_states_need_everybody() -> None:
    parts = [
        _at(ONE, 1, age=50),
        Coordinated(ONE, 60, (1, 2), has_failed=False),
        _at(TWO, 2, prepared=5),
        _at(TWO, 1),
        _at(THREE, 1, prepared=9000, age=9500),
    ]
    oldest, one, two = put_together(parts)
    assert (oldest.id, oldest.state, oldest.prepared_ms) == (THREE, IN_DOUBT, 9000)
    assert (one.id, one.state, one.age_ms, one.participants) == (ONE, OPEN, 60, {1, 2})
    assert (two.id, two.state, two.rows, two.locks) == (TWO, IN_DOUBT, 2, 4)
    assert two.prepared_at == {2}
    parts.append(Coordinated(TWO, 20, (1, 2), has_failed=False))
    assert {t.id: t.state for t in put_together(parts)}[TWO] == PREPARED


def test_failed_and_waiting() -> None:
    waiting = At(TWO, 1, False, 5, 0, (), 0, 0, (ONE,), "(20, 1, (7,))")
    (failed,) = put_together([Coordinated(ONE, 1, (), has_failed=True)])
    assert failed.state == FAILED
    (one,) = put_together([waiting])
    assert (shown_all(one.waits_for), one.waits_on) == ("3.1.148", "(20, 1, (7,))")


def test_how_ids_are_shown() -> None:
    assert shown(ONE) == "3.1.148"
    assert shown_all([ONE, TWO]) == "1.1.7, 3.1.148"
    assert put_together([]) == []
