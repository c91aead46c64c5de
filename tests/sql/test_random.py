"""Random statements: the machinery, and a short run of `python -m tests.sql.random`."""

from __future__ import annotations

import random

from tests.sql import schemas
from tests.sql.comparison import Comparison
from tests.sql.nodes import POSTGRES, SQLITE, Node, many, maybe, reduced
from tests.sql.queries import Queries
from tests.sql.random import run
from tests.sql.references import Reference
from tests.sql.target import Words

SEED, COUNT = 500_000, 150


def test_a_statement_is_made_smaller_in_all_writings() -> None:
    column = Node("num", ("t.a",))
    test = Node("bool", ("NVL(", column, ", 1) = 1"), ("COALESCE(", column, ", 1) = 1"))
    other = Node("bool", ("t.b = 'long text'",))
    where = maybe(" WHERE ", many("conditions", [other, test], " AND "))
    items = many("items", [Node("num", ("(", column, " + 10)")), Node("text", ("'xyz'",))])
    tree = Node("select", ("SELECT ", items, " FROM t", where))
    least = reduced(tree, lambda node: "NVL" in node.text() and "SELECT" in node.text())
    assert least.text() == "SELECT 'b' FROM t WHERE NVL(1, 1) = 1"
    assert least.text(POSTGRES) == "SELECT 'b' FROM t WHERE COALESCE(1, 1) = 1"
    assert least.text(SQLITE) == least.text(POSTGRES)


def test_the_same_seed_makes_the_same_statements() -> None:
    def texts() -> list[str]:
        made = schemas.tables(random.Random(5))
        return [Queries(random.Random(n), made).make().text() for n in range(50)]

    assert texts() == texts()
    assert len(set(texts())) > 45


def test_random_queries_are_answered_like_by_one_database(
    words: list[Words], others: list[Reference]
) -> None:
    comparison = Comparison(words, others)
    try:
        run(comparison, SEED, COUNT, shrink=True, most=3)
    finally:
        comparison.close()
    total = comparison.total
    assert [(d.seed, d.kind, d.sql) for d in total.differences] == []
    assert sum(total.compared.values()) > COUNT
    assert sum(total.not_compared.values()) < COUNT / 10
