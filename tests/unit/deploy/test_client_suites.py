"""What is made of the results of a driver's own test suite."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients import suite_recorder, suites

SUITE = """
import pytest
def test_one(): pass
def test_two(): pytest.skip("s")
def test_three(): raise ValueError("CREATE EXTENSION is not supported")
def test_four(): assert 1 == 2
@pytest.fixture
def broken(): raise ValueError("inet")
def test_five(broken): pass
def test_six(): import os; os._exit(9)
def test_seven(): pass
"""


def _results(tmp_path: Path, *events: dict[str, str]) -> Path:
    file = tmp_path / "psycopg.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def test_failures_are_judged_by_the_checked_in_entries(tmp_path: Path) -> None:
    file = _results(
        tmp_path,
        {"test": "a"},
        {"test": "a", "outcome": "failed", "message": "first"},
        {"test": "a", "outcome": "passed", "message": ""},  # the last one counts
        {"test": "b", "outcome": "skipped", "message": ""},
        {"test": "c", "outcome": "failed", "message": "CREATE EXTENSION is not supported"},
        {"test": "d", "outcome": "failed", "message": "AssertionError: 1 is not 2"},
        {"test": "e"},
    )
    found = suites.outcome("psycopg", file)
    assert found.counts == {"passed": 1, "skipped": 1, "not applicable": 1, "failed": 2}
    assert [test for test, _ in found.failed] == ["d", "e"]
    assert "1 passed, 2 failed, 1 not applicable" in suites.described("psycopg", found)


def test_failures_can_be_forgotten(tmp_path: Path) -> None:
    file = _results(
        tmp_path,
        {"test": "a", "outcome": "passed", "message": "copy"},
        {"test": "b", "outcome": "failed", "message": "copy"},
        {"test": "c", "outcome": "failed", "message": "other"},
    )
    suites.forget("psycopg", file, "copy")
    assert [event["test"] for event in suite_recorder.events(str(file))] == ["a", "c"]


def test_the_recorder_goes_on_after_a_process_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    words = suites._parser().parse_args(["psycopg", "--results", str(tmp_path / "results")])
    monkeypatch.setitem(suites.SUITES, "psycopg", lambda *_: ["test_suite.py"])
    monkeypatch.setattr(suites, "owner", lambda *_: "")
    results = suites.results_of(words)
    results.write_text("")
    suites.run(_Place(), "psycopg", tmp_path, tmp_path, words)  # type: ignore[arg-type]
    found = suites.outcome("psycopg", results)
    assert found.counts == {"passed": 2, "skipped": 1, "failed": 2, "not applicable": 2}
    assert dict(found.failed)["test_suite.py::test_six"] == "its process ended with 9"


class _Place:
    def addresses(self) -> list[str]:
        return [""]

    def words(self, address: str) -> dict[str, str]:
        return {"host": "", "port": "1", "dbname": ""}


def test_every_entry_is_whole() -> None:
    every = [entry for name in suites.SUITES for entry in suites.entries(name)]
    assert len(every) > len(suites.SUITES)
    for entry in every:
        assert entry["kind"] in suites.KINDS and entry["reason"]
        assert entry.get("tests") or entry.get("message"), entry
        assert entry.get("suite") in (None, *suites.SUITES)
        re.compile(entry.get("tests", "") + entry.get("message", ""))


def test_every_suite_has_a_place_in_the_page() -> None:
    page = suites.PAGE.read_text(encoding="utf-8")
    for name in suites.SUITES:
        assert f"<!-- suite {name} -->" in page and f"<!-- end of {name} -->" in page
