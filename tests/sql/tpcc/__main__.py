"""A small TPC-C: `python -m tests.sql.tpcc --warehouses 4 --terminals 8 --seconds 30`.

It is no benchmark of TPC (scaled down, no think times): what counts is that the consistency
conditions hold after it.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import psycopg
import structlog

from tests.sql.target import target
from tests.sql.tpcc import conditions, load
from tests.sql.tpcc.driver import Load


def main() -> int:
    """0 if all conditions hold."""
    parser = argparse.ArgumentParser(prog="tests.sql.tpcc", description=__doc__)
    parser.add_argument("--warehouses", type=int, default=4)
    parser.add_argument("--terminals", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--isolation", default="READ COMMITTED")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grid", type=Path, help="folder of a running grid (GRID_DIR)")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with target(arguments.grid) as words, psycopg.connect(**words[0]) as connection:
        load.create(connection)
        try:
            load.fill(connection, arguments.warehouses, arguments.seed)
            run = Load(words, arguments.warehouses, arguments.terminals, arguments.seed)
            run.isolation = arguments.isolation
            began = time.monotonic()
            run.run(seconds=arguments.seconds)
            elapsed_s = time.monotonic() - began
            wrong = conditions.broken(connection)
        finally:
            load.drop(connection)
    print(f"{dict(run.done)}, begun again: {dict(run.again)}")
    print(f"{sum(run.done.values()) / elapsed_s:.0f} transactions a second")
    for name, rows in wrong.items():
        print(f"BROKEN {name}: {rows}")
    print(
        f"{len(conditions.CONDITIONS) - len(wrong)} of {len(conditions.CONDITIONS)} conditions hold"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
