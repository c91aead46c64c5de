"""PostgreSQL's JDBC driver against a grid: DatabaseMetaData, batches, cursors, updatable rows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.test_tools import words

__all__ = ["words"]

PROGRAM = Path(__file__).with_name("Metadata.java")
CALLS = Path(__file__).with_name("Calls.java")
PLACES = (Path("/usr/share/java"), Path.home() / ".m2/repository/org/postgresql/postgresql")
EXPECTED = """\
keywords: true
catalog: database1
table: tool_accounts TABLE null
table: tool_customers TABLE who buys
table: tool_kinds TABLE null
table: tool_rich VIEW null
column: cust_id 2 numeric 10 0 NO
column: name 12 varchar 30 0 NO
column: email 12 varchar 40 0 YES
column: credit 2 numeric 10 2 YES
column: born 93 timestamp 22 0 YES
column: moment 93 timestamp 26 3 YES
column: f 8 float8 17 17 YES
column: c 1 bpchar 5 0 YES
column: vb -2 bytea 2147483647 0 YES
primary key: cust_id 1 tool_customers_pkey
imported: tool_customers cust_id cust_id 0 tool_owner
exported: tool_accounts tool_owner
index: tool_customers_email_key f 1 email A
index: tool_customers_pkey f 1 cust_id A
index: tool_by_name t 1 name D
index: tool_by_name t 2 credit A
row: cust_id
privilege: {user} DELETE
privilege: {user} INSERT
privilege: {user} REFERENCES
privilege: PUBLIC SELECT
privilege: {user} SELECT
privilege: {user} TRIGGER
privilege: {user} TRUNCATE
privilege: {user} UPDATE
parameters: 2 varchar
result: n tool_customers 10 0
batch: 10
left: 10 changed
timeout: 57014
"""


def driver() -> Path | None:
    """The newest jar on this machine (Debian: libpostgresql-jdbc-java)."""
    found = [jar for place in PLACES for jar in place.rglob("postgresql-*.jar")]
    found += list(PLACES[0].glob("postgresql.jar"))
    return max(found, default=None, key=lambda jar: jar.name)


pytestmark = [
    pytest.mark.skipif(shutil.which("javac") is None, reason="no Java compiler on this machine"),
    pytest.mark.skipif(driver() is None, reason="PostgreSQL's JDBC driver is not on this machine"),
]


def run(program: Path, words: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """A source file, started by the launcher of JDK 11 and later."""
    url = f"jdbc:postgresql://{words['host']}:{words['port']}/{words['dbname']}"
    return subprocess.run(
        ["java", "-cp", str(driver()), str(program), url, words["user"], words["password"]],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_metadata_and_work(words: dict[str, Any]) -> None:
    done = run(PROGRAM, words)
    assert done.stdout == EXPECTED.format(user=words["user"]), done.stdout + done.stderr
    assert done.returncode == 0


def test_procedures_and_functions(words: dict[str, Any]) -> None:
    done = run(CALLS, words)
    told = [line for line in done.stdout.splitlines() if not line.startswith("output")]
    assert told == [
        *("select: 8 x!", "select: f7", "select cursor: 6 e", "select cursor: 7 c"),
        *("callIfNoReturn: 8 x!", "callIfNoReturn: f7"),
        *("callIfNoReturn cursor: 6 e", "callIfNoReturn cursor: 7 c"),
        *("call: 8 x!", "call cursor: 6 e"),
    ], done.stdout + done.stderr
    assert done.stdout.count("output: a;b") == 3
