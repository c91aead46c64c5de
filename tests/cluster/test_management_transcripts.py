"""The documented sessions T01, T02, T04 to T09, T36, T42 (the model's part), T47 and T48.

Replayed with the real commands, daemons and a ZooKeeper server, in the order a user types them;
the standby's lines are left out. Ports and folders are those of the test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import instance_file
from tests.support.commands import CommandGrid
from tests.support.zookeeper import ZooKeeperProcess

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandGrid]:
    folder = tmp_path_factory.mktemp("grid")
    zookeeper = ZooKeeperProcess(folder / "zookeeper")
    zookeeper.start()
    try:
        asyncio.run(zookeeper.ready())
        grid = CommandGrid(folder, zookeeper.hosts)
        try:
            yield grid
        finally:
            grid.stop_all()
        assert grid.running() == []
    finally:
        zookeeper.kill()


def progress(*titles: str) -> list[str]:
    """Titles as modelApply prints them."""
    return [title.ljust(70, ".") + "OK" for title in titles]


def test_t01_first_management_instance(grid: CommandGrid) -> None:
    answer = grid.create_instance()
    assert answer.code == 0, answer.errors
    home = grid.home
    expected = f"""Creating instance in {home} ...
INFO: Mapping files from the installation to {home}/install
NOTE: The TimesTen daemon startup/shutdown scripts have not been installed.
The startup script is located here :
        '{home}/startup/tt_instance1'
