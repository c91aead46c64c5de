"""Which waits end a deadlock over several leads."""

from __future__ import annotations

import random

from data.txn.deadlocks import Edge, standing, victims
from protocol.ids import TxnId

A, B, C, D = (TxnId(e, "x", n) for e, n in ((3, 1), (2, 2), (1, 3), (1, 4)))


def _wait(
    waiter: TxnId, *blockers: TxnId, rs: int = 1, number: int = 0, gives_way: bool = False
) -> Edge:
    return Edge(rs, 1, number or waiter.counter, waiter, gives_way, frozenset(blockers))


def test_the_youngest_of_a_cycle_ends_it() -> None:
    edges = [_wait(A, B, rs=1), _wait(B, C, rs=2), _wait(C, A, rs=3)]
    assert [e.waiter for e in victims(edges)] == [C]
    assert [e.waiter for e in victims(reversed(edges))] == [C]


def test_a_chain_has_no_victim() -> None:
    assert victims([_wait(A, B), _wait(B, C), _wait(C, D)]) == []
    assert victims([]) == []


def test_two_cycles_have_two_victims_and_who_only_waits_for_them_has_none() -> None:
    edges = [_wait(A, B), _wait(B, A), _wait(C, D), _wait(D, C)]
    assert {e.waiter for e in victims(edges)} == {B, D}
    edges = [_wait(A, B), _wait(B, A), _wait(D, A, B)]
    assert [e.waiter for e in victims(edges)] == [B]


def test_an_autocommit_statement_gives_way_before_anybody_fails() -> None:
    edges = [_wait(A, B), _wait(B, C, gives_way=True), _wait(C, A)]
    assert [e.waiter for e in victims(edges)] == [B]


def test_of_several_waits_of_the_victim_the_one_in_the_cycle_ends() -> None:
    edges = [_wait(A, C, rs=1), _wait(C, D, rs=1, number=7), _wait(C, A, rs=2, number=8)]
    assert [(e.rs, e.number) for e in victims(edges)] == [(2, 8)]


def test_only_waits_that_lasted_count() -> None:
    before = [_wait(A, B, number=1), _wait(B, A, number=2)]
    assert victims(standing(before, [_wait(A, B, number=1), _wait(B, A, number=3)])) == []
    assert victims(standing(before, [_wait(A, B, number=1)])) == []
    assert victims(standing(before, [_wait(A, C, number=1), _wait(B, A, number=2)])) == []
    assert len(victims(standing(before, before))) == 1
    new_term = [edge._replace(term=2) for edge in before]
    assert victims(standing(before, new_term)) == []


def test_random_graphs_have_no_cycle_left_and_no_victim_too_many() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        txns = [TxnId(1, "x", n) for n in range(1, 10)]
        edges = [
            _wait(t, *chance.sample([o for o in txns if o != t], chance.randint(1, 2)))
            for t in txns
            if chance.random() < 0.8
        ]
        chosen = victims(edges)
        gone = {e.waiter for e in chosen}
        assert victims([e for e in edges if e.waiter not in gone]) == []
        for victim in chosen:  # each was on a cycle of all edges
            graph = {e.waiter: e.blockers for e in edges}
            seen: set[TxnId] = set()
            left = list(victim.blockers)
            while left:
                at = left.pop()
                if at not in seen:
                    seen.add(at)
                    left += graph.get(at, ())
            assert victim.waiter in seen
