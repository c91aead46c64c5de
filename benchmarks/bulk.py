"""Bulk load and scan: the customers of the sample, as many as are wanted."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from pathlib import Path

from benchmarks import measure, processes
from benchmarks.loads import STREAMS
from benchmarks.result import SHARES, Result
from benchmarks.targets.base import Target, connect
from benchmarks.targets.sqlite_file import SQLiteFile
from deploy.sample import generate

QUERY = "SELECT COUNT(*), SUM(cust_id), MIN(last_name), MAX(zipcode) FROM customers"
TRANSACTION_ROWS = 10_000  # of each COPY
LOAD_TIMEOUT_S, SCANS_MIN = 300.0, 3


class Customers:
    """Their rows in files, one per transaction; made when first needed."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder = folder
        self.rows = rows
        self._parts: list[Path] = []
        self._loaded: set[str] = set()  # targets that hold them all

    def copy(self, target: Target) -> Result:
        """Empty the table and load it: all streams at once, one per data instance.

        Raises RuntimeError if a stream fails, or rows are missing afterwards.
        """
        login, doors = target.login(False), target.doors("any", False)
        self._loaded.discard(target.name)
        with connect(doors[0], login) as connection:
            connection.execute("TRUNCATE TABLE customers")
        commands = [
            [
                *("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", door.host),
                *("-p", str(door.port), "-U", login.user, "-d", login.database),
                *("-f", str(script)),
            ]
            for script, door in zip(self._scripts(), itertools.cycle(doors))
        ]
        before_s, began_s = processes.cpu_s(target.pids()), time.perf_counter()
        measure.run_together(commands, login.password, LOAD_TIMEOUT_S)
        took_s = time.perf_counter() - began_s
        used_s = processes.cpu_s(target.pids()) - before_s
        with connect(doors[0], login) as connection:
            row = connection.execute("SELECT count(*) FROM customers").fetchone()
        if row is None or int(row[0]) != self.rows:
            raise RuntimeError(f"{target.name} has {row} customers after COPY of {self.rows}")
        self._loaded.add(target.name)
        return Result(self.rows / took_s, (took_s * 1000,) * len(SHARES), used_s * 1e6 / self.rows)

    def scan(self, target: Target, seconds: int) -> Result:
        """The aggregate again and again for so long, at least SCANS_MIN times.

        Raises RuntimeError if the answer is wrong.
        """
        if target.name not in self._loaded:
            self._fill(target)
        with contextlib.ExitStack() as stack:
            if isinstance(target, SQLiteFile):
                ask = target.query
            else:
                connection = stack.enter_context(
                    connect(target.doors("any", False)[0], target.login(False))
                )

                def ask(text: str) -> tuple[object, ...]:
                    row = connection.execute(text.encode()).fetchone()
                    return tuple(row or ())

            self._check(target, ask(QUERY))  # the first one fills caches
            times_s: list[float] = []
            before_s, until_s = processes.cpu_s(target.pids()), time.perf_counter() + seconds
            while len(times_s) < SCANS_MIN or time.perf_counter() < until_s:
                began_s = time.perf_counter()
                ask(QUERY)
                times_s.append(time.perf_counter() - began_s)
            used_s = processes.cpu_s(target.pids()) - before_s
        times_s.sort()
        last = len(times_s) - 1
        quantiles = tuple(times_s[min(last, int(s * len(times_s)))] * 1000 for s in SHARES)
        each_us = used_s * 1e6 / len(times_s)
        return Result(1 / statistics.fmean(times_s), quantiles, each_us)

    def _fill(self, target: Target) -> None:
        if isinstance(target, SQLiteFile):
            target.fill(self._files())
            self._loaded.add(target.name)
        else:
            self.copy(target)

    def _check(self, target: Target, row: tuple[object, ...]) -> None:
        count, total = (int(str(value)) for value in row[:2])
        if (count, total) != (self.rows, self.rows * (self.rows + 1) // 2):
            raise RuntimeError(f"{target.name} answers {row} to {QUERY}")

    def _files(self) -> list[Path]:
        if not self._parts:
            rows = generate.customers(self.rows)
            for number in range(-(-self.rows // TRANSACTION_ROWS)):
                part = self._folder / f"customers{number}.txt"
                with part.open("w", encoding="utf-8") as file:
                    file.writelines(itertools.islice(rows, TRANSACTION_ROWS))
                self._parts.append(part)
        return self._parts

    def _scripts(self) -> list[Path]:
        """For psql, one per stream; the parts in turn."""
        scripts = []
        for number in range(STREAMS):
            script = self._folder / f"copy{number}.sql"
            parts = self._files()[number::STREAMS]
            script.write_text("".join(f"\\copy customers FROM '{part}'\n" for part in parts))
            scripts.append(script)
        return scripts
