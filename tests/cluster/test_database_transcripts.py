"""The documented sessions T09 to T13, T36, T42 to T44, T46 and T50, replayed with real processes.

Two replica sets instead of three, ports and folders of the test. T35 (an element that recovers)
lasts too short to be caught here: tests/unit/mgmt/test_rollup.py has it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mgmt.cli import daemon_control
from protocol import instance_file
from tests.support.commands import CommandGrid
from tests.support.zookeeper import ZooKeeperProcess, free_ports

pytestmark = pytest.mark.timeout(300)
DATE = r"\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \S+ \d{4}"
EVENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
HOSTS = ("host3", "host4", "host5", "host6")
ELEMENTS = ("element level status", "Host  Instance  Elem Status Date/Time of Event  Message")
REPLICA_SETS = (
    "Replica Set status",
    "RS DS Elem Host  Instance  Status Date/Time of Event  Message",
)
DATA_SPACES = (
    "Data Space Group status",
    "DS RS Elem Host  Instance  Status Date/Time of Event  Message",
)


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[ZooKeeperProcess]:
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    server = ZooKeeperProcess(folder / "zookeeper")
    server.start()
    try:
        asyncio.run(server.ready())
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def grid(zookeeper: ZooKeeperProcess) -> Iterator[CommandGrid]:
    """Four data instances in two groups, started; no database."""
    folder = Path(tempfile.mkdtemp(prefix="tg-"))  # pytest's own folders have too long paths
    grid = CommandGrid(folder, zookeeper.hosts)
    try:
        assert grid.create_instance().code == 0
        grid.create_grid(2)
        grid.add_first_data_host()
        for number, group in ((4, 2), (5, 1), (6, 2)):
            grid.add_host(number, group, "-like", "host3", "-cascade")
        file = folder / "database1.dbdef"
        file.write_text(
            f"DataStore={folder}/!!INSTANCE_NAME!!/databases/database1\n"
            "DatabaseCharacterSet=AL32UTF8\nPermSize=256\nTempSize=128\n"
            "LockWait=3\nConnections=5\n"
        )
        assert grid.admin("dbdefCreate", str(file)) == ["Database Definition database1 created."]
        grid.admin("modelApply")
        yield grid
    finally:
        grid.stop_all()
        assert grid.running() == []
        shutil.rmtree(folder, ignore_errors=True)


def summary(grid: CommandGrid) -> list[str]:
    """Lines of the summary below its title."""
    lines = grid.admin("dbStatus", "database1")
    assert re.fullmatch(f"Database database1 summary status as of {DATE}", lines[0])
    assert lines[1] == ""
    return lines[2:]


def until_words(grid: CommandGrid, words: str) -> None:
    """Wait for the asynchronous command."""
    deadline_s = time.monotonic() + 30
    while summary(grid)[0] != words:
        assert time.monotonic() < deadline_s, summary(grid)
        time.sleep(0.1)  # other processes cannot be awaited, only asked


def administrator(grid: CommandGrid) -> psycopg.Connection[tuple[object, ...]]:
    home = grid.folder / "host3" / "instance1"
    return connect_local(home, "database1")


def connect_local(home: Path, database: str) -> psycopg.Connection[tuple[object, ...]]:
    """Direct mode: the instance administrator through the local socket."""
    port = instance_file.load(home).cs_port
    owner = home.owner()
    return psycopg.connect(
        host=str(home / "info"), port=port, user=owner, dbname=database, autocommit=True
    )


def appuser(grid: CommandGrid, host: str, **words: str) -> psycopg.Connection[tuple[object, ...]]:
    """A user over the network."""
    return psycopg.connect(
        host=host, port=grid.cs_port, dbname="database1", user="appuser", password="appuser",
        autocommit=True, application_name=words.get("application_name", ""),
    )  # fmt: skip


def test_t10_create_the_database(grid: CommandGrid) -> None:
    assert grid.admin("dbCreate", "database1") == ["Database database1 creation started"]
    until_words(grid, "created,loaded,closed")
    assert summary(grid) == [
        "created,loaded,closed",
        "Completely created elements: 4 (of 4)",
        "Completely loaded elements: 4 (of 4)",
        "",
        "Open elements: 0 (of 4)",
    ]
    assert "exists already" in grid.refused("dbCreate", "database1")


def test_t11_open_before_a_map_exists(grid: CommandGrid) -> None:
    assert "distribution map" in grid.refused("dbOpen", "database1")
    with administrator(grid) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute("CREATE USER appuser IDENTIFIED BY 'appuser'")
    assert refused.value.sqlstate == "55000"


def test_t12_distribution_map_and_open(grid: CommandGrid) -> None:
    assert "-apply" in grid.refused("dbDistribute", "database1", "-add", "all")
    lines = grid.admin("dbDistribute", "database1", "-add", "all", "-apply")
    assert lines == [
        *(f"Element {host}.instance1 is added" for host in HOSTS),
        "Distribution map updated",
    ]
    assert grid.admin("dbOpen", "database1") == ["Database database1 open started"]
    until_words(grid, "created,loaded-complete,open")
    assert summary(grid) == [
        "created,loaded-complete,open",
        "Completely created elements: 4 (of 4)",
        "Completely loaded elements: 4 (of 4)",
        "Completely created replica sets: 2 (of 2)",
        "Completely loaded replica sets: 2 (of 2)",
        "",
        "Open elements: 4 (of 4)",
    ]
    with administrator(grid) as connection:
        connection.execute("CREATE USER appuser IDENTIFIED BY 'appuser'")
        connection.execute("CREATE TABLE appuser.t (c NUMBER)")


def test_t13_full_status(grid: CommandGrid) -> None:
    text = "\n".join(grid.admin("dbStatus", "database1", "-all"))
    parts = text.split("\n\nDatabase ")
    assert len(parts) == 4
    element = "".join(
        rf"\n{host} instance1    {number} opened {EVENT}" for number, host in enumerate(HOSTS, 1)
    )
    sets = (
        rf"\n 1  1    1 host3 instance1 opened {EVENT}\n    2    2 host4 instance1 opened {EVENT}"
        rf"\n 2  1    3 host5 instance1 opened {EVENT}\n    2    4 host6 instance1 opened {EVENT}"
    )
    spaces = (
        rf"\n 1  1    1 host3 instance1 opened {EVENT}\n    2    3 host5 instance1 opened {EVENT}"
        rf"\n 2  1    2 host4 instance1 opened {EVENT}\n    2    4 host6 instance1 opened {EVENT}"
    )
    expected = ((ELEMENTS, element), (REPLICA_SETS, sets), (DATA_SPACES, spaces))
    for part, ((title, headings), rows) in zip(parts[1:], expected, strict=True):
        assert re.fullmatch(
            rf"database1 {title} as of {DATE}\n\n{re.escape(headings)}\n[- ]+{rows}", part
        ), part
    assert grid.admin("dbList")[2].split() == ["database1", "Y", "Y"]


def test_attributes_of_the_definition_hold_for_sessions(grid: CommandGrid) -> None:
    with administrator(grid) as connection:
        assert connection.execute("SHOW lock_wait").fetchall() == [("3",)]
        connection.execute("GRANT CREATE SESSION TO appuser")
    sessions = [appuser(grid, "127.0.1.13") for _ in range(5)]
    try:
        with pytest.raises(psycopg.OperationalError, match="no more are allowed"):
            appuser(grid, "127.0.1.13")
        with administrator(grid) as connection:  # there is always room for the administrator
            assert connection.execute("SELECT 1 FROM dual").fetchall()
        assert grid.admin("dbStatus", "database1", "-details")[4].split()[-1] == "5"
    finally:
        for session in sessions:
            session.close()


def test_connections_are_shown(grid: CommandGrid) -> None:
    with appuser(grid, "127.0.1.13", application_name="reports"), administrator(grid):
        lines = grid.admin("dbStatus", "database1", "-connections")
        assert re.fullmatch(f"Database database1 connections as of {DATE}", lines[0])
        words = "Host Instance ConnId Name Pid Type User Client State Connected"
        assert lines[2].split() == words.split()
        rows = [line.split() for line in lines[4:]]
        assert sorted((row[0], row[3], *row[-6:-4]) for row in rows) == [
            ("host3", str(os.getpid()), "direct", grid.folder.owner().upper()),
            ("host3", "reports", "client", "APPUSER"),
        ]
    assert "-connections" in grid.refused("dbStatus", "database1", "-system")


def transfer_ended(grid: CommandGrid, kind: str) -> list[str]:
    """Lines of a status, once its last one says that it is over."""
    deadline_s = time.monotonic() + 30
    while True:
        lines = grid.admin(f"db{kind}Status", "database1")
        if "InProgress" not in lines[-1]:
            return lines
        assert time.monotonic() < deadline_s, lines
        time.sleep(0.1)  # other processes cannot be awaited, only asked


def test_t43_t44_t46_repository_backup_restore_and_logs(grid: CommandGrid) -> None:
    folder = grid.folder / "repositories"
    folder.mkdir()
    words = ("-path", str(folder), "-method", "mount")
    assert grid.admin("repositoryCreate", "repo1", *words) == ["Repository repo1 created"]
    with administrator(grid) as connection:
        connection.execute("CREATE TABLE appuser.kept (id NUMBER(9) PRIMARY KEY)")
        connection.execute("INSERT INTO appuser.kept VALUES (7)")
    backup = ("dbBackup", "database1", "-repository", "repo1", "-name", "b1")
    assert grid.admin(*backup) == ["dbBackup b1 started"]
    lines = transfer_ended(grid, "Backup")
    headings = ("Database", "Backup", "Repository", "Host", "Instance", "Elem", "State")
    assert lines[0].split() == [*headings, "Started", "Finished"]
    for line in lines[2:4]:
        assert re.fullmatch(
            rf"database1 b1 +repo1 +host\d instance1 +\d Completed {EVENT} {EVENT}", line
        )
    assert re.fullmatch(rf"database1 b1 +repo1 +Completed {EVENT} {EVENT}", lines[4])

    again = grid.refused("dbRestore", "database1", "-repository", "repo1", "-backup", "b1")
    assert "database database1 exists already" in again
    for command in ("dbClose", "dbUnload", "dbDestroy"):
        grid.admin(command, "database1", "-wait")
    restore = ("dbRestore", "database1", "-repository", "repo1", "-backup", "b1")
    assert grid.admin(*restore) == ["dbRestore b1 started"]
    lines = transfer_ended(grid, "Restore")
    assert [line.split()[6] for line in lines[2:6]] == ["Completed"] * 4
    grid.admin("dbLoad", "database1", "-wait")
    grid.admin("dbOpen", "database1", "-wait")
    until_words(grid, "created,loaded-complete,open")
    with administrator(grid) as connection:
        assert connection.execute("SELECT id FROM appuser.kept").fetchall() == [(7,)]
        connection.execute("DROP TABLE appuser.kept")

    assert grid.admin("gridLogCollect", "-repository", "repo1", "mycollection") == [
        "Logs copied to collection mycollection in repository repo1"
    ]
    collected = folder / "repo1" / "mycollection"
    assert len(list(collected.glob("host*.instance1/ttmesg.log"))) == 5
    unnamed = grid.admin("dbBackup", "database1", "-repository", "repo1", "-wait")
    assert re.fullmatch(r"dbBackup B\d{14} started", unnamed[0])
    name = unnamed[0].split()[1]
    deleted = grid.admin("dbBackupDelete", "-repository", "repo1", "-name", name)
    assert deleted == [f"Backup {name} deleted from repo1"]


def dbdef2(grid: CommandGrid, perm_size: int) -> str:
    file = grid.folder / "database2.dbdef"
    file.write_text(
        f"DataStore={grid.folder}/!!INSTANCE_NAME!!/databases/database2\n"
        f"DatabaseCharacterSet=AL32UTF8\nPermSize={perm_size}\nConnections=3\nLogBufMB=64\n"
    )
    return str(file)


def fill(connection: psycopg.Connection[tuple[object, ...]], slices: int) -> int:
    """Insert 200 KB at a time; how often that went well."""
    for number in range(slices):
        rows = ",".join(f"({number * 200 + n}, '{'x' * 1000}')" for n in range(200))
        try:
            connection.execute(f"INSERT INTO appuser.full2 VALUES {rows}".encode())
        except psycopg.errors.DiskFull as error:
            assert "TT0802" in str(error)
            assert "PermSize is 8 MB" in str(error)
            return number
    return slices


def test_a_second_database_has_its_own_users_map_and_attributes(grid: CommandGrid) -> None:
    answer = grid.run("ttGridAdmin", "dbdefCreate", dbdef2(grid, 8))
    warning = "Warning: database definition database2: LogBufMB has no meaning here"
    assert answer.errors.splitlines() == [warning]
    grid.admin("modelApply")
    grid.admin("dbCreate", "database2", "-wait", "60")
    grid.admin("dbDistribute", "database2", "-add", "host3", "-add", "host4", "-apply")
    grid.admin("dbOpen", "database2", "-wait", "60")
    sets = grid.admin("dbStatus", "database2", "-replicaSet")[4:]
    assert [line.split()[-5] for line in sets] == ["host3", "host4"]
    assert summary(grid)[0] == "created,loaded-complete,open"  # database1
    rows = [line.split() for line in grid.admin("dbList")[2:]]
    assert rows == [["database1", "Y", "Y"], ["database2", "Y", "Y"]]
    with connect_local(grid.folder / "host4" / "instance1", "database2") as connection:
        assert not connection.execute(
            "SELECT username FROM sys.all_users WHERE username = 'APPUSER'"
        ).fetchall()
        connection.execute("CREATE USER appuser IDENTIFIED BY 'other'")
        connection.execute(
            "CREATE TABLE appuser.full2 (id NUMBER(10) PRIMARY KEY, v VARCHAR2(1000))"
        )
        room = fill(connection, 120)  # two sets of 8 MB hold about 60; logs have room of their own
        assert 10 < room < 120
        count = connection.execute("SELECT COUNT(*) FROM appuser.full2").fetchone()
        assert count == (room * 200,)
    with pytest.raises(psycopg.OperationalError, match="3502"):  # outside the map
        connect_local(grid.folder / "host5" / "instance1", "database2")
    with administrator(grid) as connection:  # of database1
        assert connection.execute("SELECT COUNT(*) FROM appuser.t").fetchone() == (0,)

    grid.admin("dbdefModify", dbdef2(grid, 64))
    grid.admin("modelApply")
    for command in ("dbClose", "dbUnload", "dbLoad", "dbOpen"):
        grid.admin(command, "database2", "-wait", "60")
    with connect_local(grid.folder / "host3" / "instance1", "database2") as connection:
        connection.execute("DELETE FROM appuser.full2")
        assert fill(connection, 120) == 120, "there is more room since the reload"

    for command in ("dbClose", "dbUnload", "dbDestroy"):
        grid.admin(command, "database2", "-wait", "60")
    assert [line.split() for line in grid.admin("dbList")[2:]] == [["database1", "Y", "Y"]]
    assert summary(grid)[0] == "created,loaded-complete,open"
    grid.admin("dbdefDelete", "database2")


def test_t36_a_data_instance_down_and_restarted(grid: CommandGrid) -> None:
    only = ("instanceExec", "-only", "host4.instance1", "ttDaemonAdmin")
    grid.admin(*only, "-stop")
    lines = grid.admin("dbStatus", "database1", "-element")
    assert lines[5] == "host4 instance1    2 down"
    assert summary(grid)[0] == "created,loaded-functional,open"
    assert summary(grid)[2] == "Completely loaded elements: 3 (of 4)"
    waiting = grid.run("ttGridAdmin", "dbClose", "database1", "-wait", "1")
    assert waiting.code == 4, waiting
    assert "has not finished after 1 s" in waiting.errors
    grid.admin("dbOpen", "database1")
    assert grid.admin(*only, "-start")[:2] == ["Overall return code: 0", "Commands executed on:"]
    until_words(grid, "created,loaded-complete,open")


def disconnected(grid: CommandGrid) -> list[list[str]]:
    """Rows of dbDisconnectStatus, when it is complete."""
    deadline_s = time.monotonic() + 30
    while True:
        lines = grid.admin("dbDisconnectStatus", "database1")
        assert lines[0].split()[:5] == ["Database", "Mode", "Host", "Instance", "State"]
        rows = [line.split() for line in lines[2:]]
        if rows[0][2] == "Complete":
            return rows
        assert rows[0][2] == "Disconnecting"
        assert time.monotonic() < deadline_s, lines
        time.sleep(0.1)  # other processes cannot be awaited, only asked


def test_t42_orderly_shutdown_and_destroy(grid: CommandGrid) -> None:
    with appuser(grid, "127.0.1.14") as idle, appuser(grid, "127.0.1.13") as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO t VALUES (1)")
        assert grid.admin("dbClose", "database1") == ["Database database1 close started"]
        until_words(grid, "created,loaded-complete,closed")
        with pytest.raises(psycopg.OperationalError, match="is closed"):
            appuser(grid, "127.0.1.13")
        assert "-transactional" in grid.refused("dbDisconnect", "database1")
        started = ["Database database1 disconnect started"]
        assert grid.admin("dbDisconnect", "database1", "-transactional") == started
        waiting = grid.run(
            "ttGridAdmin", "dbDisconnect", "database1", "-transactional", "-wait", "1"
        )
        assert (waiting.code, "has not finished" in waiting.errors) == (4, True)
        writer.execute("COMMIT")  # it was allowed to finish
        rows = disconnected(grid)
        assert [row[:3] for row in rows[1:]] == [[h, "instance1", "Disconnected"] for h in HOSTS]
        with pytest.raises(psycopg.OperationalError, match="administrator ended"):
            idle.execute("SELECT 1 FROM dual")
    grid.admin("dbDisconnect", "database1", "-immediate", "-wait", "30")
    grid.admin("dbOpen", "database1", "-wait", "30")
    with administrator(grid) as connection:
        assert connection.execute("SELECT c FROM appuser.t").fetchall() == [(1,)]
    assert "loaded" in grid.refused("dbDestroy", "database1")
    assert "Close it first" in grid.refused("dbUnload", "database1")
    assert grid.admin("dbClose", "database1") == ["Database database1 close started"]
    until_words(grid, "created,loaded-complete,closed")
    assert grid.admin("dbUnload", "database1") == ["Database database1 unload started"]
    until_words(grid, "created,unloaded,closed")
    assert grid.admin("dbStatus", "database1", "-loadReadiness")[-2:] == [
        "database1 load state: Loadable",
        "Total Elements Loaded:0/4",
    ]
    assert "exists" in grid.refused("dbdefDelete", "database1")
    lines = grid.admin("dbDestroy", "database1", "-wait", "30")
    assert lines == ["Database DATABASE1 destroy started"]
    assert "does not exist" in grid.refused("dbStatus", "database1")
    for host in HOSTS:
        assert not (grid.folder / f"{host}.instance1" / "databases" / "database1").exists()
    deleted = grid.admin("dbdefDelete", "database1")
    assert deleted == ["Database Definition database1 deleted"]
    assert grid.admin("modelApply")[-1] == "ttGridAdmin modelApply complete"


def test_t41_one_copy_and_durability_0_do_not_go_together(zookeeper: ZooKeeperProcess) -> None:
    """And T50: ttGridRollout walks the whole way from one file, the init script included."""
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    try:
        tools = CommandGrid(folder, zookeeper.hosts)
        refused = tools.tool("ttGridRollout", str(rollout_file(tools, durability=0)))
        assert refused.code != 0
        assert "Durability=0 needs K of at least 2" in refused.errors + refused.output
        stop_below(folder)  # the rollout has begun, and says so
        shutil.rmtree(folder / "home")
        done = tools.tool("ttGridRollout", str(rollout_file(tools, durability=1)))
        assert done.code == 0, done.output + done.errors
        assert "Running init.sql" in done.output
        homes = sorted((folder / "home").glob("host*/instance1"))
        assert len(homes) == 2
        for home in homes:
            with connect_local(home, "sampledb") as connection:
                rows = connection.execute("SELECT count(*) FROM appuser.t").fetchall()
                assert rows == [(2,)]
    finally:
        stop_below(folder)
        shutil.rmtree(folder, ignore_errors=True)


def stop_below(folder: Path) -> None:
    """All instances that a rollout has made."""
    for file in folder.glob("home/**/conf/instance.toml"):
        daemon_control.stop(file.parent.parent, force=True)


def rollout_file(tools: CommandGrid, *, durability: int) -> Path:
    """A grid of one copy on two data instances."""
    folder = tools.folder
    daemon, sql, api = free_ports(3)
    ports = f'"daemonport":{daemon}, "csport":{sql}, "mgmtport":{api}'
    (folder / "sampledb.dbdef").write_text(
        f"DataStore={folder}/home/!!INSTANCE_NAME!!/sampledb\nDatabaseCharacterSet=AL32UTF8\n"
        f"Durability={durability}\nPermSize=128\nTempSize=128\nLogBufMB=64\n"
    )
    (folder / "init.sql").write_text(
        "-- run by ttGridRollout\nCREATE USER appuser IDENTIFIED BY 'appuser';\n"
        "CREATE TABLE appuser.t (a NUMBER NOT NULL PRIMARY KEY);\n"
        "INSERT INTO appuser.t VALUES (1);\nINSERT INTO appuser.t VALUES (2);\n"
    )
    instances = ",\n".join(
        f'  {{"host":"host{n}", "internalAddress":"127.0.0.{10 + n}",'
        f' "externalAddress":"127.0.1.{10 + n}", {ports}}}'
        for n in (3, 4)
    )
    file = folder / f"rollout{durability}.conf"
    file.write_text(
        f"grid_name = rolled{durability}\nk = 1\nzoo_conf = membership.conf\n"
        f"instance_location = {folder}/home\nmgmt_location = {folder}/home/management\n"
        f"dbdef_file = sampledb.dbdef\ninit_script = init.sql\n"
        f'mgmt_instances = [\n  {{"host":"host1", "address":"127.0.0.11", {ports}}}\n]\n'
        f"data_instances = [\n{instances}\n]\n"
    )
    return file
