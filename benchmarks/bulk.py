"""Bulk load and scan: the customers of the sample, as many as are wanted."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import processes
from benchmarks.loads import STREAMS
from benchmarks.result import SHARES, Result
from benchmarks.targets.base import Door, Login, Target, connect
from benchmarks.targets.sqlite_file import SQLiteFile
from deploy.sample import generate

QUERY = "SELECT COUNT(*), SUM(cust_id), MIN(last_name), MAX(zipcode) FROM customers"
TRANSACTION_ROWS = 10_000  # of each COPY
RETRIABLE, AGAIN_S = ("40", "57P"), 0.5
LOAD_TIMEOUT_S, SCANS_MIN = 120.0, 3


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
        parts = self._files()
        before_s, began_s = processes.cpu_s(target.pids()), time.perf_counter()
        with ThreadPoolExecutor(STREAMS) as pool, Lines() as lines:
            streams = [
                pool.submit(_load, lines, doors[number % len(doors)], login, parts[number::STREAMS])
                for number in range(STREAMS)
            ]
            again = sum(stream.result() for stream in streams)
        took_s = time.perf_counter() - began_s
        used_s = processes.cpu_s(target.pids()) - before_s
        with connect(doors[0], login) as connection:
            row = connection.execute("SELECT count(*) FROM customers").fetchone()
        if row is None or int(row[0]) != self.rows:
            raise RuntimeError(f"{target.name} has {row} customers after COPY of {self.rows}")
        self._loaded.add(target.name)
        each_us = used_s * 1e6 / self.rows
        return Result(self.rows / took_s, (took_s * 1000,) * len(SHARES), each_us, failed=again)

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


class Lines:
    """Connections that end with the block, whatever ends it: a thread that waits for an answer over
    one of them gets an error, and so nobody waits for the thread for ever."""

    def __init__(self) -> None:
        self.over = False
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        self.over = True
        for line in self._sockets:
            with contextlib.suppress(OSError):  # it is closed already
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def open(self, door: Door, login: Login) -> psycopg.Connection[Any]:
        """One more. Raises psycopg.Error."""
        connection = connect(door, login)
        self._sockets.append(socket.socket(fileno=os.dup(connection.fileno())))
        if self.over:
            connection.close()
        return connection


def _load(lines: Lines, door: Door, login: Login, parts: list[Path]) -> int:
    """One COPY after the other over one connection; how many were tried again.

    An error of the retriable class is answered by trying again, as every client of a grid does. If
    the rows turn out to be there then, the first try did commit. Raises psycopg.Error.
    """
    again = 0
    until_s = time.monotonic() + LOAD_TIMEOUT_S
    todo = [part.read_bytes() for part in parts]
    while todo:
        try:
            with lines.open(door, login) as connection:
                while todo:
                    with (
                        connection.cursor() as cursor,
                        cursor.copy(b"COPY customers FROM STDIN") as copy,
                    ):
                        copy.write(todo[0])
                    del todo[0]
        except psycopg.errors.UniqueViolation:
            if not again:
                raise
            del todo[0]
        except psycopg.Error as error:
            lost = error.sqlstate is None  # the connection
            retriable = lost or str(error.sqlstate).startswith(RETRIABLE)
            if lines.over or not retriable or time.monotonic() > until_s:
                raise
            again += 1
            time.sleep(AGAIN_S)
    return again
