"""SYS, ALL_, USER_, DBA_ and V$, GV$ views: who sees what, and that what they show is so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from data.catalog.pg_schema import SYS_RELATIONS
from data.catalog.sys_access import RESTRICTED
from data.exec import distribution_views, instance_views
from tests.integration.access.test_privileges import Clients
from tests.support.memory_grid import MemoryGrid

pytestmark = pytest.mark.asyncio(loop_scope="module")
DENIED = asyncpg.InsufficientPrivilegeError


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (instance_views, distribution_views):  # a busy machine answers too
            patch.setattr(module, "ANSWER_TIMEOUT_S", 60.0)
        async for found in _clients(tmp_path_factory):
            yield found


async def _clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    made = Clients(MemoryGrid(Path(tmp_path_factory.mktemp("grid")), session_timeout_s=5.0))
    await made.start()
    yield made
    await made.stop()


async def column(client: asyncpg.Connection, text: str) -> list[object]:
    return [row[0] for row in await client.fetch(text)]


async def test_every_view_can_be_read_and_the_restricted_ones_not_by_all(clients: Clients) -> None:
    for relation in SYS_RELATIONS:
        name = "sys." + relation.name.replace("v__", "v$")
        text = f"SELECT * FROM {name}"
        rows = await clients.admin.fetch(text)
        assert all(len(row) == len(relation.columns) for row in rows), name
        if relation.name in RESTRICTED:
            with pytest.raises(DENIED, match="lacks privilege SELECT ANY TABLE to read SYS"):
                await clients.bob.fetch(text)
        else:
            await clients.bob.fetch(text)
    await clients.admin.execute("GRANT SELECT ANY TABLE TO bob")
    assert "BOB" in await column(clients.bob, "SELECT username FROM dba_users")
    await clients.admin.execute("REVOKE SELECT ANY TABLE FROM bob")


async def test_users_are_named_as_timestens_views_name_them(clients: Clients) -> None:
    terry = clients.terry
    for user in ("USER", "user", "CURRENT_USER", "SESSION_USER"):
        own = f"SELECT table_name FROM all_tables WHERE owner = {user}"
        assert await column(terry, own) == ["ITEMS"], user
    mine = "SELECT user FROM all_tables WHERE table_name = 'ITEMS'"
    assert await column(terry, mine) == ["TERRY"]


async def test_users_see_what_they_have_a_privilege_on(clients: Clients) -> None:
    bob, terry = clients.bob, clients.terry
    queries = (
        "SELECT table_name FROM all_tables WHERE owner = 'TERRY'",
        "SELECT DISTINCT table_name FROM all_tab_columns WHERE table_name = 'ITEMS'",
        "SELECT DISTINCT table_name FROM all_constraints WHERE owner = 'TERRY'",
        "SELECT DISTINCT table_name FROM all_ind_columns WHERE table_owner = 'TERRY'",
        "SELECT DISTINCT table_name FROM all_indexes WHERE owner = 'TERRY'",
        "SELECT tblname FROM sys.tables WHERE tblowner = 'TERRY'",
        "SELECT DISTINCT 'ITEMS' FROM sys.columns WHERE colname = 'N'",
        "SELECT DISTINCT 'ITEMS' FROM sys.indexes WHERE ixowner = 'TERRY'",
    )
    for text in queries:
        assert await column(terry, text) == ["ITEMS"]
        assert await column(bob, text) == []
    await terry.execute("GRANT REFERENCES ON items TO bob")
    for text in queries:
        assert await column(bob, text) == ["ITEMS"], text
    await terry.execute("REVOKE ALL ON items FROM bob")
    objects = "SELECT object_type FROM all_objects WHERE owner = 'TERRY' AND object_name = {}"
    for name, kind in (("'SOME'", "VIEW"), ("'NUMBERS'", "SEQUENCE")):
        assert await column(bob, objects.format(name)) == []
        await terry.execute(f"GRANT SELECT ON {name.strip(chr(39))} TO PUBLIC")
        assert await column(bob, objects.format(name)) == [kind]
        await terry.execute(f"REVOKE SELECT ON {name.strip(chr(39))} FROM PUBLIC")


async def test_grants_and_users_are_shown_as_they_are(clients: Clients) -> None:
    bob, terry, admin = clients.bob, clients.terry, clients.admin
    await terry.execute("GRANT SELECT, UPDATE ON items TO bob")
    mine = "SELECT privilege FROM {} WHERE table_name = 'ITEMS' ORDER BY 1"
    for view in ("user_tab_privs", "all_tab_privs"):
        assert await column(bob, mine.format(view)) == ["SELECT", "UPDATE"]
        assert await column(terry, mine.format(view)) == ["SELECT", "UPDATE"]
    await terry.execute("REVOKE ALL ON items FROM bob")
    assert await column(bob, mine.format("all_tab_privs")) == []
    text = "SELECT privilege FROM user_sys_privs WHERE username = 'BOB'"
    assert await column(bob, text) == ["CREATE SESSION"]
    await admin.execute("GRANT CREATE TABLE TO PUBLIC")
    text = "SELECT privilege FROM sys.dba_sys_privs WHERE grantee = 'PUBLIC'"
    assert await column(admin, text) == ["CREATE TABLE"]
    await admin.execute("REVOKE CREATE TABLE FROM PUBLIC")
    text = "SELECT table_name FROM dba_tab_privs WHERE grantee = 'PUBLIC' AND owner = 'SYS'"
    public = await column(admin, text)
    assert {"ALL_TABLES", "V$DISTRIBUTION_CURRENT"} < set(public)
    assert "DBA_USERS" not in public
    assert await column(bob, "SELECT username FROM user_users") == ["BOB"]
    assert {"BOB", "TERRY"} < set(await column(bob, "SELECT username FROM all_users"))
    row = await admin.fetchrow("SELECT * FROM dba_users WHERE username = 'BOB'")
    assert (row["account_status"], row["profile"]) == ("OPEN", "DEFAULT")
    assert row["authentication_type"] == "PASSWORD"
    assert row["created"] is not None
    limits = await admin.fetch("SELECT resource_name, limit FROM sys.dba_profiles")
    assert dict(map(tuple, limits))["FAILED_LOGIN_ATTEMPTS"] == "10"


async def test_gv_views_tell_of_all_elements(clients: Clients) -> None:
    elements = {node.spec.element for node in clients.grid.nodes}
    local = {r.name for r in SYS_RELATIONS if r.name.startswith("v__")}
    several = ("monitor", "block_info", "version", "host_name", "gridstats", "bookmark")
    for name in several:
        assert f"v__{name}" in local
        found = await clients.bob.fetch(f"SELECT elementid FROM sys.gv${name}")
        assert {row[0] for row in found} == elements, name
        mine = await clients.bob.fetch(f"SELECT elementid FROM sys.v${name}")
        assert {row[0] for row in mine} == {2}, name


async def test_the_distribution_as_a_routing_client_asks_for_it(clients: Clients) -> None:
    """The query of TimesTen's sample TPTBM, as an ordinary user."""
    rows = await clients.bob.fetch(
        "SELECT hostexternaladdress, serverport, mappedelementid, repset, dataspace"
        " FROM sys.v$distribution_current ORDER BY repset, dataspace"
    )
    nodes = {node.spec.element: node for node in clients.grid.nodes}
    assert [(row[2], row[3], row[4]) for row in rows] == [
        (1, 1, 1),
        (2, 1, 2),
        (3, 2, 1),
        (4, 2, 2),
    ]
    assert [row[1] for row in rows] == [nodes[row[2]].settings.cs_port for row in rows]
    assert {row[0] for row in rows} == {"127.0.0.1"}
    for text, expected in (
        ("SELECT ptversion, elementid FROM v$distribution_version", {(1, 2)}),
        ("SELECT ptversion, elementid FROM gv$distribution_version", {(1, n) for n in nodes}),
        (
            "SELECT stateelementid, state FROM gv$distribution_state WHERE elementid = 3",
            {(number, "Active") for number in nodes},
        ),
        (
            "SELECT mappedelementid, status, buckets FROM v$distribution_map",
            {(number, "current", 2048) for number in nodes},
        ),
    ):
        assert {tuple(row) for row in await clients.bob.fetch(text)} == expected, text


