"""Files in the sqllogictest format: the format itself, and our own files against a grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sql.logic import OWN, Runner, records, shown, under, wrong
from tests.sql.target import Words

TEXT = """\
# about nothing
hash-threshold 8

statement ok
CREATE TABLE t (a INT)

skipif tengrid
statement ok
DROP TABLE t

onlyif mysql # and its like
query I
SELECT 1 DIV 1
----
1

statement error 42P01
SELECT *
FROM nothing

query IT rowsort label-1
SELECT 1, 'a'
----
1
a

query R valuesort
SELECT 2.5
----
2 values hashing to 26ab0db90d72e28ad0ba1e22ee510510

onlyif mysql
halt

halt

statement ok
NOT REACHED
"""


def test_the_format() -> None:
    found = list(records(TEXT))
    assert found.count(None) == 2
    first, error, query, hashed = (record for record in found if record is not None)
    assert (first.line, first.kind, first.sql) == (4, "ok", "CREATE TABLE t (a INT)")
    assert (error.kind, error.sql, error.expected) == (
        "error",
        "SELECT *\nFROM nothing",
        ("42P01",),
    )
    assert (query.types, query.sort, query.label, query.expected) == (
        "IT", "rowsort", "label-1", ("1", "a"),
    )  # fmt: skip
    assert hashed.sort == "valuesort"
    with pytest.raises(ValueError, match="line 1"):
        list(records("nonsense\n"))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "I", "NULL"), ("12.9", "I", "12"), ("-0.5", "I", "0"), ("abc", "I", "0"),
        (True, "I", "1"), (2.5, "R", "2.500"), ("x", "R", "0.000"), ("", "T", "(empty)"),
        ("a\tb", "T", "a@b"), (False, "T", "0"),
    ],
)  # fmt: skip
def test_values_are_written_as_the_format_has_them(value: object, kind: str, text: str) -> None:
    assert shown(value, kind) == text


def test_what_is_wrong_with_an_answer() -> None:
    record = next(iter(records("query II rowsort\nSELECT 1\n----\n1\n2\n3\n4\n")))
    assert record is not None
    assert wrong(record, [(3, 4), (1, 2)]) == ""
    assert wrong(record, [(1, 2), (4, 3)]).startswith("rows: [1, 2, 4, 3] instead")
    assert wrong(record, [(1,)]) == "columns: 1 instead of 2"
    rows = record._replace(expected=("1 2", "3 4"))
    assert wrong(rows, [(3, 4), (1, 2)]) == ""
    hashed = record._replace(expected=("2 values hashing to 6ddb4095eb719e2a9f0a3f95677d24e0",))
    assert wrong(hashed, [(1, 2)]) == ""
    assert wrong(hashed, [(1, 3)]).startswith("hash")


@pytest.mark.parametrize("path", under(OWN), ids=lambda path: path.stem)
def test_our_files(words: list[Words], path: Path) -> None:
    runner = Runner(words)
    try:
        assert runner.file(path).failures == []
    finally:
        runner.close()