Run the 'setuproot' script :
        {home}/bin/setuproot -install""".splitlines()
    assert answer.lines[: len(expected)] == expected
    assert answer.lines[-1] == f"  '{grid.installation}/README.html'"
    assert instance_file.load(home).daemon_port == grid.daemon_port
    for script in ("ttenv.sh", "ttenv.csh"):
        assert f"TIMESTEN_HOME {home}" in (home / "bin" / script).read_text().replace("=", " ")
    again = grid.create_instance()
    assert again.code == 1
    assert "exists already" in again.errors


def test_t02_grid(grid: CommandGrid) -> None:
    for k in ("0", "6"):
        file = str(grid.folder / "membership.conf")
        words = ("gridCreate", "grid1", "-k", k, "-address", "127.0.0.11")
        assert "must be 1 to 5" in grid.refused(*words, "-membershipConfig", file)
    assert grid.create_grid(2) == ["Grid grid1 created"]
    hosts = json.loads("\n".join(grid.admin("hostList", "-o", "json")))["hosts"]
    assert [h["name"] for h in hosts] == ["host1"]
    assert len(grid.admin("instanceList")) == len(grid.admin("installationList")) == 3


def test_t04_data_host_installation_instance(grid: CommandGrid) -> None:
    assert grid.add_first_data_host() == [
        "Host host3 created in Model",
        "Installation installation1 on Host host3 created in Model",
        "Instance instance1 on Host host3 created in Model",
    ]


def test_t05_remaining_data_hosts(grid: CommandGrid) -> None:
    for number, group in ((4, 2), (5, 1), (6, 2)):
        assert grid.add_host(number, group, "-like", "host3", "-cascade") == [
            f"Host host{number} created in Model",
            "Installation installation1 created in Model",
            "Instance instance1 created in Model",
        ]
    assert not (grid.folder / "host3").exists()


def test_t06_lists_before_apply(grid: CommandGrid) -> None:
    hosts = grid.admin("HOSTLIST")
    assert hosts[0].split() == ["Name", "IntAddress", "ExtAddress", "DSG", "Comment"]
    assert hosts[3].split() == ["host3", "127.0.0.13", "127.0.1.13", "1"]
    assert len(hosts) == 2 + 5
    instances = grid.admin("instanceList")
    headings = "Host Instance Type Instance Home Port CSPort MgmtPort Comment"
    assert instances[0].split() == headings.split()
    assert instances[2].split()[2::4] == ["Mgmt", str(grid.mgmt_port)]
    assert instances[3].split()[2] == "Data"
    assert instances[3].split()[-1] == str(grid.cs_port)
    assert grid.admin("installationList")[0].split() == ["Host", "Install", "Location", "Comment"]
    assert len(grid.admin("hostList", "-current")) == 2 + 1


def test_t07_membership_servers(grid: CommandGrid) -> None:
    file = str(grid.folder / "membership2.conf")
    grid.admin("membershipConfigExport", "-latest", file)
    assert Path(file).read_text() == (grid.folder / "membership.conf").read_text()
    assert grid.admin("membershipConfigImport", file) == [
        f"Membership configuration file {file} imported"
    ]


def test_t08_apply_starts_every_instance(grid: CommandGrid) -> None:
    assert grid.admin("modelApply") == [
        *progress(
            "Creating new model version",
            "Exporting current model (version 1)",
            "Identifying any deleted objects",
            "Verifying installations",
            "Creating new installations",
            "Verifying instances",
            "Creating new instances",
            "Updating grid state",
            "Configuring instance authentication",
            "Pushing new configuration files to each instance",
            "Making model version 1 current, version 2 writable",
            "Checking ssh connectivity of new instances",
            "Starting new data instances",
        ),
        "ttGridAdmin modelApply complete",
    ]
    status = json.loads("\n".join(grid.admin("instanceStatus")))
    members = {
        host["name"]: instance["member"]
        for host in status["hosts"]
        for installation in host["installations"]
        for instance in installation["instances"]
    }
    assert members == dict.fromkeys(("host1", "host3", "host4", "host5", "host6"), True)


def test_t09_definition_and_connectable(grid: CommandGrid) -> None:
    file = grid.folder / "database1.dbdef"
    store = f"{grid.folder}/!!HOST_NAME!!/databases/database1"
    file.write_text(
        f"DataStore={store}\nLogDir={store}\nDatabaseCharacterSet=AL32UTF8\n"
        "PermSize=256\nTempSize=128\n"
    )
    connect = grid.folder / "database1client.connect"
    connect.write_text("ConnectionCharacterSet=AL32UTF8\n")
    assert grid.admin("dbdefCreate", str(file)) == ["Database Definition database1 created."]
    words = ("connectableCreate", "-dbdef", "database1", "-cs", str(connect))
    assert grid.admin(*words) == ["Connectable database1client created."]
    assert grid.admin("modelApply")[-1] == "ttGridAdmin modelApply complete"
    assert grid.admin("dbdefList") == ["database1"]
    ini = grid.admin("gridClientExport")
    assert ini[3:6] == [
        "[database1client]",
        "TTC_SERVER_DSN=database1",
        "# External address/port info for host3.instance1",
    ]
    assert ini[6] == f"TTC_SERVER1=127.0.1.13/{grid.cs_port}"
    assert ini[-1] == "ConnectionCharacterSet=AL32UTF8"
    service = grid.admin("gridClientExport", "-service", "-database", "database1")
    hosts = next(line for line in service if line.startswith("host=")).removeprefix("host=")
    assert sorted(hosts.split(",")) == [f"127.0.1.{n}" for n in (13, 14, 15, 16)]


def test_t36_a_stopped_instance_is_started_from_the_management(grid: CommandGrid) -> None:
    only = ("instanceExec", "-only", "host4.instance1", "ttDaemonAdmin")
    assert grid.admin(*only, "-stop")[0] == "Overall return code: 0"
    status = grid.run("ttGridAdmin", "instanceExec", "-only", "host4", "ttStatus")
    assert status.code == 5  # ttStatus says 1 when the daemon is down
    lines = grid.admin(*only, "-start")
    assert lines[:5] == [
        "Overall return code: 0",
        "Commands executed on:",
        "  host4.instance1 rc 0",
        "Return code from host4.instance1: 0",
        "Output from host4.instance1:",
    ]
    assert lines[5].startswith("TimesTen Daemon (PID: ")
    assert lines[5].endswith(f", port: {grid.daemon_port}) startup OK.")


def test_t47_export_change_and_import_back(grid: CommandGrid) -> None:
    current, latest = (str(grid.folder / name) for name in ("current.json", "latest.json"))
    assert grid.admin("modelExport", "-current", current) == [
        f"Model version 2 exported to {current}"
    ]
    assert grid.admin("modelExport", latest) == [f"Model version 3 exported to {latest}"]
    there = ("instanceExec", "-only", "host3", "ttGridAdmin", "modelExport", "-current")
    on_a_data_instance = grid.admin(*there)
    assert json.loads("\n".join(on_a_data_instance[5:])) == json.loads(Path(current).read_text())
    grid.admin("hostModify", "host3", "-comment", "a mistake")
    assert grid.admin("modelCompare", latest) != ["No differences"]
    assert grid.admin("modelImport", latest) == ["Model imported"]
    assert grid.admin("modelCompare", latest) == ["No differences"]


def test_t48_grid_settings(grid: CommandGrid) -> None:
    assert grid.admin("gridModify", "-retainDays", "20") == ["Grid Definition modified."]
    lines = grid.admin("gridDisplay")
    for line in (
        "Grid name:                  grid1",
        "K:                          2",
        "Retain Days:                20",
        "Retain Versions:            10",
        "Warn Threshold:             90",
    ):
        assert line in lines


def test_t37_the_management_instance_restarts_and_goes_on(grid: CommandGrid) -> None:
    assert grid.admin("mgmtActiveStop") == ["Active management instance stopped"]
    assert "mgmtExamine" in grid.refused("hostList")
    assert grid.run("ttDaemonAdmin", "-stop").code == 0
    assert grid.run("ttStatus").code == 1
    assert any("mgmtActiveStart" in line for line in grid.admin("mgmtExamine"))
    assert grid.admin("mgmtActiveStart") == ["This management instance is now the active"]
    assert len(grid.admin("hostList")) == 2 + 5


def test_t42_the_end_of_definition_hosts_and_instance(grid: CommandGrid) -> None:
    assert grid.admin("dbdefDelete", "database1") == ["Database Definition database1 deleted"]
    assert grid.admin("hostDelete", "host6", "-cascade") == [
        "Instance instance1 on Host host6 deleted from Model",
        "Installation installation1 on Host host6 deleted from Model",
        "Host host6 deleted from Model",
    ]
    for name in ("host3", "host4", "host5"):
        grid.admin("hostDelete", name, "-cascade")
    lines = grid.admin("modelApply")
    assert lines[3:5] == progress("Deleting instances", "Deleting installations")
    assert lines[-1] == "ttGridAdmin modelApply complete"
    assert grid.homes() == [grid.home]
    assert grid.run("ttInstanceDestroy").code == 1  # nobody at the terminal to say yes
    assert grid.run("ttInstanceDestroy", "-force").code == 0
    assert grid.homes() == []
