"""What tools ask of the catalog: psql's backslash commands, pg_dump, graphical browsers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.clients.conftest import Rows
from tests.support.real_grid import RealGrid

HERE = Path(__file__).parent
OBJECTS = (
    "VIEW tool_rich", "TABLE tool_accounts", "TABLE tool_customers", "TABLE tool_kinds",
    'TABLE "Tool Mixed"', "SEQUENCE tool_seq",
)  # fmt: skip
COMMANDS = r"""d dt dt+ di di+ ds ds+ dv dv+ dm dm+ dn dn+ du du+ dg df df+ l l+ dp z dT dT+ dd dD
    dC dL do db db+ dO dc dP drds ddp dF dFp dFt dFd dRp dRs dx dy des dew det deu dE da dA dAc dAf
    dAo dAp dX dl dtvs+ dS dconfig conninfo encoding""".split()  # noqa: SIM905
SHOWN = {  # command: what its output must hold
    r"\dt": ("tool_accounts | table | {user}", "Tool Mixed"),
    r"\dt+": ("who buys",),
    r"\di": ("tool_by_name", "tool_customers_pkey"),
    r"\ds": ("tool_seq",),
    r"\dv": ("tool_rich",),
    r"\dn": ("{user} | {user}",),
    r"\du": ("{user}",),
    r"\l": ("database1 | sys",),
    r"\dp tool_customers": ("{user}=arwdDxt/{user}", "=r/{user}"),
    r"\d tool_accounts": (
        "account_id | numeric(10,0) | | not null |",
        '"tool_accounts_pkey" PRIMARY KEY, btree (account_id)',
        '"tool_owner" FOREIGN KEY (cust_id) REFERENCES tool_customers(cust_id) ON DELETE CASCADE',
    ),
    r"\d+ tool_customers": (
        "credit | numeric(10,2) | | | 0 | main", "moment | timestamp(3) without time zone",
        "f | double precision", "c | character(5)", "vb | bytea", "family name",
        '"tool_by_name" btree (name DESC, credit)', "CHECK ((credit >= 0))",
        'TABLE "tool_accounts" CONSTRAINT "tool_owner"',
        "Options: distribute_by=hash (cust_id)",
    ),
    r"\d+ tool_kinds": ("Options: distribute_by=duplicate",),
    r'\d "Tool Mixed"': ('Table "{user}.Tool Mixed"', '_pkey" PRIMARY KEY, btree ("Id")'),
    r"\d tool_seq": ("bigint | 5 | 1 | 9223372036854775807 | 2 | no",),
    r"\d+ tool_rich": ("SELECT cust_id, name FROM tool_customers WHERE credit >= 10",),
    r"\sv tool_rich": ("CREATE OR REPLACE VIEW {user}.tool_rich AS",),
}  # fmt: skip
DUMPED = (
    "CREATE TABLE {user}.tool_customers (",
    "credit numeric(10,2) DEFAULT 0",
    "CONSTRAINT tool_customers_credit_check CHECK ((credit >= 0))",
    "WITH (distribute_by='reference (tool_owner)')",
    'CREATE TABLE {user}."Tool Mixed" (',
    "COMMENT ON COLUMN {user}.tool_customers.name IS 'family name'",
    "CREATE VIEW {user}.tool_rich AS",
    "CREATE SEQUENCE {user}.tool_seq",
    "ADD CONSTRAINT tool_accounts_pkey PRIMARY KEY (account_id)",
    "CREATE INDEX tool_by_name ON {user}.tool_customers USING btree (name DESC, credit)",
    "ADD CONSTRAINT tool_owner FOREIGN KEY (cust_id) REFERENCES tool_customers(cust_id)",
    "GRANT SELECT ON TABLE {user}.tool_customers TO PUBLIC",
)


@pytest.fixture(scope="module")
def words(grid: RealGrid) -> Iterator[dict[str, Any]]:
    """How to connect; the schema of tools.sql is there."""
    found = grid.words(grid.addresses()[0])
    with psycopg.connect(**found) as connection:
        for statement in (HERE / "tools.sql").read_text(encoding="utf-8").split(";\n"):
            connection.execute(statement.encode())
        yield found
        for name in OBJECTS:
            connection.execute(f"DROP {name}".encode())


def run(words: dict[str, Any], *command: str) -> str:
    """Output of a tool, which must succeed."""
    environment = {
        **os.environ, "PGHOST": words["host"], "PGPORT": str(words["port"]),
        "PGUSER": words["user"], "PGPASSWORD": words["password"], "PGDATABASE": words["dbname"],
    }  # fmt: skip
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_no_backslash_command_fails(words: dict[str, Any]) -> None:
    script = [word for name in COMMANDS for word in ("-c", f"\\echo == {name}", "-c", f"\\{name}")]
    out = run(words, "psql", "-X", *script)
    assert out.count("== ") == len(COMMANDS)
    assert [line for line in out.splitlines() if "ERROR" in line] == []


def test_what_backslash_commands_show(words: dict[str, Any]) -> None:
    script = [word for name in SHOWN for word in ("-c", "\\echo ==", "-c", name)]
    parts = run(words, "psql", "-X", *script).split("==\n")
    for part, (name, wanted) in zip(parts[1:], SHOWN.items(), strict=True):
        shown = re.sub(r"[ \t]+", " ", part)
        for text in wanted:
            assert text.format(user=words["user"]) in shown, (name, shown)


def test_pg_dump_of_the_schema(words: dict[str, Any]) -> None:
    out = run(words, "pg_dump", "--schema-only", "--schema", words["user"])  # others have theirs
    for text in DUMPED:
        assert text.format(user=words["user"]) in out, (text, out)


def test_what_graphical_tools_ask(words: dict[str, Any]) -> None:
    lines = (HERE / "introspection.sql").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    with psycopg.connect(**words) as connection:
        places = connection.execute(
            "SELECT relnamespace, oid FROM pg_class WHERE relname = 'tool_customers'"
        ).fetchone()
        assert places is not None
        counts = {}
        for query in text.split(";\n"):
            made = query.replace("{schema}", str(places[0])).replace("{table}", str(places[1]))
            rows: list[Rows] = connection.execute(made.encode()).fetchall()
            counts[" ".join(query.split())[:40]] = len(rows)
    assert counts["SELECT c.relname, a.*, pg_catalog.pg_get"] == 9
    assert counts["SELECT i.*, i.indkey AS keys, c.relname,"] == 3
    assert counts["SELECT tc.constraint_name, tc.constraint"] == 2
