"""modelApply on this machine: what it makes, what it takes away, what a failure leaves."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mgmt.api import schema
from mgmt.ops.operation import State
from protocol import instance_file
from protocol.errors import (
    GridError,
    ModelError,
    OperationError,
    ParameterError,
    UnknownModelObjectError,
)
from tests.support.management import ManagedGrid, host, managed_grid, no_start
from tests.support.zookeeper import free_ports


async def add_data_host(grid: ManagedGrid, number: int, group: int) -> Path:
    """hostCreate, installationCreate, instanceCreate; returns the home that apply will make."""
    name = f"host{number}"
    location = str(grid.folder / "!!HOST_NAME!!")
    daemon, sql = free_ports(2)
    await grid.call(host(name, number, group))
    await grid.call(schema.InstallationCreate(host=name, location=location))
    await grid.call(
        schema.InstanceCreate(host=name, location=location, daemon_port=daemon, cs_port=sql)
    )
    return grid.folder / name / "instance1"


async def test_apply_makes_homes_with_all_a_daemon_needs(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        assert not home.exists()
        events: list[str] = []
        reply = await grid.call(no_start(), events=events)
        assert reply.messages == ("ttGridAdmin modelApply complete",)
        assert events[:2] == ["step Creating new model version", "ok OK"]
        settings = instance_file.load(home)
        assert settings.name == "host3.instance1"
        assert settings.kind == "data"
        assert (settings.internal_address, settings.external_address) == (
            "127.0.0.13",
            "127.0.1.13",
        )
        assert (settings.data_space_group, settings.membership.servers) == (1, ("memory:1",))
        own = instance_file.load(grid.home)
        assert settings.secret() == own.secret()
        assert settings.grid_id == own.grid_id
        assert (home / "install/bin/ttDaemonAdmin").exists()


async def test_versions_grow_by_one_with_each_apply(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await grid.call(no_start())
        await grid.call(no_start())
        listed = await grid.call(schema.ModelList(), schema.ModelListReply)
        assert [(v.version, v.state) for v in listed.versions] == [
            (1, "Previous"),
            (2, "Current"),
            (3, "Latest"),
        ]


async def test_changes_show_in_latest_and_only_after_apply_in_current(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        current = schema.HostList(version=schema.VersionChoice("current"))
        await add_data_host(grid, 3, 1)
        before = await grid.call(current, schema.HostListReply)
        await grid.call(no_start())
        after = await grid.call(current, schema.HostListReply)
        assert [h.name for h in before.hosts] == ["host1"]
        assert [h.name for h in after.hosts] == ["host1", "host3"]


async def test_deleted_objects_go_from_the_host(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        assert home.exists()
        await grid.call(schema.HostDelete(name="host3", cascade=True))
        status = await grid.call(schema.InstallationStatus(), schema.InstallationStatusReply)
        pending = {f"{i.host}.{i.name}": i.delete_pending for i in status.installations}
        assert pending == {"host1.installation1": False, "host3.installation1": True}
        await grid.call(no_start())
        assert not home.exists()
        assert not list((tmp_path / "host3").iterdir())


async def test_a_failed_apply_gives_the_version_back_and_can_be_repeated(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        good = await add_data_host(grid, 3, 1)
        bad = await add_data_host(grid, 4, 2)
        bad.mkdir(parents=True)
        (bad / "something of somebody").write_text("precious")
        with pytest.raises(OperationError, match=r"host4\.instance1"):
            await grid.call(no_start())
        assert good.exists()  # what succeeded stays, and is known
        made_once = (good / "bin/ttenv.sh").stat().st_ino
        with pytest.raises(OperationError, match="exists already"):
            await grid.call(no_start())
        assert (bad / "something of somebody").read_text() == "precious"
        (bad / "something of somebody").unlink()
        bad.rmdir()
        await grid.call(schema.HostModify(name="host4", comment="the latest is writable again"))
        await grid.call(no_start())
        assert instance_file.load(bad).name == "host4.instance1"
        assert instance_file.load(good).name == "host3.instance1"
        assert (good / "bin/ttenv.sh").stat().st_ino == made_once
        listed = await grid.call(schema.ModelList(), schema.ModelListReply)
        assert [v.version for v in listed.versions] == [1, 2]


async def test_a_home_of_another_instance_is_never_taken(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await grid.call(host("host3", 3, 1))
        await grid.call(schema.InstallationCreate(host="host3", location=str(tmp_path / "x")))
        await grid.call(schema.InstanceCreate(host="host3", location=str(tmp_path)))
        with pytest.raises(OperationError, match="home of another instance"):
            await grid.call(no_start())  # the management instance lives there
        assert instance_file.load(grid.home).name == "host1.instance1"


async def test_an_interrupted_apply_is_finished_by_the_next_life(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        assert grid.instance is not None
        management = grid.instance.management
        transports = management.transports
        reached: list[str] = []

        class Stuck:
            """A way to a host that never answers: the process ends meanwhile."""

            def to(self, wanted):
                reached.append(wanted.name)
                grid.instance.management.runner._running.clear()  # as a crash: nothing is noted
                raise SystemError("crash")

            def same_machine(self, one, other):
                return True

        management.transports = Stuck()
        with pytest.raises(GridError):
            await grid.call(no_start())
        assert reached
        management.transports = transports
        # the journal of a crashed process says "running": put that state back
        record = management.runner.list()[-1]
        import msgspec

        from mgmt.model.store import Put

        running = msgspec.structs.replace(record, state=State.RUNNING, failures=0, ended_us=0)
        management.store.write(Put("operation", f"{record.id:08d}", msgspec.json.encode(running)))
        management.models.begin_apply()
        await grid.stop()
        await grid.start()
        resumed = grid.instance.management.runner.running_on("model")
        if resumed is not None:
            await resumed.wait()
        assert grid.instance.management.models.versions.current == 1
        assert instance_file.load(home).name == "host3.instance1"


async def test_a_standby_that_is_not_started_gets_its_files(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await grid.call(host("host2", 2))
        location = str(tmp_path / "host2")
        await grid.call(schema.InstallationCreate(host="host2", location=location))
        await grid.call(schema.InstanceCreate(host="host2", location=location, kind="mgmt"))
        await grid.call(no_start())
        home = Path(location) / "instance1"
        settings = instance_file.load(home)
        assert (settings.kind, settings.name) == ("mgmt", "host2.instance1")
        for name in (instance_file.TOKEN_FILE, instance_file.SECRET_FILE):
            assert (home / name).read_text() == (grid.home / name).read_text()
            assert (home / name).stat().st_mode & 0o777 == 0o600


async def test_the_group_is_fixed_by_the_first_apply(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await add_data_host(grid, 3, 1)
        await grid.call(schema.HostModify(name="host3", data_space_group=2))
        await grid.call(no_start())
        with pytest.raises(ModelError, match="was applied"):
            await grid.call(schema.HostModify(name="host3", data_space_group=1))


async def test_import_undoes_changes_that_were_not_applied(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        exported = await grid.call(schema.ModelExport(), schema.TextFile)
        await grid.call(host("host3", 3, 1))
        compare = schema.ModelCompare(
            left=schema.ModelSide(text=exported.text), right=schema.ModelSide()
        )
        found = await grid.call(compare, schema.ModelCompareReply)
        assert [(d.change, d.kind, d.name) for d in found.differences] == [
            ("added", "host", "host3")
        ]
        reply = await grid.call(schema.ModelImport(text=exported.text), schema.TextFile)
        assert reply.messages == ("Model imported",)
        found = await grid.call(compare, schema.ModelCompareReply)
        assert found.differences == ()
        damaged = exported.text.replace('"csPort": ', '"csPort": 9')
        with pytest.raises(ParameterError, match="a port is 1 to 65535"):
            await grid.call(schema.ModelImport(text=damaged), schema.TextFile)


async def test_membership_servers_that_do_not_answer_are_not_given_to_instances(
    tmp_path: Path,
) -> None:
    async with managed_grid(tmp_path) as grid, AsyncExitStack() as there:
        ports = free_ports(3)
        text = f"Servers {','.join(f'127.0.0.1!{port}' for port in ports)}\n"
        await grid.call(schema.MembershipConfigImport(text=text, file="membership.conf"))
        for port in ports[:2]:
            with pytest.raises(ModelError, match=f"127.0.0.1:{ports[2]} cannot be reached"):
                await grid.call(no_start())
            server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
            there.push_async_callback(server.wait_closed)
            there.callback(server.close)
        reply = await grid.call(no_start())
        assert reply.messages == ("ttGridAdmin modelApply complete",)


async def test_exec_reports_the_code_and_output_of_each_place(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        command = schema.Execute(
            scope="instance", command=("sh", "-c", "echo $TIMESTEN_HOME; exit 3"), kind="data"
        )
        reply = await grid.call(command, schema.ExecuteReply)
        assert reply.rc == 3
        home = f"{tmp_path}/host3/instance1\n"
        assert [(r.name, r.rc, r.output) for r in reply.results] == [("host3.instance1", 3, home)]
        script = schema.Execute(scope="host", script="#!/bin/sh\necho script $1\n", command=("x",))
        reply = await grid.call(script, schema.ExecuteReply)
        assert [r.output for r in reply.results] == ["script x\n", "script x\n"]
        mistyped = ("host3.instance2",)
        for request in (
            schema.Execute(scope="instance", command=("true",), only=("host1", *mistyped)),
            schema.Execute(scope="instance", command=("true",), exclude=mistyped),
        ):
            with pytest.raises(UnknownModelObjectError, match=r"host3\.instance2 does not exist"):
                await grid.call(request, schema.ExecuteReply)
        here = schema.Execute(
            scope="instance", command=("true",), exclude=("host1.instance1",), kind="data"
        )
        reply = await grid.call(here, schema.ExecuteReply)
        assert [r.name for r in reply.results] == ["host3.instance1"]


async def test_an_instance_that_did_not_start_is_started_by_the_next_apply(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        program = home / "bin/ttDaemonAdmin"
        original = program.read_text()
        program.write_text("#!/bin/sh\necho no memory\nexit 1\n")
        with pytest.raises(OperationError, match="no memory"):
            await grid.call(schema.ModelApply())
        listed = await grid.call(schema.ModelList(), schema.ModelListReply)
        assert [v.version for v in listed.versions if v.state == "Current"] == [2]
        program.write_text(f"#!/bin/sh\necho $1 >> {tmp_path}/started\n")
        await grid.call(schema.ModelApply())
        await grid.call(schema.ModelApply())  # what ran once is the operator's to start
        assert (tmp_path / "started").read_text() == "-start\n"
        program.write_text(original)


async def test_an_installation_can_be_taken_from_a_source(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        await grid.call(host("host3", 3, 1))
        source = Path(instance_file.load(grid.home).installation)
        create = schema.InstallationCreate(
            host="host3", location=str(tmp_path / "host3"), source=str(source)
        )
        await grid.call(create)
        await grid.call(no_start())
        made = tmp_path / "host3" / source.name / "bin" / "ttGridAdmin"
        assert made.readlink() == source / "bin" / "ttGridAdmin"


async def test_apply_points_an_instance_at_its_other_installation(tmp_path: Path) -> None:
    async with managed_grid(tmp_path) as grid:
        home = await add_data_host(grid, 3, 1)
        await grid.call(no_start())
        first = (home / "install").readlink()
        place = str(tmp_path / "second")
        await grid.call(schema.InstallationCreate(host="host3", name="second", location=place))
        await grid.call(schema.InstanceModify(address="host3", installation="second"))
        assert (home / "install").readlink() == first
        await grid.call(no_start())
        second = (home / "install").readlink()
        assert second.parent == tmp_path / "second"
        assert instance_file.load(home).installation == str(second)
        assert (home / "install/bin/ttDaemonAdmin").exists()
