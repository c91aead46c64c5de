"""Random statements, answered by the grid and by single-node databases.

`python -m tests.sql.random --seed 0 --count 2000`, or `make random-sql`.

Every round makes other tables, rows and placements. A statement that is answered differently is
made smaller until nothing more can go, and printed with what is needed to see it again.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from pathlib import Path

import structlog

from tests.sql import changes, references
from tests.sql.comparison import Comparison, Total
from tests.sql.queries import Queries
from tests.sql.references import PostgreSQL, Reference, SQLite
from tests.sql.target import target

ROUND = 200  # queries over the same tables


def run(
    comparison: Comparison, seed: int, count: int, *,
    each: int = 0, shrink: bool = True, most: int = 20,
) -> None:  # fmt: skip
    """`count` queries from a seed on, and after each round `each` changes of its tables.

    Ends early after `most` differences.
    """
    postgres = next((o for o in comparison.others if isinstance(o, PostgreSQL)), None)
    differences = comparison.total.differences
    for start in range(seed, seed + count, ROUND):
        made = comparison.make(random.Random(f"tables {start}"))
        for number in range(start, min(start + ROUND, seed + count)):
            query = Queries(random.Random(f"query {number}"), made).make()
            comparison.check(query, number, shrink=shrink)
            if len(differences) >= most:
                break
        if postgres is not None and len(differences) < most:
            changes.run(comparison, postgres, made, start, each, shrink=shrink, most=most)
        comparison.drop(made)
        if len(differences) >= most:
            return


def report(total: Total) -> None:
    """What was compared, and the differences."""
    for difference in total.differences:
        print(f"\n== seed {difference.seed}: {difference.kind}, against {difference.against}")
        print(f"{difference.sql};")
        if difference.theirs != difference.sql:
            print(f"-- there: {difference.theirs};")
        print(f"   grid: {difference.found.text or difference.found.rows[:8]}")
        print(f"   {difference.against}: {difference.expected.rows[:8]}")
    for text, count in total.not_compared.most_common(12):
        print(f"not compared {count:5}: {text}")
    for text, count in total.refused.most_common(12):
        print(f"refused by the grid {count:5}: {text}")
    compared = ", ".join(f"{n} with {name}" for name, n in total.compared.items())
    print(f"compared: {compared}; {len(total.differences)} differ")


def main() -> int:
    """0 if nothing differs."""
    parser = argparse.ArgumentParser(prog="tests.sql.random", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--each", type=int, default=100, help="changes after each 200 queries")
    parser.add_argument("--most", type=int, default=20, help="differences after which it ends")
    parser.add_argument("--as-it-is", action="store_true", help="do not make statements smaller")
    parser.add_argument("--grid", type=Path, help="folder of a running grid without such tables")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    others: list[Reference] = [SQLite()]
    if absent := references.missing():
        print(f"without PostgreSQL: {absent}")
    else:
        others.insert(0, PostgreSQL())
    began = time.monotonic()
    with target(arguments.grid) as words:
        comparison = Comparison(words, others)
        try:
            run(
                comparison, arguments.seed, arguments.count, each=arguments.each,
                shrink=not arguments.as_it_is, most=arguments.most,
            )  # fmt: skip
        finally:
            report(comparison.total)
            comparison.close()
            for other in others:
                other.close()
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if comparison.total.differences else 0


if __name__ == "__main__":
    sys.exit(main())