async def test_tables_of_the_management_are_not_here(clients: Clients) -> None:
    for text in ("SELECT * FROM ttgridadmin.hosts", "SELECT * FROM sys.hosts"):
        with pytest.raises(asyncpg.UndefinedTableError):
            await clients.admin.fetch(text)


async def test_values_are_real_and_move(clients: Clients) -> None:
    bob, terry, admin = clients.bob, clients.terry, clients.admin
    text = "SELECT paramvalue FROM v$configuration WHERE paramname = 'TTGrid'"
    assert await bob.fetchval(text) == "1"
    text = "SELECT paramvalue FROM v$configuration WHERE paramname = 'PermSize'"
    perm_mb = int(await bob.fetchval(text))
    before = await terry.fetchrow("SELECT * FROM sys.monitor")
    assert before["perm_allocated_size"] == perm_mb * 1024
    assert 0 < before["perm_in_use_size"] <= before["perm_in_use_high_water"]
    assert before["lock_grants_immed"] is None, "what nobody counts is NULL"
    lsn = "SELECT value FROM sys.systemstats WHERE name = 'log.lsn'"
    lsn_before = await terry.fetchval(lsn)
    await terry.execute("CREATE TABLE filled (id NUMBER(10) PRIMARY KEY, v VARCHAR2(4000))")
    rows = [(number, "x" * 2000) for number in range(500)]
    await terry.executemany("INSERT INTO filled VALUES ($1, $2)", rows)
    await (await clients.grid.connect(0)).close()
    after = await terry.fetchrow("SELECT * FROM v$monitor")
    assert after["perm_in_use_size"] > before["perm_in_use_size"]
    assert after["ds_connects"] == before["ds_connects"] + 1
    assert after["cmd_prepares"] > before["cmd_prepares"]
    assert await terry.fetchval(lsn) > lsn_before
    async with terry.transaction():
        await terry.execute("UPDATE filled SET v = 'y' WHERE id = 1")
        other = await clients.grid.connect(0)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute("SELECT id FROM filled WHERE id = 1 FOR UPDATE NOWAIT")
        await other.close()
    timeouts = await column(bob, "SELECT lock_timeouts FROM gv$monitor")
    assert sum(timeouts) == 1  # type: ignore[arg-type]  # numbers
    texts = await column(admin, "SELECT querytext FROM v$sql_cmd_cache WHERE owner = 'TERRY'")
    assert any("filled" in str(text) for text in texts)
    assert await bob.fetchval("SELECT status FROM v$backup_status") == 0
    holds = await bob.fetch("SELECT holdlfo, type FROM v$log_holds")
    assert holds[0]["type"] == "Log"
    await terry.execute("DROP TABLE filled")


