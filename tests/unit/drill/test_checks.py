"""The other checkers: a good history passes, each planted violation is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.drill import history as histories
from tests.drill.checks import (
    check_balances,
    check_batches,
    check_counters,
    check_errors,
    check_lists,
    check_registers,
    check_sequence,
    check_shifts,
    check_sums,
    check_tables,
    check_unique,
    check_whole_batches,
)
from tests.drill.history import Operation, Outcome, Verdict

OK, FAILED, UNKNOWN = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN


def op(
    action: str,
    key: Any,
    at: float,
    outcome: Outcome = OK,
    *,
    value: Any = None,
    result: Any = None,
    error: str = "",
    takes: float = 0.5,
) -> Operation:
    return Operation(0, action, key, value, result, at, at + takes, outcome, "w", error)


def finds(verdict: Verdict, *words: str) -> None:
    """Violated, once for each of the words."""
    assert verdict.word == "VIOLATED"
    assert len(verdict.violations) == len(words), verdict.violations
    for violation, word in zip(verdict.violations, words, strict=True):
        assert word in violation


# -- bank -----------------------------------------------------------------------------------------
def test_sums() -> None:
    good = [op("sum", 0, n, result=100) for n in range(3)] + [op("sum", 0, 9, FAILED)]
    verdict = check_sums("sum", good, 100)
    assert (verdict.word, verdict.checked) == ("holds", 3)
    finds(check_sums("sum", [*good, op("sum", 0, 5, result=97)], 100), "97")
    unpromised = check_sums("sum", [op("sum", 0, 5, result=97)], 100, is_promised=False)
    assert unpromised.word == "not promised yet"


OPENING = {1: 10, 2: 10, 3: 10}
TRANSFERS = [op("transfer", 7, 0), op("transfer", 8, 1, FAILED), op("transfer", 9, 2, UNKNOWN)]


def test_balances() -> None:
    after = {1: 5, 2: 15, 3: 10}
    assert check_balances("b", TRANSFERS, OPENING, after, {7: (1, 2, 5)}).word == "holds"
    both = {1: 5, 2: 14, 3: 11}
    receipts = {7: (1, 2, 5), 9: (2, 3, 1)}
    assert check_balances("b", TRANSFERS, OPENING, both, receipts).word == "holds"


@pytest.mark.parametrize(
    ("balances", "receipts", "words"),
    [
        ({1: 5, 2: 10, 3: 10}, {7: (1, 2, 5)}, ("the total", "account 2")),
        ({1: 10, 2: 10, 3: 10}, {7: (1, 2, 5)}, ("account 1", "account 2")),
        ({1: 10, 2: 10, 3: 10}, {}, ("lost",)),
        ({1: 4, 2: 16, 3: 10}, {7: (1, 2, 5), 8: (1, 2, 1)}, ("refused, but there",)),
        ({1: 4, 2: 16, 3: 10}, {7: (1, 2, 5), 6: (1, 2, 1)}, ("nobody asked",)),
        ({1: 5, 2: 15}, {7: (1, 2, 5)}, ("the total", "account 3")),
    ],
)
def test_planted_faults_of_the_bank(
    balances: dict[int, int], receipts: dict[int, tuple[int, int, int]], words: tuple[str, ...]
) -> None:
    finds(check_balances("b", TRANSFERS, OPENING, balances, receipts), *words)


# -- registers ------------------------------------------------------------------------------------
def test_registers_are_judged_by_key_and_with_the_last_value() -> None:
    good = [
        op("write", "x", 0, value=1),
        op("write", "y", 1, value=2),
        op("read", "x", 2, result=1),
    ]
    assert check_registers("r", good, 0, {"x": 1, "y": 2}).word == "holds"
    finds(check_registers("r", good, 0, {"x": 1, "y": 0}), "register y")
    finds(check_registers("r", [*good, op("read", "x", 3, result=2)], 0, {"x": 1, "y": 2}), "x")


# -- lists ----------------------------------------------------------------------------------------
APPENDS = [
    op("append", ("l",), 0, value="a"),
    op("append", ("l", "m"), 1, value="b"),
    op("append", ("l",), 2, FAILED, value="c"),
    op("append", ("l", "m"), 3, UNKNOWN, value="d"),
    op("append", ("l",), 4, value="e"),
]


def test_lists() -> None:
    reads = [op("read", "l", 0.9, result="a"), op("read", "l", 4.6, result="a b e")]
    assert check_lists("l", [*APPENDS, *reads], {"l": "a b e", "m": "b"}).word == "holds"
    assert check_lists("l", APPENDS, {"l": "a b e d", "m": "b d"}).word == "holds"


@pytest.mark.parametrize(
    ("final", "words"),
    [
        ({"l": "a e", "m": ""}, ("lost",)),
        ({"l": "a b e", "m": ""}, ("lost",)),
        ({"l": "a b b e", "m": "b"}, ("b is there more than once",)),
        ({"l": "b a e", "m": "b"}, ("comes after",)),
        ({"l": "a b c e", "m": "b"}, ("refused, but there",)),
        ({"l": "a b d e", "m": "b"}, ("half of it",)),
        ({"l": "a b e zz", "m": "b"}, ("nobody appended 'zz'",)),
        ({"l": "a be", "m": "b"}, ("nobody appended 'be'", "lost", "lost")),
    ],
)
def test_planted_faults_of_lists(final: dict[str, str], words: tuple[str, ...]) -> None:
    finds(check_lists("l", APPENDS, final), *words)


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        ([op("read", "l", 5, result="a e")], ("no prefix",)),
        ([op("read", "l", 5, result="a b")], ("stale: 3",)),
        (
            [op("read", "l", 1.2, result="a b"), op("read", "l", 1.8, result="a")],
            ("stale: 2", "2 "),
        ),
        ([op("read", "l", 0.1, result="a", takes=0.1), op("read", "l", 0.3, result="")], ("1 el",)),
    ],
)
def test_planted_faults_of_reads_of_lists(reads: list[Operation], words: tuple[str, ...]) -> None:
    early = op("append", ("l", "m"), 1, value="b", takes=0.7)
    appends = [early if o.value == "b" else o for o in APPENDS]
    finds(check_lists("l", [*appends, *reads], {"l": "a b e", "m": "b"}), *words)


# -- unique keys ----------------------------------------------------------------------------------
def claim(key: str, owner: int, outcome: Outcome, error: str = "") -> Operation:
    return op("claim", key, owner, outcome, value=owner, error=error)


RACE = [claim("x", 1, OK), claim("x", 2, FAILED, "23505"), claim("x", 3, UNKNOWN)]


def test_unique() -> None:
    assert check_unique("u", RACE, [("x", 1)]).word == "holds"
    lost = [claim("x", 1, UNKNOWN), claim("x", 2, FAILED, "40001")]
    assert check_unique("u", lost, []).word == "holds"
    assert check_unique("u", lost, [("x", 1)]).word == "holds"


@pytest.mark.parametrize(
    ("claims", "rows", "words"),
    [
        ([*RACE, claim("x", 4, OK)], [("x", 1)], ("two winners", "lost")),
        (RACE, [("x", 3)], ("lost",)),
        (RACE, [("x", 1), ("x", 3)], ("2 times", "lost")),
        (RACE, [("x", 1), ("y", 9)], ("nobody claimed",)),
        ([claim("x", 1, FAILED, "40001")], [("x", 1)], ("refused, but there",)),
        (RACE[1:], [], ("a winner that is not there",)),
    ],
)
def test_planted_faults_of_unique_keys(
    claims: list[Operation], rows: list[tuple[str, int]], words: tuple[str, ...]
) -> None:
    finds(check_unique("u", claims, rows), *words)


# -- counters -------------------------------------------------------------------------------------
ADDS = [op("add", "c", 0), op("add", "c", 1), op("add", "c", 2, FAILED), op("add", "c", 3, UNKNOWN)]


def test_counters() -> None:
    reads = [op("read", "c", 0.8, result=1, takes=0.1), op("read", "c", 1.2, result=1)]
    for value in (2, 3):
        assert check_counters("c", [*ADDS, *reads], {"c": value}).word == "holds"


@pytest.mark.parametrize("value", [None, 1, 4])
def test_planted_faults_of_counters(value: int | None) -> None:
    finds(check_counters("c", ADDS, {} if value is None else {"c": value}), "counter c")


@pytest.mark.parametrize(("at", "seen"), [(0.6, 0), (1.6, 1), (1.2, 3), (2.9, 1)])
def test_planted_faults_of_reads_of_counters(at: float, seen: int) -> None:
    read = op("read", "c", at, result=seen, takes=0.1)
    finds(check_counters("c", [*ADDS, read], {"c": 2}), "not ")


# -- the rest -------------------------------------------------------------------------------------
def test_errors_that_clients_cannot_handle_are_counted() -> None:
    errors = {("bank", "40001"): 3, ("bank", "XX000"): 1}
    verdict = check_errors("e", errors, lambda _, state: state.startswith("40"))
    assert verdict.checked == 4
    finds(verdict, "1 times XX000 in bank")


def test_many_violations_are_cut_and_none_seen_is_said() -> None:
    many = check_sums("s", [op("sum", 0, n, result=n) for n in range(40)], -1)
    assert many.violations[-1] == "... and 35 more"
    assert check_sums("s", [], 0).word == "nothing seen"


def test_a_history_survives_its_file(tmp_path: Any) -> None:
    path = tmp_path / "history.jsonl"
    histories.write(path, ADDS)
    assert list(histories.read(path)) == ADDS
    assert histories.of([*ADDS[::-1]], "w", "add") == ADDS
    assert histories.of(ADDS, "other") == []


# -- large transactions ---------------------------------------------------------------------------
def test_batches() -> None:
    history = [
        op("insert", 1, 0, value=500),
        op("insert", 2, 1, FAILED, value=600),
        op("insert", 3, 2, UNKNOWN, value=700),
        op("insert", 4, 3, value=800),
        op("clear", 4, 4),
        op("insert", 5, 5, value=900),
        op("clear", 5, 6, UNKNOWN),
    ]
    for unknown in ({}, {3: 700}, {5: 900}):
        assert check_batches("b", history, {1: 500, **unknown}).word == "holds"
    finds(check_batches("b", history, {}), "0 rows, not [500]")
    finds(check_batches("b", history, {1: 499}), "499 rows, not [500]")
    finds(check_batches("b", history, {1: 500, 2: 1}), "1 rows, not [0]")
    finds(check_batches("b", history, {1: 500, 3: 350}), "350 rows, not [0, 700]")
    finds(check_batches("b", history, {1: 500, 4: 800}), "800 rows, not [0]")
    finds(check_batches("b", history, {1: 500, 9: 1}), "nobody inserted batch 9")


def test_counts_of_batches() -> None:
    inserts = [op("insert", 1, 0, value=500), op("insert", 2, 0, UNKNOWN, value=600)]
    whole = op("count", None, 5, result=[(1, 500), (2, 600)])
    assert check_whole_batches("c", [*inserts, whole]).word == "holds"
    half = op("count", None, 6, result=[(1, 250)])
    finds(check_whole_batches("c", [*inserts, whole, half]), "250 of 500 rows of batch 1")


# -- sequences, tables, shifts --------------------------------------------------------------------
def test_a_sequence() -> None:
    good = [op("next", "s", n, result=n) for n in range(3)] + [op("next", "s", 4, UNKNOWN)]
    assert check_sequence("s", good).checked == 3
    finds(check_sequence("s", [*good, op("next", "s", 5, result=1)]), "given twice")


def test_tables_that_come_and_go() -> None:
    made = [op("create", "t", 1), op("drop", "t", 10)]
    fine = [
        op("use", "t", 0, FAILED, error="42P01"),
        op("use", "t", 1),
        op("use", "t", 5),
        op("use", "t", 9.7, FAILED, error="42P01"),
        op("use", "t", 20, FAILED, error="42P01"),
        op("use", "t", 5, FAILED, error="57P03"),
    ]
    assert check_tables("t", [*made, *fine]).word == "holds"
    finds(check_tables("t", [*made, op("use", "t", 5, FAILED, error="42P01")]), "not there")
    finds(check_tables("t", [*made, op("use", "t", 0, takes=0.1)]), "never created")
    finds(check_tables("t", [*made, op("use", "t", 20)]), "dropped, but there")
    maybe = [op("create", "t", 1, UNKNOWN), op("drop", "t", 10, UNKNOWN)]
    there = [op("use", "t", 20), op("use", "t", 5, FAILED, error="42P01")]
    assert check_tables("t", [*maybe, *there]).word == "holds"


def test_shifts() -> None:
    good = [op("read", 1, 0, result=2), op("read", 1, 1, result=1), op("read", 1, 2, FAILED)]
    assert check_shifts("s", good, {1: 1}).word == "holds"
    finds(check_shifts("s", [*good, op("read", 1, 3, result=0)], {1: 1}), "nobody on duty")
    finds(check_shifts("s", good, {1: 0}), "at the end")
