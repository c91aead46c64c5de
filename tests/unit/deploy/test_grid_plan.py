"""Addresses, ports and files of a grid on one machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy import local_grid
from deploy.grid_plan import GridPlan, from_environment, taken_ports
from deploy.sample.load import Login
from mgmt.cli.rollout_file import parse
from protocol.errors import ParameterError
from protocol.instance_file import INSTANCE_FILE


def test_the_default_grid_has_the_documented_ports() -> None:
    plan = from_environment({"GRID_DIR": "/g"})
    assert (plan.daemon_port, plan.cs_port, plan.mgmt_port) == (6624, 6625, 3754)
    assert plan.external_addresses() == [f"127.0.1.{n}" for n in (13, 14, 15, 16)]
    listeners = [(address, port) for _, address, port in plan.listeners()]
    assert len(set(listeners)) == len(listeners) == 9 + 4 + 8
    alone = from_environment({"GRID_DIR": "/g", "STANDBY": "off"})
    assert [home.parent.name for home in alone.management_homes()] == ["host1"]
    assert len(list(alone.listeners())) == 9 + 2 + 8


def test_grids_with_other_bases_share_no_listener() -> None:
    first = from_environment({"GRID_DIR": "/a"})
    second = from_environment({"GRID_DIR": "/b", "PORT_BASE": "6700"})
    ports = [{entry[1:] for entry in plan.listeners()} for plan in (first, second)]
    assert not ports[0] & ports[1]


def test_data_instances_are_those_that_are_there(tmp_path: Path) -> None:
    plan = from_environment({"GRID_DIR": str(tmp_path)})
    homes = plan.data_homes()
    added = tmp_path / "host9" / "instance1"
    for home in (*plan.management_homes(), homes[0], *homes[2:], added):
        (home / INSTANCE_FILE).parent.mkdir(parents=True)
        (home / INSTANCE_FILE).touch()
    assert local_grid._data_homes(plan) == (homes[0], *homes[2:], added)  # host4 was deleted


def test_removing_leaves_nothing_but_what_is_of_somebody_else(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    plan = from_environment({"GRID_DIR": str(folder)})
    (folder / "host1" / "instance1").mkdir(parents=True)
    (folder / "host9" / "instance1").mkdir(parents=True)  # hostDelete left it
    local_grid._remove(plan)
    assert not folder.exists()
    (folder / "hosts").mkdir(parents=True)
    (folder / "hosts" / "notes.txt").touch()
    local_grid._remove(plan)
    assert (folder / "hosts" / "notes.txt").exists()


def test_every_server_of_a_service_has_its_password() -> None:
    service = "[a]\nhost=127.0.1.14,127.0.1.13\nport=7,8\ndbname=d\n[b]\nhost=127.0.1.14\nport=7\n"
    lines = local_grid._passwords(service, Login("d", "app", "secret"))
    assert lines == "127.0.1.13:8:d:app:secret\n127.0.1.14:7:d:app:secret\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DATA": "3"}, "DATA=3 is not a multiple of K=2"),
        ({"K": "6"}, "K=6"),
        ({"K": "two"}, "K=two"),
        ({"PORT_BASE": "1200"}, "PORT_BASE=1200"),
        ({"GRID_DIR": "/" + "x" * 80}, "bytes too long"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        from_environment(settings)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.1.13", 0))
        holder.listen()
        port = holder.getsockname()[1]
        plan = GridPlan(folder=Path("/g"), data=2, port_base=port - 25)
        lines = taken_ports(plan)
    assert f"127.0.1.13:{port} (csPort of host3) is taken" in lines


def test_differences_name_the_variable() -> None:
    plan = GridPlan(folder=Path("/g"))
    assert plan.differences(plan) == ""
    assert plan.differences(GridPlan(folder=Path("/g"), k=1)) == "K=1 (not 2)"


def test_the_rollout_file_says_what_the_plan_says() -> None:
    plan = GridPlan(folder=Path("/g"), k=3, data=6)
    rollout = parse(plan.files(Path("/g/install/tengrid"))["rollout.conf"])
    assert rollout.k == 3
    assert [d.data_space_group for d in rollout.data_instances] == [1, 2, 3, 1, 2, 3]
    assert rollout.data_instances[0].cs_port == plan.cs_port
    assert rollout.install_location == "/g/install/tengrid"
