"""Terminals that run the transactions at the same time, and try again what a fault ended."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

import psycopg

from tests.sql.target import Connection, Words
from tests.sql.tpcc.transactions import DECK, Terminal

AGAIN = ("40", "57", "55")  # nothing was done: roll back and try again
PAUSE_S = 0.2  # before another connection is tried
UNKNOWN = "08007"  # the commit may have happened: never again


@dataclass
class Load:
    """Some terminals. `done` counts by transaction, `again` by SQLSTATE."""

    words: list[Words]
    warehouses: int
    terminals: int
    seed: int = 1
    isolation: str = "READ COMMITTED"
    done: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, *, each: int = 0, seconds: float = 0.0) -> None:
        """`each` transactions per terminal, or for some seconds. Raises what a terminal met."""
        ends = time.monotonic() + seconds if seconds else float("inf")
        threads = [
            threading.Thread(target=self._terminal, args=(number, each or 10**9, ends))
            for number in range(self.terminals)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.errors, self.errors

    def _terminal(self, number: int, count: int, ends: float) -> None:
        rng = random.Random(f"{self.seed} {number}")
        deck: list[int] = []
        connection: Connection | None = None
        try:
            for _ in range(count):
                if time.monotonic() > ends:
                    break
                if not deck:
                    deck = rng.sample(range(len(DECK)), len(DECK))
                connection = self._one(number, rng, deck.pop(), connection)
        except Exception as error:
            text = "".join(traceback.format_exception(error)[-6:])
            self.errors.append(f"terminal {number}: {text}")
        finally:
            if connection is not None:
                connection.close()

    def _one(
        self, number: int, rng: random.Random, card: int, connection: Connection | None
    ) -> Connection | None:
        """A transaction, as often as it must be begun; the connection to go on with."""
        name, run = DECK[card]
        w = number % self.warehouses + 1
        while True:
            state = rng.getstate()  # the same transaction again, not another one
            try:
                if connection is None:
                    connection = psycopg.connect(**rng.choice(self.words))
                connection.execute(f"BEGIN ISOLATION LEVEL {self.isolation}".encode())
                said = run(Terminal(connection, rng, w, self.warehouses))
                connection.execute(b"ROLLBACK" if said else b"COMMIT")
                self._count(self.done, said or name)
                return connection
            except psycopg.Error as error:
                told = error.sqlstate or "connection lost"
                self._count(self.again, told)
                if told == UNKNOWN:
                    self._count(self.done, "unknown")
                    return self._given_up(connection)
                in_commit = told == "connection lost" and connection is not None
                connection = self._after(connection, error)
                if in_commit:  # whether it was done nobody can tell
                    return connection
                rng.setstate(state)

    def _after(self, connection: Connection | None, error: psycopg.Error) -> Connection | None:
        if error.sqlstate and not error.sqlstate.startswith(AGAIN):
            raise error
        is_alive = connection is not None and not connection.closed
        if connection is not None and is_alive and (error.sqlstate or "")[:2] == "40":
            connection.execute(b"ROLLBACK")
            return connection
        time.sleep(PAUSE_S)  # the fault is elsewhere; nothing here tells when it is over
        return self._given_up(connection)

    def _given_up(self, connection: Connection | None) -> None:
        if connection is not None:
            connection.close()

    def _count(self, counter: Counter[str], what: str) -> None:
        with self._lock:
            counter[what] += 1