async def test_how_far_sequences_are(clients: Clients) -> None:
    terry = clients.terry
    await terry.execute("CREATE SEQUENCE counted START WITH 5 INCREMENT BY 2 CACHE 5 BATCH 10")
    text = (
        "SELECT lastnumber, lastbatchnumber, globallastbatchnumber FROM sys.sequences"
        " WHERE name = 'COUNTED'"
    )
    assert tuple(await terry.fetchrow(text)) == (None, None, None)
    for number in (5, 7):
        assert await terry.fetchval("SELECT counted.NEXTVAL FROM dual") == number
    assert tuple(await terry.fetchrow(text)) == (7, 23, 23)
    other = await clients.grid.connect(2)
    assert await other.fetchval("SELECT counted.NEXTVAL FROM dual") == 25
    assert tuple(await other.fetchrow(text)) == (25, 43, 43)
    assert tuple(await terry.fetchrow(text)) == (7, 23, 43)
    last = "SELECT last_number FROM user_sequences WHERE sequence_name = 'COUNTED'"
    assert await terry.fetchval(last) == 43
    await other.close()
    await terry.execute("DROP SEQUENCE counted")


async def test_the_plan_of_the_last_explain(clients: Clients) -> None:
    bob, terry = clients.bob, clients.terry
    assert await terry.fetch("SELECT * FROM sys.plan") == []
    shown = await column(terry, "EXPLAIN SELECT id FROM items WHERE id = 1")
    rows = await terry.fetch("SELECT step, level, operation, tblname FROM sys.plan")
    assert [row["step"] for row in rows] == list(range(1, len(shown) + 1))
    assert [str(line).split("  (")[0].strip() for line in shown] == [r["operation"] for r in rows]
    assert [row["level"] for row in rows][:2] == [1, 2]
    assert await bob.fetch("SELECT * FROM sys.plan") == [], "it is each session's own"


async def test_statistics_are_shown_when_they_were_taken(clients: Clients) -> None:
    text = "SELECT num_rows, last_analyzed FROM user_tables WHERE table_name = 'ITEMS'"
    columns = "SELECT column_name, num_distinct, num_nulls FROM user_tab_columns ORDER BY column_id"
    assert tuple(await clients.terry.fetchrow(text)) == (None, None)
    await clients.terry.execute("CALL ttOptUpdateStats('items')")
    rows, when = await clients.terry.fetchrow(text)
    assert rows == 2
    assert when is not None
    found = [tuple(row) for row in await clients.terry.fetch(columns)]
    assert ("N", 2, 0) in found
    values = "SELECT maxval FROM sys.col_stats WHERE uniq = 2"
    assert await column(clients.terry, values) != []
    await clients.terry.execute("GRANT INSERT ON items TO bob")
    assert await column(clients.bob, "SELECT numtups FROM sys.tbl_stats") == [2]
    assert await column(clients.bob, values) == [], "values are for those who may read the table"
    await clients.terry.execute("REVOKE INSERT ON items FROM bob")
    assert await column(clients.bob, "SELECT numtups FROM sys.tbl_stats") == []
    await clients.terry.execute("CALL ttOptClearStats('items')")
    assert await clients.terry.fetchval(text) is None


async def test_checkpoints_are_told(clients: Clients) -> None:
    node = clients.grid.nodes[0]
    assert node.instance is not None
    element = node.instance.database("database1").element
    element._keeper._checkpoint()  # as it would begin by itself after 8 MB
    row = await clients.terry.fetchrow("SELECT * FROM v$ckpt_history")
    assert (row["type"], row["status"], row["ckptvno"]) == ("Fuzzy", "Completed", 1)
    assert row["bytes"] == row["blocks"] * 4096 > 0
    assert row["endtime"] >= row["starttime"]


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE sys.tables SET tblname = 'X'",
        "DELETE FROM sys.dba_users",
        "INSERT INTO sys.v$monitor (ds_connects) VALUES (1)",
        "DROP TABLE sys.tables",
        "CREATE TABLE sys.mine (a INT)",
        "ALTER TABLE sys.tables ADD x INT",
        "TRUNCATE TABLE sys.tables",
    ],
)
async def test_system_views_are_read_only(clients: Clients, text: str) -> None:
    with pytest.raises(DENIED):
        await clients.admin.execute(text)
