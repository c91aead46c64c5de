"""TPC-H at any scale: load, ask, compare, and say what each query took.

    python -m tests.sql.tpch --scale 0.01 [--sets 2] [--real] [--markdown FILE] [q1 q8 …]

In one process by default; --real: a grid of processes and ZooKeeper, made for the occasion.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from daemons import logs
from deploy.grid_plan import DATABASE
from tests.sql.tpch import queries, reference, run
from tests.support.memory_grid import running_grid
from tests.support.real_grid import RealGrid

LIMIT_S = 300.0  # a query that takes longer has failed


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.sql.tpch")
    parser.add_argument("--scale", type=float, default=0.01)
    parser.add_argument("--sets", type=int, default=2)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    logs.set_up_logging(None, console=True, level="warning")
    print("asking PostgreSQL", flush=True)
    expected = reference.answers(options.scale)
    with tempfile.TemporaryDirectory() as folder:
        if options.real:
            results = _real(Path(folder), options, expected)
        else:
            results = asyncio.run(_in_process(Path(folder), options, expected))
    if options.markdown:
        options.markdown.write_text(_table(results, options), encoding="utf-8")
    wrong = [r for r in results if r.problem]
    total = sum(r.seconds for r in results)
    print(f"{len(results)} queries, {len(wrong)} wrong, {total:.1f} s")
    return 1 if wrong else 0


async def _in_process(
    folder: Path, options: argparse.Namespace, expected: dict[str, list[str]]
) -> list[run.Result]:
    async with running_grid(
        folder, k=1, sets=options.sets, attributes=(("PermSize", "4096"),)
    ) as grid:
        client = await grid.connect()
        return await _run(client, options, expected)


def _real(
    folder: Path, options: argparse.Namespace, expected: dict[str, list[str]]
) -> list[run.Result]:
    grid = RealGrid.make(folder / "grid", data=2 * options.sets)

    async def ask() -> list[run.Result]:
        words = grid.words(grid.addresses()[0])
        client = await asyncpg.connect(
            host=words["host"],
            port=words["port"],
            user=words["user"],
            password=words["password"],
            database=DATABASE,
        )
        return await _run(client, options, expected)

    try:
        return asyncio.run(ask())
    finally:
        grid.destroy()


async def _run(
    client: asyncpg.Connection, options: argparse.Namespace, expected: dict[str, list[str]]
) -> list[run.Result]:
    began = time.perf_counter()
    await run.load(client, options.scale)
    print(f"loaded scale {options.scale:g} in {time.perf_counter() - began:.1f} s", flush=True)
    results = []
    for name, text in queries.texts(options.scale).items():
        if options.names and name not in options.names:
            continue
        result = await run.ask(client, name, text, expected[name], LIMIT_S)
        results.append(result)
        print(
            f"{name:4} {result.kind:11} {result.seconds:8.3f} s {result.rows:6} rows "
            f"{result.problem or 'ok'}",
            flush=True,
        )
        if options.explain:
            print(*(f"     {line}" for line in result.plan), sep="\n", flush=True)
    await client.close()
    return results


def _table(results: list[run.Result], options: argparse.Namespace) -> str:
    lines = ["| query | plan | seconds | rows |", "|---|---|---|---|"]
    lines += [f"| {r.name} | {r.kind} | {r.seconds:.3f} | {r.rows} |" for r in results]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
