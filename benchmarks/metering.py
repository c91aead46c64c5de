"""What counting a statement costs: data/exec/metering.py on the way of every one of them.

    python benchmarks/metering.py [-o json] [--limit NANOSECONDS]

The shortest of many rounds counts, as others may be working on this machine; the clock's own two
calls are part of the cost. With --limit it exits with 1 when it is more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.exec.metering import Meter
from protocol.metrics import DatabaseMeters

ROUNDS = 40
CALLS = 20_000


class IdleSession:
    """As the meter sees a session in autocommit."""

    in_transaction = False


def shortest_ns(work: Callable[[], None]) -> float:
    """Nanoseconds of one of CALLS calls, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        work()
        best = min(best, time.perf_counter_ns() - began)
    return best / CALLS


def measure() -> dict[str, float]:
    """Nanoseconds a statement."""
    meters = DatabaseMeters()
    meter = Meter(cast(Any, IdleSession()), meters)
    read = meters.new_statement("SELECT", "single")
    write = meters.new_statement("UPDATE", "single")

    def empty() -> None:
        for _ in range(CALLS):
            pass

    def reads() -> None:
        for _ in range(CALLS):
            meter.begin(read, None)
            meter.done("SELECT 1")

    def writes() -> None:
        for _ in range(CALLS):
            meter.begin(write, None)
            meter.done("UPDATE 1")

    loop = shortest_ns(empty)
    return {"read_ns": shortest_ns(reads) - loop, "write_ns": shortest_ns(writes) - loop}


def main() -> int:
    """Entry point."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("-o", choices=("text", "json"), default="text")
    options.add_argument("--limit", type=float, default=0.0, help="nanoseconds a statement")
    chosen = options.parse_args()
    found = measure()
    if chosen.o == "json":
        print(json.dumps(found))
    else:
        for name, ns in found.items():
            print(f"{name.removesuffix('_ns'):6} {ns:6.0f} ns of counting a statement")
    return int(bool(chosen.limit) and max(found.values()) > chosen.limit)


if __name__ == "__main__":
    sys.exit(main())
