"""Statements over several replica sets: all or nothing, keys, foreign keys, locks, RETURNING."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.support.memory_grid import MemoryGrid

pytestmark = pytest.mark.timeout(60)


async def column(client: asyncpg.Connection, sql: str) -> list[Any]:
    return [row[0] for row in await client.fetch(sql)]


def state(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.sqlstate)


# -- inserts that meet rows -----------------------------------------------------------------------
async def test_returning_of_do_nothing_names_only_what_was_inserted(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, v NUMBER(9))")
    await client.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    rows = await client.fetch(
        "INSERT INTO t VALUES (1, 9), (5, 9), (2, 9), (3, 9), (4, 9) "
        "ON CONFLICT DO NOTHING RETURNING id"
    )
    assert [int(r[0]) for r in rows] == [5, 3, 4]
    rows = await client.fetch("INSERT INTO t VALUES (14, 0), (11, 0), (13, 0) RETURNING id")
    assert [int(r[0]) for r in rows] == [14, 11, 13]
    await client.close()


async def test_returning_says_where_a_row_is(grid: MemoryGrid) -> None:
    """As a query says it: of the lead that holds the row; of a DUPLICATE table: here."""
    client = await grid.connect(1)
    await client.execute("CREATE TABLE w (id NUMBER(10) NOT NULL PRIMARY KEY, v NUMBER(10))")
    await client.execute("CREATE TABLE d (id NUMBER(10) PRIMARY KEY, v NUMBER(10)) DUPLICATE")
    where = "id, v + 1, replicaSetId#, elementId#, dataSpaceId#"
    inserted = await client.fetch(
        f"INSERT INTO w VALUES {','.join(f'({n}, 0)' for n in range(20))} RETURNING {where}"
    )
    asked = await client.fetch(f"SELECT {where} FROM w ORDER BY id")
    assert sorted(map(tuple, inserted)) == list(map(tuple, asked))
    assert len({row[2] for row in asked}) > 1
    updated = await client.fetch(f"UPDATE w SET v = 1 WHERE id < 9 RETURNING {where}")
    assert sorted((row[0], *row[2:]) for row in updated) == [
        (row[0], *row[2:]) for row in asked[:9]
    ]
    one = await client.fetchrow("DELETE FROM w WHERE id = 3 RETURNING elementId#")
    assert tuple(one) == (asked[3][3],)
    copy = await client.fetchrow(f"INSERT INTO d VALUES (1, 0) RETURNING {where}")
    assert tuple(copy) == tuple(await client.fetchrow(f"SELECT {where} FROM d"))
    await client.close()


async def test_do_nothing_sees_keys_of_other_replica_sets(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, mail VARCHAR2(20) UNIQUE)"
    )
    await client.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    status = await client.execute(
        "INSERT INTO t VALUES (3, 'a'), (4, 'c'), (5, 'b'), (6, 'c'), (7, NULL) "
        "ON CONFLICT DO NOTHING"
    )
    assert status == "INSERT 0 2"
    assert await column(client, "SELECT id FROM t ORDER BY id") == [1, 2, 4, 7]
    for n in range(10, 20):  # the entries of the rows left out must not be there
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute(f"INSERT INTO t VALUES ({n}, 'c')")
    await client.execute("DELETE FROM t WHERE mail = 'c'")
    await client.execute("INSERT INTO t VALUES (20, 'c')")
    await client.close()


async def test_upserts_of_one_key_at_once_all_count(grid: MemoryGrid) -> None:
    clients = [await grid.connect(n % 3) for n in range(6)]
    await clients[0].execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9))")

    async def work(client: asyncpg.Connection) -> None:
        for _ in range(10):
            await client.execute(
                "INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1"
            )
            await client.execute("DELETE FROM t WHERE id = 2")
            await client.execute(
                "INSERT INTO t VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1"
            )

    await asyncio.gather(*map(work, clients))
    assert await column(clients[0], "SELECT n FROM t WHERE id = 1") == [60]
    for client in clients:
        await client.close()


async def test_merges_and_upserts_by_a_global_key_at_once_all_count(grid: MemoryGrid) -> None:
    clients = [await grid.connect(n % 3) for n in range(6)]
    await clients[0].execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, k NUMBER(9) UNIQUE, n NUMBER(9))"
    )
    await clients[0].execute("INSERT INTO t VALUES (1, 101, 0), (2, 102, 0), (3, 103, 0)")

    async def work(number: int) -> None:
        client = clients[number]
        for turn in range(6):
            await client.execute(
                "MERGE INTO t USING (SELECT 1 AS id FROM dual UNION ALL SELECT 3 FROM dual) s "
                "ON (t.id = s.id) WHEN MATCHED THEN UPDATE SET n = n + 1"
            )
            await client.execute(
                f"INSERT INTO t VALUES ({1000 + 10 * number + turn}, 102, 0) "
                "ON CONFLICT (k) DO UPDATE SET n = t.n + 1"
            )

    await asyncio.gather(*map(work, range(6)))
    rows = await clients[0].fetch("SELECT id, n FROM t ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, 36), (2, 36), (3, 36)]
    for client in clients:
        await client.close()


async def test_a_merge_that_fails_leaves_nothing(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, k NUMBER(9) UNIQUE)")
    await client.execute("INSERT INTO t SELECT g, g FROM generate_series(1, 1200) g")
    await client.execute("BEGIN")
    with pytest.raises(asyncpg.UniqueViolationError):  # the last row meets another's key
        await client.execute(
            "MERGE INTO t USING (SELECT id + 600 AS id FROM t) s ON (t.id = s.id) "
            "WHEN MATCHED THEN UPDATE SET k = k + 5000 "
            "WHEN NOT MATCHED THEN INSERT VALUES (s.id, CASE s.id WHEN 1800 THEN 1 ELSE s.id END)"
        )
    await client.execute("COMMIT")
    assert tuple(await client.fetchrow("SELECT count(*), sum(k) FROM t")) == (1200, 720600)
    await client.close()


async def test_a_statement_over_replica_sets_is_all_or_nothing(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, mail VARCHAR2(20) UNIQUE, "
        "v NUMBER(9) CHECK (v < 100))"
    )
    values = ", ".join(f"({n}, 'm{n}', {n})" for n in range(60))
    await client.execute(f"INSERT INTO t VALUES {values}")
    for bad in ("UPDATE t SET v = v + 41", "UPDATE t SET mail = 'x'"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await client.execute(bad)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await client.execute("INSERT INTO t VALUES (100, 'a', 1), (101, 'b', 1), (102, 'm59', 1)")
    assert await client.fetchrow("SELECT count(*), sum(v), count(DISTINCT mail) FROM t") == (
        60,
        sum(range(60)),
        60,
    )
    async with client.transaction():
        await client.execute("UPDATE t SET v = v + 1")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await client.execute("UPDATE t SET v = v + 40")
        await client.execute("INSERT INTO t VALUES (100, 'a', 1)")
    assert await client.fetchrow("SELECT count(*), sum(v) FROM t") == (61, sum(range(60)) + 61)
    await client.close()


async def test_unique_values_may_be_exchanged_between_replica_sets(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, seat VARCHAR2(20) UNIQUE)"
    )
    values = ", ".join(f"({n}, 's{n}')" for n in range(12))
    await client.execute(f"INSERT INTO t VALUES {values}")
    # ids hash to all replica sets, so the two rows of a pair are often in different ones
    moved = 0
    for n in range(0, 12, 2):
        try:
            await client.execute(
                f"UPDATE t SET seat = CASE id WHEN {n} THEN 's{n + 1}' ELSE 's{n}' END "
                f"WHERE id IN ({n}, {n + 1})"
            )
        except asyncpg.UniqueViolationError:
            continue  # both in one element: checked row by row, as PostgreSQL does
        moved += 1
    assert moved >= 3
    assert await column(client, "SELECT count(DISTINCT seat) FROM t") == [12]
    await client.close()


# -- global indexes --------------------------------------------------------------------------------
async def test_rows_with_the_same_indexed_value_do_not_block_each_other(grid: MemoryGrid) -> None:
    one, two = await grid.connect(0), await grid.connect(1)
    await one.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, city VARCHAR2(20), n NUMBER(9), "
        "UNIQUE (city, n))"
    )
    await one.execute("CREATE GLOBAL INDEX t_city ON t (city)")
    async with one.transaction():
        await one.execute("INSERT INTO t VALUES (1, 'Ulm', 1)")
        async with asyncio.timeout(3):
            await two.execute("INSERT INTO t VALUES (2, 'Ulm', 2)")
    assert sorted(await column(one, "SELECT id FROM t WHERE city = 'Ulm'")) == [1, 2]
    await one.close()
    await two.close()


async def test_entries_follow_their_rows(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, mail VARCHAR2(20) UNIQUE, v NUMBER(9))"
    )
    values = ", ".join(f"({n}, 'm{n}', 0)" for n in range(30))
    await client.execute(f"INSERT INTO t VALUES {values}")
    await client.execute("UPDATE t SET id = id + 1000 WHERE id < 10")  # rows move
    await client.execute("UPDATE t SET mail = 'n' || id WHERE id >= 20")
    await client.execute("DELETE FROM t WHERE mail = 'm15'")
    for row in await client.fetch("SELECT id, mail FROM t"):
        assert await column(client, f"SELECT id FROM t WHERE mail = '{row[1]}'") == [row[0]]
    entries = sum(
        len(grid.contents(node, f"GI.{index}"))
        for node in grid.nodes
        for index in [_global_index(grid)]
    )
    assert entries == 29
    await client.close()


def _global_index(grid: MemoryGrid) -> int:
    assert grid.nodes[0].instance is not None
    catalog = grid.nodes[0].instance.database("database1").element.catalog
    (found,) = [i.id for i in catalog.table("TERRY", "T").indexes if i.is_global]
    return found


# -- foreign keys ----------------------------------------------------------------------------------
async def test_a_parent_is_not_deleted_under_a_child_that_is_not_committed(
    grid: MemoryGrid,
) -> None:
    one, two = await grid.connect(0), await grid.connect(1)
    await one.execute(
        "CREATE TABLE p (a NUMBER(9) NOT NULL, b NUMBER(9) NOT NULL, "
        "PRIMARY KEY (a, b)) DISTRIBUTE BY HASH (a, b)"
    )
    await one.execute(
        "CREATE TABLE c (id NUMBER(9) NOT NULL PRIMARY KEY, x NUMBER(9), y NUMBER(9), "
        "FOREIGN KEY (y, x) REFERENCES p (b, a))"
    )
    await one.execute("INSERT INTO p VALUES " + ", ".join(f"({n}, {-n})" for n in range(1, 20)))
    for n in range(1, 20):
        async with one.transaction():
            await one.execute(f"INSERT INTO c VALUES ({n}, {n}, {-n})")
            deleting = asyncio.ensure_future(two.execute(f"DELETE FROM p WHERE a = {n}"))
            await asyncio.sleep(0.02)  # it has to be waiting
            assert not deleting.done()
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await deleting
    await one.close()
    await two.close()


async def test_children_and_parents_that_come_and_go_at_once_stay_consistent(
    grid: MemoryGrid,
) -> None:
    clients = [await grid.connect(n % 3) for n in range(6)]
    await clients[0].execute(
        "CREATE TABLE p (id NUMBER(9) NOT NULL PRIMARY KEY, mail VARCHAR2(9) UNIQUE)"
    )
    await clients[0].execute(
        "CREATE TABLE c (id NUMBER(9) NOT NULL PRIMARY KEY, pid NUMBER(9) REFERENCES p (id))"
    )
    await clients[0].execute(
        "CREATE TABLE d (id NUMBER(9) NOT NULL PRIMARY KEY, mail VARCHAR2(9) REFERENCES p (mail))"
    )
    for client in clients:
        await client.execute("SET lock_wait TO 1")

    async def work(number: int, client: asyncpg.Connection) -> None:
        for n in range(25):
            key = n % 5
            texts = [
                f"INSERT INTO p VALUES ({key}, 'm{key}')",
                f"INSERT INTO c VALUES ({1000 * number + n}, {key})",
                f"INSERT INTO d VALUES ({1000 * number + n}, 'm{key}')",
                f"DELETE FROM c WHERE pid = {key}",
                f"DELETE FROM d WHERE mail = 'm{key}'",
                f"DELETE FROM p WHERE id = {key}",
            ]
            try:
                await client.execute(texts[(n * 7 + number) % len(texts)])
            except asyncpg.PostgresError as error:
                assert error.sqlstate in ("23503", "23505", "55P03", "40P01", "40001"), error

    await asyncio.gather(*(work(n, c) for n, c in enumerate(clients)))
    orphans = await clients[0].fetch(
        "SELECT c.id FROM c LEFT JOIN p ON p.id = c.pid WHERE p.id IS NULL"
    )
    orphans += await clients[0].fetch(
        "SELECT d.id FROM d LEFT JOIN p ON p.mail = d.mail WHERE p.id IS NULL"
    )
    assert orphans == []
    for client in clients:
        await client.close()


async def test_cascades_between_duplicate_tables(grid: MemoryGrid) -> None:
    client = await grid.connect(1)
    await client.execute("CREATE TABLE p (id NUMBER(9) NOT NULL PRIMARY KEY) DUPLICATE")
    await client.execute(
        "CREATE TABLE c (id NUMBER(9) NOT NULL PRIMARY KEY, pid NUMBER(9) "
        "REFERENCES p (id) ON DELETE CASCADE) DUPLICATE"
    )
    await client.execute(
        "CREATE TABLE h (id NUMBER(9) NOT NULL PRIMARY KEY, pid NUMBER(9) "
        "REFERENCES p (id) ON DELETE CASCADE)"
    )
    await client.execute("INSERT INTO p VALUES (1), (2)")
    await client.execute("INSERT INTO c VALUES (1, 1), (2, 1), (3, 2)")
    await client.execute("INSERT INTO h SELECT id, 1 FROM c")
    await client.execute("DELETE FROM p WHERE id = 1")
    for node in grid.nodes:
        assert [row[0] for row in grid.contents(node, "TERRY.C")] == [3]
    assert await column(client, "SELECT count(*) FROM h") == [0]
    await client.close()


# -- DUPLICATE tables ------------------------------------------------------------------------------
async def test_writers_of_a_duplicate_table_leave_equal_copies(grid: MemoryGrid) -> None:
    clients = [await grid.connect(n) for n in range(3)]
    await clients[0].execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9)) DUPLICATE"
    )
    await clients[0].execute("INSERT INTO t VALUES (1, 0), (2, 0)")

    async def work(client: asyncpg.Connection) -> None:
        for n in range(15):
            await client.execute(f"UPDATE t SET n = n + 1 WHERE id = {1 + n % 2}")

    await asyncio.gather(*map(work, clients))
    contents = [grid.contents(node, "TERRY.T") for node in grid.nodes]
    assert contents[0] == contents[1] == contents[2]
    assert sum(row[1] for row in contents[0]) == 45  # type: ignore[misc]
    for client in clients:
        await client.close()


# -- transactions ----------------------------------------------------------------------------------
async def test_a_cancelled_statement_leaves_nothing_in_its_transaction(grid: MemoryGrid) -> None:
    one, two = await grid.connect(0), await grid.connect(1)
    await one.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, v NUMBER(9))")
    await one.execute("INSERT INTO t VALUES " + ", ".join(f"({n}, 0)" for n in range(12)))
    await two.execute("BEGIN")
    await two.execute("UPDATE t SET v = 1 WHERE id = 7")
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET v = 5 WHERE id = 1")
    with pytest.raises(asyncio.TimeoutError):
        await one.execute("UPDATE t SET v = v + 10", timeout=0.3)  # waits for row 7
    await one.execute("UPDATE t SET v = v + 1 WHERE id < 7")
    await one.execute("COMMIT")
    await two.execute("ROLLBACK")
    assert await column(one, "SELECT v FROM t ORDER BY id") == [1, 6, *[1] * 5, *[0] * 5]
    await one.close()
    await two.close()


async def test_savepoints_over_replica_sets(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY)")
    await client.execute("BEGIN")
    await client.execute("SAVEPOINT a")
    await client.execute("INSERT INTO t VALUES (1), (2), (3), (4)")
    await client.execute("SAVEPOINT b")
    await client.execute("INSERT INTO t VALUES (5), (6), (7), (8)")
    await client.execute("ROLLBACK TO b")
    await client.execute("INSERT INTO t VALUES (9), (10), (11)")
    assert await column(client, "SELECT count(*) FROM t") == [7]
    await client.execute("ROLLBACK TO a")
    assert await column(client, "SELECT count(*) FROM t") == [0]
    await client.execute("INSERT INTO t VALUES (5), (12)")
    await client.execute("COMMIT")
    assert await column(client, "SELECT id FROM t ORDER BY id") == [5, 12]
    await client.close()


async def test_a_transaction_reads_many_of_its_own_rows(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, v VARCHAR2(300))")
    await client.execute("BEGIN")
    rows = [(n, "x" * 250) for n in range(6000)]
    await client.copy_records_to_table("t", records=rows)
    assert await column(client, "SELECT id FROM t ORDER BY id") == list(range(6000))
    assert len(await client.fetch("SELECT * FROM t WHERE v LIKE 'x%'")) == 6000
    await client.execute("ROLLBACK")
    assert await column(client, "SELECT count(*) FROM t") == [0]
    await client.close()


async def test_open_transactions_survive_ddl_on_other_tables(grid: MemoryGrid) -> None:
    one, two = await grid.connect(0), await grid.connect(1)
    await one.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY)")
    await one.execute("BEGIN")
    await one.execute("INSERT INTO t VALUES (1), (2), (3), (4)")
    await two.execute("CREATE TABLE other (id NUMBER(9) NOT NULL PRIMARY KEY)")
    await one.execute("INSERT INTO t VALUES (5), (6), (7), (8)")
    assert await column(one, "SELECT count(*) FROM t") == [8]
    await one.execute("COMMIT")
    assert await column(two, "SELECT count(*) FROM t") == [8]
    await one.close()
    await two.close()


async def test_copy_goes_on_while_other_tables_are_made(grid: MemoryGrid) -> None:
    one, two = await grid.connect(0), await grid.connect(1)
    await one.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY)")

    async def lines() -> Any:
        for part in range(4):
            yield "".join(f"{n}\n" for n in range(part * 3000, part * 3000 + 3000)).encode()
            await two.execute(f"CREATE TABLE other{part} (id NUMBER(9) NOT NULL PRIMARY KEY)")

    assert await one.copy_to_table("t", source=lines(), format="text") == "COPY 12000"
    assert await column(two, "SELECT count(*) FROM t") == [12000]
    await one.close()
    await two.close()


async def test_wide_rows_fit_into_messages(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, v VARCHAR2(200000))")
    rows = [(n, "x" * 200_000) for n in range(330)]
    assert await client.copy_records_to_table("t", records=rows) == "COPY 330"
    await client.execute("CREATE TABLE u (id NUMBER(9) NOT NULL PRIMARY KEY, v VARCHAR2(200000))")
    assert await client.execute("INSERT INTO u SELECT id, v FROM t") == "INSERT 0 330"
    assert await client.fetchrow("SELECT count(*), sum(length(v)) FROM u") == (330, 66_000_000)
    await client.close()


async def test_many_rows_of_one_distribution_key(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL, region NUMBER(9) NOT NULL, v VARCHAR2(200)) "
        "DISTRIBUTE BY HASH (region)"
    )
    await client.copy_records_to_table("t", records=[(n, 7, "x" * 150) for n in range(20_000)])
    for at in range(3):  # where they are, and from elsewhere
        other = await grid.connect(at)
        assert len(await other.fetch("SELECT * FROM t WHERE region = 7")) == 20_000
        assert len(await other.fetch("SELECT * FROM t WHERE region = $1", 7)) == 20_000
        await other.close()
    await client.close()


async def test_a_delete_is_planned_although_foreign_keys_go_round(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE a (id NUMBER(9) NOT NULL PRIMARY KEY, b NUMBER(9))")
    await client.execute(
        "CREATE TABLE b (id NUMBER(9) NOT NULL PRIMARY KEY REFERENCES a (id) ON DELETE CASCADE)"
    )
    await client.execute(
        "ALTER TABLE a ADD CONSTRAINT a_b FOREIGN KEY (id) REFERENCES b (id) ON DELETE CASCADE"
    )
    assert await client.execute("DELETE FROM a WHERE id = 1") == "DELETE 0"
    await client.close()


async def test_a_copy_that_fails_in_the_middle_leaves_nothing(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY)")
    await client.execute("INSERT INTO t VALUES (15000)")
    rows = [(n,) for n in range(40_000)]
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.copy_records_to_table("t", records=rows)
    assert await column(client, "SELECT count(*) FROM t") == [1]
    await client.execute("BEGIN")
    await client.execute("INSERT INTO t VALUES (-1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.copy_records_to_table("t", records=rows)
    await client.execute("INSERT INTO t VALUES (-2)")
    await client.execute("COMMIT")
    assert await column(client, "SELECT id FROM t ORDER BY id") == [-2, -1, 15000]
    await client.close()


async def test_ddl_races_end_in_order(grid: MemoryGrid) -> None:
    clients = [await grid.connect(n % 3) for n in range(6)]
    await clients[0].execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, v NUMBER(9))")

    async def ddl(number: int, client: asyncpg.Connection) -> None:
        for n in range(4):
            await client.execute(f"CREATE TABLE x{number}_{n} (id NUMBER(9) NOT NULL PRIMARY KEY)")
            await client.execute(f"DROP TABLE x{number}_{n}")

    async def dml(number: int, client: asyncpg.Connection) -> None:
        for n in range(40):
            await client.execute(f"INSERT INTO t VALUES ({number * 1000 + n}, 0)")
            await client.execute(f"UPDATE t SET v = v + 1 WHERE id = {number * 1000 + n}")
            await client.fetch("SELECT count(*) FROM t")

    await asyncio.gather(
        *(ddl(n, c) for n, c in enumerate(clients[:2])),
        *(dml(n, c) for n, c in enumerate(clients[2:])),
    )
    assert await clients[0].fetchrow("SELECT count(*), sum(v) FROM t") == (160, 160)
    for client in clients:
        await client.close()


# -- sequences -------------------------------------------------------------------------------------
async def test_sequences_cycle_and_count_down(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE SEQUENCE s START WITH 4 MINVALUE 1 MAXVALUE 9 INCREMENT BY 3 CYCLE BATCH 2"
    )
    got = [await client.fetchval("SELECT s.NEXTVAL FROM dual") for _ in range(8)]
    assert got == [4, 7, 1, 4, 7, 1, 4, 7]
    await client.execute(
        "CREATE SEQUENCE d START WITH 5 MINVALUE 1 MAXVALUE 6 INCREMENT BY -2 BATCH 2"
    )
    assert [await client.fetchval("SELECT d.NEXTVAL FROM dual") for _ in range(3)] == [5, 3, 1]
    with pytest.raises(asyncpg.PostgresError) as used_up:
        await client.fetchval("SELECT d.NEXTVAL FROM dual")
    assert state(used_up) == "55000"
    await client.execute("CREATE SEQUENCE big INCREMENT BY 1000000000000")
    assert await client.fetchval("SELECT big.NEXTVAL FROM dual") == 1
    assert await client.fetchval("SELECT big.NEXTVAL FROM dual") == 1000000000001
    assert await client.fetchval("SELECT big.CURRVAL FROM dual") == 1000000000001
    await client.close()
