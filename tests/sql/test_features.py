"""The feature map is whole, and what it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.sql.features import DIFFERS, IDS, REFUSED, ROWS, WORKS, Row

ROOT = Path(__file__).resolve().parents[2]


def test_every_row_is_there_once() -> None:
    assert [row.id for row in ROWS] == IDS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_says_what_is_here_and_names_its_test(row: Row) -> None:
    assert row.status in (WORKS, DIFFERS, REFUSED)
    assert row.here
    assert "\n" not in row.here
    path, _, function = row.test.partition("::")
    if path.endswith(".test"):
        assert re.search(rf"^#.*\b{row.id}\b", (ROOT / path).read_text(encoding="utf-8"), re.M)
    else:
        assert function in names_of_tests(path)


@cache
def names_of_tests(path: str) -> set[str]:
    """Names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
    return {name for name in found if name.startswith("test_")}
