"""Deadlocks over several leads: which waits have to end. Pure.

Each lead ends a cycle of waits among its own transactions at once (data/txn/waiting.py). For the
others, a lead where somebody has waited for a while collects the wait edges of all leads, twice.
A wait that is in both collections lasted all the time between them: if the edges of such waits
make a cycle, all of them existed at the same instant, and a cycle of waits never ends by itself
(the stable property of Chandy, Misra and Haas, ACM TOCS 1983). So there are no false victims, and
all who look at the same edges choose the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from data.txn.locks import younger
from protocol.ids import TxnId


class Edge(NamedTuple):
    """One wait: where it is, who waits, for whom."""

    rs: int
    term: int  # of the lead there, and
    number: int  # what it calls this wait: together they never come again
    waiter: TxnId
    gives_way: bool  # an autocommit statement: it can begin anew and needs no error
    blockers: frozenset[TxnId]

    @property
    def name(self) -> tuple[int, int, int]:
        """Of the wait."""
        return self.rs, self.term, self.number


def standing(before: Iterable[Edge], now: Iterable[Edge]) -> list[Edge]:
    """The waits that are in both collections, with the blockers they have in both."""
    then = {edge.name: edge for edge in before}
    return [
        edge._replace(blockers=edge.blockers & then[edge.name].blockers)
        for edge in now
        if edge.name in then
    ]


def victims(edges: Iterable[Edge]) -> list[Edge]:
    """Waits that, ended, leave no cycle: of each cycle the youngest that is not yet over.

    Autocommit statements come first: they lose nothing by letting others pass.
    """
    left: dict[TxnId, list[Edge]] = {}
    for edge in edges:
        left.setdefault(edge.waiter, []).append(edge)
    chosen: list[Edge] = []
    while True:
        knots = _knots({t: set().union(*(e.blockers for e in some)) for t, some in left.items()})
        if not knots:
            return chosen
        for knot in knots:
            inside = [e for txn in knot for e in left[txn] if e.blockers & knot]
            victim = max(inside, key=lambda e: (e.gives_way, younger(e.waiter), e.name))
            chosen.append(victim)
            del left[victim.waiter]


def _knots(graph: Mapping[TxnId, set[TxnId]]) -> list[set[TxnId]]:
    """The strongly connected components of more than one member (Tarjan, without recursion)."""
    order: dict[TxnId, int] = {}
    low: dict[TxnId, int] = {}
    stack: list[TxnId] = []
    on_stack: set[TxnId] = set()
    found: list[set[TxnId]] = []
    for root in graph:
        if root in order:
            continue
        path = [(root, iter(graph[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while path:
            node, others = path[-1]
            for other in others:
                if other not in graph:
                    continue  # it runs
                if other not in order:
                    order[other] = low[other] = len(order)
                    stack.append(other)
                    on_stack.add(other)
                    path.append((other, iter(graph[other])))
                    break
                if other in on_stack:
                    low[node] = min(low[node], order[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    at = stack.index(node)
                    knot = set(stack[at:])
                    del stack[at:]
                    on_stack -= knot
                    if len(knot) > 1:
                        found.append(knot)
    return found
