"""A plugin of the pytest that runs a driver's own suite: writes what became of each test.

It is copied beside the suite by tests/clients/suites.py, since drivers have packages `tests` too.
One line of JSON per event: a test has begun; a test is over, how, and what its failure said. So a
run that was ended (or a process that died) goes on where it was. A test that nothing interrupts
(it waits inside C code) ends the process after TENGRID_SUITE_LIMIT seconds.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
import time
from typing import Any

import pytest

RESULTS = os.environ.get("TENGRID_SUITE_RESULTS", "")
LIMIT_S = float(os.environ.get("TENGRID_SUITE_LIMIT", "60"))
OWNER = os.environ.get("TENGRID_SUITE_CLEAN", "")  # where to remove tables that tests leave
KEPT = frozenset(os.environ.get("TENGRID_SUITE_KEEP", "").split())  # of fixtures of all tests
SHOW_EVERY_S = 20.0
MESSAGE_LENGTH = 1500


class Recorder:
    """Of one process."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self.known = {event["test"] for event in events(path) if "outcome" in event}
        self.begun = self.shown = 0.0
        self.found: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self.total = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[Any]) -> None:
        """Leave out what is known."""
        left = [item for item in items if item.nodeid not in self.known]
        config.hook.pytest_deselected(items=[i for i in items if i.nodeid in self.known])
        items[:] = left
        self.total = len(left)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Before its fixtures."""
        self.begun = time.monotonic()
        self.found = {"test": nodeid, "outcome": "passed", "message": ""}
        self._write({"test": nodeid})
        faulthandler.dump_traceback_later(LIMIT_S * 1.5, exit=True, file=sys.__stderr__)
        if OWNER:
            remove_tables()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, call and teardown: the worst counts."""
        if report.failed:
            kind = "failed" if report.when == "call" else "error"
            self.found["outcome"] = kind
            self.found["message"] += said(report.longreprtext)[:MESSAGE_LENGTH]
        elif report.skipped and self.found["outcome"] == "passed":
            self.found["outcome"] = "skipped"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """After its fixtures."""
        faulthandler.cancel_dump_traceback_later()
        now = time.monotonic()
        self._write({**self.found, "seconds": round(now - self.begun, 3)})
        outcome = self.found["outcome"]
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        if now - self.shown > SHOW_EVERY_S:
            self.shown = now
            done = sum(self.counts.values())
            parts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
            print(f"{done} of {self.total}: {parts}; {nodeid}", file=sys.__stderr__, flush=True)

    def _write(self, event: dict[str, Any]) -> None:
        self.file.write(json.dumps(event) + "\n")


def events(path: str) -> list[dict[str, Any]]:
    """What was written so far."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def said(text: str) -> str:
    """The lines of a failure that pytest marks with E."""
    lines = text.splitlines()
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return " ".join(marked) or text[-MESSAGE_LENGTH:]


def remove_tables() -> None:
    """CREATE TABLE commits at once, so a test's ROLLBACK leaves what it made."""
    import psycopg

    kinds = {"TABLE": "CASCADE CONSTRAINTS", "VIEW": "", "SEQUENCE": "", "TYPE": ""}
    with psycopg.connect(OWNER, autocommit=True) as connection:
        found = connection.execute("SELECT object_type, object_name FROM user_objects").fetchall()
        for kind, name in found:
            if kind in kinds and name not in KEPT:
                quoted = name.replace('"', '""')
                with contextlib.suppress(psycopg.Error):  # it went with its table
                    connection.execute(f'DROP {kind} "{quoted}" {kinds[kind]}'.encode())


def pytest_configure(config: pytest.Config) -> None:
    """Where pytest calls it."""
    if RESULTS:
        config.pluginmanager.register(Recorder(RESULTS), "tengrid-recorder")
