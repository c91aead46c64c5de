"""`python -m tests.sim --seeds 1000 --start 0`: simulations, one seed after the other.

A failing seed is printed with what it violates; `--trace` writes everything that happened in it.
`--only replication` runs the replica set machine alone, `--only grid` whole data instances,
`--only management` the two management instances.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

HASH_SEED = "0"  # the order of sets of texts is part of what a seed fixes
COUNTED = ("operations", "acknowledged", "unknown", "faults", "blackouts", "takeovers", "epochs")


def main() -> int:
    """0 if no guarantee was broken."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]])
    arguments = _arguments()
    warnings.simplefilter("ignore", RuntimeWarning)  # tasks of dead processes never go on
    gc.disable()  # abandoned tasks end in an order that depends on the collector
    worlds = {"replication": _replication, "grid": _grid, "management": _management}
    names = [arguments.only] if arguments.only else list(worlds)
    return max([_run(name, worlds[name](arguments), arguments) for name in names])


def _run(name: str, play: Callable[[int], tuple[list[str], dict[str, int]]],
         arguments: argparse.Namespace) -> int:  # fmt: skip
    began = time.monotonic()
    failed: list[int] = []
    totals: dict[str, int] = {}
    for number in range(arguments.seeds):
        seed = arguments.start + number
        problems, counts = play(seed)
        for what, count in counts.items():
            totals[what] = totals.get(what, 0) + count
        if problems:
            failed.append(seed)
            print(f"{name} seed {seed} breaks:", *problems[:8], sep="\n    ", flush=True)
        gc.collect()
        elapsed_s = time.monotonic() - began
        is_last = number + 1 == arguments.seeds
        is_over = bool(arguments.seconds) and elapsed_s > arguments.seconds
        if (number + 1) % arguments.every == 0 or is_last or is_over:
            said = "".join(f", {count} {what}" for what, count in totals.items())
            print(
                f"{name}: {number + 1} seeds in {elapsed_s:.0f} s, {len(failed)} failed{said}",
                flush=True,
            )
        if is_over:
            break
    if failed:
        again = f"python -m tests.sim --only {name} --seeds 1 --start {failed[0]} --trace FILE"
        print(f"{name} failed: {failed}; again: {again}")
    return 1 if failed else 0


def _grid(arguments: argparse.Namespace) -> Callable[[int], tuple[list[str], dict[str, int]]]:
    from tests.sim.simulation import play

    k, _, sets = arguments.shape.partition("x") if arguments.shape else ("", "", "")

    def one(seed: int) -> tuple[list[str], dict[str, int]]:
        result = play(seed, (int(k), int(sets)) if k else None)
        if arguments.trace:
            lines = [f"{t - 1000:10.5f} {who:<12} {what}" for t, who, what in result.trace]
            Path(arguments.trace).write_text("\n".join(lines) + "\n")
        if arguments.fingerprint:
            print(f"grid seed {seed}: {result.fingerprint():08x} {result.turns} turns")
        problems = [f"(k x sets: {result.shape})", *result.problems] if result.problems else []
        return problems, {what: getattr(result, what) for what in COUNTED}

    return one


def _management(
    arguments: argparse.Namespace,
) -> Callable[[int], tuple[list[str], dict[str, int]]]:
    from tests.sim.management_world import play

    def one(seed: int) -> tuple[list[str], dict[str, int]]:
        world = play(seed)
        if arguments.trace:
            Path(arguments.trace).write_text("\n".join(world.trace) + "\n")
        counts = {"writes": world.writes, "acknowledged": len(world.acknowledged)}
        return world.problems, {**counts, "promotions": world.begun}

    return one


def _replication(
    arguments: argparse.Namespace,
) -> Callable[[int], tuple[list[str], dict[str, int]]]:
    from tests.sim.replication_world import play

    def one(seed: int) -> tuple[list[str], dict[str, int]]:
        try:
            world = play(seed, k=1 + seed % 5, fault_rate=(1.0, 3.0, 0.5)[seed % 3])
        except AssertionError as problem:
            lines = str(problem).splitlines()
            if arguments.trace:
                Path(arguments.trace).write_text("\n".join(lines) + "\n")
            return lines[:1], {}
        return [], {"steps": world.steps}

    return one


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", choices=("replication", "grid", "management"))
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--shape", help="KxSETS of grids; default: by the seed")
    parser.add_argument("--trace", help="a file for what happened in the last seed")
    parser.add_argument("--fingerprint", action="store_true", help="one number per seed of grids")
    parser.add_argument("--every", type=int, default=100, help="progress each so many seeds")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
