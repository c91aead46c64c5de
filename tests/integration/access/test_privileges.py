"""Who may do what, as clients meet it: two replica sets, each user at another element."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import DATABASE, MemoryGrid

pytestmark = pytest.mark.asyncio(loop_scope="module")
DENIED = asyncpg.InsufficientPrivilegeError


class Clients:
    """A grid with the users TERRY, who owns things, and BOB, who connects to another element."""

    def __init__(self, grid: MemoryGrid) -> None:
        self.grid = grid
        self.admin: asyncpg.Connection
        self.terry: asyncpg.Connection
        self.bob: asyncpg.Connection

    async def start(self) -> None:
        await self.grid.start()
        self.admin = await self.grid.connect_admin(0)
        self.terry = await self.grid.connect(0)
        await self.admin.execute("CREATE USER bob IDENTIFIED BY 'bob'")
        await self.admin.execute("GRANT CREATE SESSION TO bob")
        self.bob = await self.login("bob", "bob", 1)
        for text in (
            "CREATE TABLE items (id NUMBER(10) NOT NULL PRIMARY KEY, n NUMBER(10), UNIQUE (n))",
            "INSERT INTO items VALUES (1, 10), (2, 20)",
            "CREATE VIEW some AS SELECT id FROM items WHERE n > 10",
            "CREATE SEQUENCE numbers",
        ):
            await self.terry.execute(text)

    async def login(self, user: str, password: str, at: int = 0) -> asyncpg.Connection:
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self.grid.nodes[at].settings.cs_port,
            user=user,
            password=password,
            database=DATABASE,
            timeout=10,
        )

    async def stop(self) -> None:
        for connection in (self.admin, self.terry, self.bob):
            await connection.close()
        await self.grid.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    made = Clients(MemoryGrid(Path(tmp_path_factory.mktemp("grid")), session_timeout_s=5.0))
    await made.start()
    yield made
    await made.stop()


OBJECT_GATES = [
    ("SELECT id FROM terry.items", "SELECT", "items"),
    ("SELECT COUNT(*) FROM terry.items WHERE id = 1", "SELECT", "items"),
    ("SELECT 1 FROM dual WHERE EXISTS (SELECT 1 FROM terry.items)", "SELECT", "items"),
    ("EXPLAIN SELECT id FROM terry.items", "SELECT", "items"),
    ("SELECT id FROM terry.some", "SELECT", "some"),
    ("SELECT terry.numbers.NEXTVAL FROM dual", "SELECT", "numbers"),
    ("INSERT INTO terry.items VALUES (100, NULL)", "INSERT", "items"),
    ("UPDATE terry.items SET n = n WHERE id = 1", "UPDATE", "items"),
    ("UPDATE terry.items SET n = n", "UPDATE", "items"),
    ("DELETE FROM terry.items WHERE id = 100", "DELETE", "items"),
]


@pytest.mark.parametrize(("text", "privilege", "name"), OBJECT_GATES)
async def test_a_statement_needs_its_privilege_and_loses_it_again(
    clients: Clients, text: str, privilege: str, name: str
) -> None:
    bob, terry = clients.bob, clients.terry
    with pytest.raises(DENIED) as refused:
        await bob.execute(text)
    assert f"lacks privilege {privilege} on TERRY.{name.upper()}" in str(refused.value)
    await terry.execute(f"GRANT {privilege} ON {name} TO bob")
    prepared = await bob.prepare(text)
    await prepared.fetch()
    await bob.execute(text.replace("100", "101"))
    await terry.execute(f"REVOKE {privilege} ON {name} FROM bob")
    with pytest.raises(DENIED):
        await prepared.fetch()
    with pytest.raises(DENIED):
        await bob.execute(text)
    await terry.execute("DELETE FROM items WHERE id >= 100")


@pytest.mark.parametrize(
    ("text", "privilege"),
    [
        ("SELECT id FROM terry.items", "SELECT ANY TABLE"),
        ("SELECT id FROM terry.some", "SELECT ANY TABLE"),
        ("SELECT terry.numbers.NEXTVAL FROM dual", "SELECT ANY SEQUENCE"),
        ("INSERT INTO terry.items VALUES (100, NULL)", "INSERT ANY TABLE"),
        ("UPDATE terry.items SET n = n", "UPDATE ANY TABLE"),
        ("DELETE FROM terry.items WHERE id = 100", "DELETE ANY TABLE"),
        ("CREATE TABLE terry.made (a INT)", "CREATE ANY TABLE"),
        ("DROP TABLE terry.made", "DROP ANY TABLE"),
        ("SELECT id FROM terry.items", "ADMIN"),
    ],
)
async def test_any_privileges_and_admin(clients: Clients, text: str, privilege: str) -> None:
    with pytest.raises(DENIED):
        await clients.bob.execute(text)
    await clients.admin.execute(f"GRANT {privilege} TO bob")
    await clients.bob.execute(text)
    await clients.admin.execute(f"REVOKE {privilege} FROM bob")


async def test_a_plan_of_the_owner_is_not_lent_to_others(clients: Clients) -> None:
    await clients.terry.fetch("SELECT id, n FROM items WHERE id = 1")
    at_terrys = await clients.login("bob", "bob", 0)
    await at_terrys.execute("SET SCHEMA terry")
    for text in ("SELECT id, n FROM items WHERE id = 1", "SELECT id FROM some"):
        with pytest.raises(DENIED):
            await at_terrys.fetch(text)
    await at_terrys.close()


async def test_a_view_reads_with_its_owners_rights(clients: Clients) -> None:
    bob, terry, admin = clients.bob, clients.terry, clients.admin
    await terry.execute("GRANT SELECT ON some TO bob")
    assert await bob.fetchval("SELECT COUNT(*) FROM terry.some") == 1
    with pytest.raises(DENIED):
        await bob.fetch("SELECT id FROM terry.items")
    await admin.execute("GRANT CREATE VIEW TO bob")
    with pytest.raises(DENIED):
        await bob.execute("CREATE VIEW mine AS SELECT n FROM terry.items")
    await terry.execute("GRANT SELECT ON items TO bob")
    await bob.execute("CREATE VIEW mine AS SELECT n FROM terry.items")
    await bob.execute("GRANT SELECT ON mine TO PUBLIC")
    assert await terry.fetchval("SELECT COUNT(*) FROM bob.mine") == 2
    await terry.execute("REVOKE SELECT ON items FROM bob")
    with pytest.raises(DENIED, match="user BOB lacks privilege SELECT on TERRY"):
        await terry.fetch("SELECT n FROM bob.mine")
    await bob.execute("DROP VIEW mine")
    await terry.execute("REVOKE SELECT ON some FROM bob")


async def test_rows_are_locked_by_those_who_may_update_them(clients: Clients) -> None:
    bob, terry = clients.bob, clients.terry
    await terry.execute("GRANT SELECT ON items TO bob")
    async with bob.transaction():
        await bob.fetch("SELECT id FROM terry.items WHERE id = 1 FOR SHARE")
        await bob.execute("LOCK TABLE terry.items IN SHARE MODE")
    for text in (
        "SELECT id FROM terry.items WHERE id = 1 FOR UPDATE",
        "LOCK TABLE terry.items IN EXCLUSIVE MODE",
    ):
        with pytest.raises(DENIED, match="UPDATE on TERRY"):
            async with bob.transaction():
                await bob.execute(text)
    await terry.execute("GRANT UPDATE ON items TO PUBLIC")
    async with bob.transaction():
        await bob.execute("SELECT id FROM terry.items WHERE id = 1 FOR UPDATE")
        await bob.execute("LOCK TABLE terry.items IN EXCLUSIVE MODE")
    await terry.execute("REVOKE ALL ON items FROM bob, PUBLIC")


@pytest.mark.parametrize(
    ("text", "first", "more"),
    [
        (
            "INSERT INTO terry.items VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = n",
            "INSERT",
            "UPDATE",
        ),
        ("INSERT INTO terry.items VALUES (100, 1) RETURNING n", "INSERT", "SELECT"),
        ("UPDATE terry.items SET n = n WHERE id = 1 RETURNING n", "UPDATE", "SELECT"),
        ("DELETE FROM terry.items WHERE id = 100 RETURNING n", "DELETE", "SELECT"),
        (
            "MERGE INTO terry.items t USING (SELECT 1 AS i FROM dual) s ON (t.id = s.i)"
            " WHEN MATCHED THEN UPDATE SET n = t.n",
            "SELECT",
            "UPDATE",
        ),
    ],
)
async def test_a_statement_that_does_two_things_needs_both(
    clients: Clients, text: str, first: str, more: str
) -> None:
    await clients.terry.execute(f"GRANT {first} ON items TO bob")
    with pytest.raises(DENIED, match=f"lacks privilege {more} on"):
        await clients.bob.execute(text)
    await clients.terry.execute(f"GRANT {more} ON items TO bob")
    await clients.bob.execute(text)
    await clients.terry.execute("REVOKE ALL ON items FROM bob")
    await clients.terry.execute("DELETE FROM items WHERE id >= 100")


async def test_defaults_are_the_owners(clients: Clients) -> None:
    bob, terry = clients.bob, clients.terry
    await terry.execute("CREATE SEQUENCE own START WITH 7")
    await terry.execute(
        "CREATE TABLE drawn (id NUMBER(10) DEFAULT own.NEXTVAL PRIMARY KEY, v NUMBER(10),"
        " i NUMBER(10) GENERATED ALWAYS AS IDENTITY)"
    )
    await terry.execute("GRANT INSERT, SELECT ON drawn TO bob")
    await bob.execute("INSERT INTO terry.drawn (v) VALUES (1)")
    await bob.copy_records_to_table("drawn", schema_name="terry", columns=["v"], records=[(2,)])
    assert await bob.fetchval("SELECT COUNT(id) FROM terry.drawn WHERE id >= 7 AND i > 0") == 2
    with pytest.raises(DENIED, match="SELECT on TERRY"):
        await bob.fetch("SELECT terry.own.NEXTVAL FROM dual")
    with pytest.raises(DENIED, match="SELECT on TERRY"):
        await bob.execute("INSERT INTO terry.drawn (v) SELECT terry.own.NEXTVAL FROM dual")
    await terry.execute("DROP TABLE drawn")
    await terry.execute("DROP SEQUENCE own")


async def test_copy_needs_what_select_and_insert_need(clients: Clients) -> None:
    bob, terry = clients.bob, clients.terry
    for text in ("COPY terry.items TO STDOUT", "COPY terry.items FROM STDIN"):
        with pytest.raises(DENIED):
            await bob.execute(text)
    await terry.execute("GRANT SELECT, INSERT ON items TO bob")
    await bob.copy_records_to_table("items", schema_name="terry", records=[(100, None)])
    await bob.copy_from_table("items", schema_name="terry", output=_nothing)
    await terry.execute("REVOKE ALL ON items FROM bob")
    await terry.execute("DELETE FROM items WHERE id = 100")


async def _nothing(_data: bytes) -> None: ...


async def test_who_may_refer_to_a_table_need_not_be_able_to_read_it(clients: Clients) -> None:
    bob, terry, admin = clients.bob, clients.terry, clients.admin
    await admin.execute("GRANT CREATE TABLE TO bob")
    await terry.execute("GRANT REFERENCES ON items TO bob")
    await bob.execute("CREATE TABLE parts (id NUMBER(10) PRIMARY KEY, item NUMBER(10))")
    await bob.execute("INSERT INTO parts VALUES (1, 1)")
    await bob.execute(
        "ALTER TABLE parts ADD CONSTRAINT f FOREIGN KEY (item) REFERENCES terry.items (id)"
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await bob.execute("INSERT INTO parts VALUES (2, 99)")
    await bob.execute("DROP TABLE parts")
    await terry.execute("REVOKE REFERENCES ON items FROM bob")


async def test_the_instance_administrator_is_one_whoever_has_his_name(clients: Clients) -> None:
    name = getpass.getuser()
    await clients.admin.execute(f'CREATE USER "{name}" IDENTIFIED BY x')
    again = await clients.grid.connect_admin(1)
    assert await again.fetchval("SELECT USER FROM dual") == "SYS"
    await again.execute(f'DROP USER "{name}"')
    await again.close()


async def test_a_dropped_user_is_nobody_at_once(clients: Clients) -> None:
    await clients.admin.execute("CREATE USER eve IDENTIFIED BY 'eve'")
    with pytest.raises(DENIED, match="CREATE SESSION"):
        await clients.login("eve", "eve", 1)
    await clients.admin.execute("GRANT CREATE SESSION TO eve")
    eve = await clients.login("eve", "eve", 1)
    assert await eve.fetchval("SELECT USER FROM dual") == "EVE"
    await clients.admin.execute("DROP USER eve")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="dropped"):
        await eve.fetch("SELECT USER FROM dual")
    await eve.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await clients.login("eve", "eve", 0)


async def test_no_password_is_kept_with_the_statements(clients: Clients) -> None:
    await clients.admin.execute("CREATE USER dan IDENTIFIED BY 'unheard-of'")
    await clients.admin.execute("ALTER USER dan IDENTIFIED BY 'unheard-of-2'")
    for node in clients.grid.nodes:
        assert node.instance is not None
        space = node.instance.database(DATABASE).space
        assert not [key for key in space._statements if "unheard" in key[0]]
        files = [f for f in node.home.rglob("*") if f.is_file()]
        assert len(files) > 2
        assert not [f for f in files if b"unheard-of" in f.read_bytes()]
    await clients.admin.execute("DROP USER dan")


async def test_rows_are_not_encrypted_in_the_files(clients: Clients) -> None:
    """What docs/guarantees.md says is not promised; and that the search above would find it."""
    await clients.terry.execute("CREATE TABLE plain (text VARCHAR2(40) PRIMARY KEY)")
    await clients.terry.execute("INSERT INTO plain VALUES ('unhidden-in-the-file')")
    files = [f for n in clients.grid.nodes for f in n.home.rglob("*") if f.is_file()]
    assert [f for f in files if b"unhidden-in-the-file" in f.read_bytes()]
    await clients.terry.execute("DROP TABLE plain")
