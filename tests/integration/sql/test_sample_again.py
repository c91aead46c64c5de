"""The sample made where an attempt before was interrupted: nothing is missing, nothing is twice."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import psycopg
import pytest

from deploy.sample import again, generate
from deploy.sample.load import SCHEMA_FILE, Address, Login, Table, load_table, statements, words
from tests.support.memory_grid import ADDRESS, DATABASE, running_grid

TABLES = (
    Table("customers", lambda: generate.customers(40), 40),
    Table("accounts", lambda: generate.accounts(30, 40), 30),
    Table("transactions", lambda: generate.transactions(20, 30), 20),
)


def _first(table: Table, count: int) -> Table:
    def rows() -> Iterator[str]:
        return islice(table.rows(), count)

    return Table(table.name, rows, count)


@pytest.mark.timeout(60)
async def test_the_sample_is_made_whole_after_any_part_of_it(tmp_path: Path) -> None:
    async with running_grid(tmp_path, k=1, sets=2) as grid:
        addresses = [Address(ADDRESS, node.settings.cs_port) for node in grid.nodes]
        login, said = Login(DATABASE, "app", "first"), list[str]()

        def everything(password: str) -> Login:
            mine = login._replace(password=password)
            folder = grid.nodes[0].home / "info"
            again.user(folder, addresses[0].port, getpass.getuser(), mine)
            again.schema(addresses[0], mine)
            again.rows(addresses, mine, said.append, TABLES)
            return mine

        def interrupted() -> None:
            """User and some tables, one of them loaded in part."""
            again.user(grid.nodes[0].home / "info", addresses[0].port, getpass.getuser(), login)
            with psycopg.connect(**words(addresses[0], login)) as connection:
                for statement in statements(SCHEMA_FILE.read_text(encoding="utf-8"))[:-3]:
                    connection.execute(statement.encode())
            load_table(addresses, login, _first(TABLES[0], 7), said.append)

        await asyncio.to_thread(interrupted)
        mine = await asyncio.to_thread(everything, "second")  # the password of this attempt counts
        assert "customers: 7 rows of an earlier attempt are deleted" in said
        assert await asyncio.to_thread(_counts, addresses[1], mine) == [6, 5, 40, 30, 20]
        said.clear()
        await asyncio.to_thread(everything, "second")
        assert said == [f"{t.name}: its {t.total} rows are there" for t in TABLES]
        assert await asyncio.to_thread(_counts, addresses[1], mine) == [6, 5, 40, 30, 20]


def _counts(address: Address, login: Login) -> list[int]:
    names = ("account_type", "account_status", *(table.name for table in TABLES))
    with psycopg.connect(**words(address, login)) as connection:
        rows = [connection.execute(f"SELECT COUNT(*) FROM {n}".encode()).fetchone() for n in names]
    return [row[0] for row in rows if row is not None]


def test_a_connection_that_breaks_is_tried_again_and_a_wrong_statement_is_not() -> None:
    tries = list[int]()

    def breaks(times: int) -> Callable[[], None]:
        def work() -> None:
            tries.append(1)
            if len(tries) <= times:
                raise psycopg.OperationalError("the server closed the connection")

        return work

    again.patient(breaks(2), seconds=60, pause_s=0)
    assert len(tries) == 3
    tries.clear()
    with pytest.raises(psycopg.OperationalError):
        again.patient(breaks(1), seconds=0, pause_s=0)
    assert len(tries) == 1

    def wrong() -> None:
        tries.append(1)
        raise psycopg.errors.SyntaxError("no")

    with pytest.raises(psycopg.errors.SyntaxError):
        again.patient(wrong, seconds=60, pause_s=0)
    assert len(tries) == 2
