"""modelApply on other hosts: installations are copied, lost hosts and full disks are survived."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mgmt.api import schema
from mgmt.model.types import Host
from mgmt.transport.installation import create_installation, own_programs
from mgmt.transport.port import HostTransport
from mgmt.transport.ssh import HostTransports, SshTransport
from protocol import instance_file
from protocol.errors import OperationError, PeerUnreachableError
from tests.support.management import ManagedGrid, host, managed_grid, no_start
from tests.support.ssh_hosts import SshHosts, ssh_hosts


class Counted:
    """Ways to hosts, and which commands went over them; `lose` a host after so many."""

    def __init__(self, inner: HostTransports, hosts: SshHosts) -> None:
        self._inner = inner
        self._hosts = hosts
        self.commands: list[tuple[str, str]] = []  # (host, words)
        self.left = -1  # commands of host4 until it is lost

    def to(self, host: Host) -> HostTransport:
        transport = self._inner.to(host)
        if not isinstance(transport, SshTransport):
            return transport
        talk = transport._talk

        async def counted(line: str, **more: Any) -> Any:
            self.commands.append((host.name, line))
            if host.name == "host4":
                self.left -= 1
                if self.left == 0:
                    await self._hosts.hosts[4].stop()
            return await talk(line, **more)

        transport._talk = counted  # type: ignore[method-assign]
        return transport

    def same_machine(self, one: Host, other: Host) -> bool:
        return self._inner.same_machine(one, other)


def small_archive(folder: Path) -> str:
    """An installation that can be copied, much smaller than a real one."""
    tree = folder / "small" / "tengrid-small"
    (tree / "bin").mkdir(parents=True)
    program = tree / "bin" / "ttInstanceCreate"
    program.write_text(f'#!/bin/sh\nexec {own_programs()}/ttInstanceCreate "$@"\n')
    program.chmod(0o755)
    (tree / "ballast").write_bytes(os.urandom(8_000_000))
    archive = folder / "small.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", tree.parent, tree.name], check=True)
    return str(archive)


@asynccontextmanager
async def grid_with_hosts(
    folder: Path, source: str = ""
) -> AsyncIterator[tuple[ManagedGrid, SshHosts, Counted]]:
    """host1 manages; host3 and host4 are reached by SSH only."""
    async with ssh_hosts(folder, 3, 4) as hosts, managed_grid(folder) as grid:
        ways = HostTransports(hosts.connections(), is_here=lambda a: a == "127.0.0.1")
        counted = Counted(ways, hosts)
        assert grid.instance is not None
        grid.instance.management.transports = counted
        for number in (3, 4):
            location = str(folder / "!!HOST_NAME!!")
            await grid.call(host(f"host{number}", number, number - 2))
            wanted = schema.InstallationCreate(
                host=f"host{number}", location=location, source=source
            )
            await grid.call(wanted)
            await grid.call(schema.InstanceCreate(host=f"host{number}", location=location))
        yield grid, hosts, counted
        await ways.close()


def installed(folder: Path, number: int) -> None:
    """The host has an installation already: this environment's."""
    create_installation(folder / f"host{number}")


async def test_a_small_installation_is_copied_by_several_hosts_at_once(tmp_path: Path) -> None:
    async with grid_with_hosts(tmp_path, small_archive(tmp_path)) as (grid, _, counted):
        await grid.call(no_start())
        for name in ("host3", "host4"):
            (tree,) = (tmp_path / name).glob("tengrid-*")
            assert (tree / "ballast").stat().st_size == 8_000_000
            assert instance_file.load(tmp_path / name / "instance1").name == f"{name}.instance1"
        copies = [name for name, line in counted.commands if "tar -xzf" in line]
        assert sorted(copies) == ["host3", "host4"]


async def test_an_installation_can_come_from_another_host(tmp_path: Path) -> None:
    small_archive(tmp_path)
    tree = tmp_path / "small" / "tengrid-small"
    async with grid_with_hosts(tmp_path, f"127.0.0.14:{tree}") as (grid, _, counted):
        await grid.call(no_start())
        assert (tmp_path / "host3" / "instance1").exists()
        packed = [name for name, line in counted.commands if "tar -czf" in line]
        assert packed == [""], "fetched once, from a host that need not be in the model"


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_installations_are_copied_to_hosts_and_run_there(tmp_path: Path) -> None:
    async with grid_with_hosts(tmp_path) as (grid, _, _):
        events: list[str] = []
        await grid.call(schema.ModelApply(start=False, details=True), events=events)
        for name in ("host3", "host4"):
            (tree,) = (tmp_path / name).glob("tengrid-*")
            assert f"line   {name}.installation1: {tree}" in events
            assert not (tree / "bin" / "ttGridAdmin").is_symlink()
            home = tmp_path / name / "instance1"
            assert instance_file.load(home).name == f"{name}.instance1"
            moved = tree.rename(tree.with_name("moved"))
            checked = _isolated([str(moved / "bin" / "ttInstallationCheck")])
            assert checked.returncode == 0, checked.stderr
            done = _isolated([str(moved / "bin" / "tengrid-datad"), "/nowhere"])
            assert "/nowhere" in done.stderr, done.stderr  # it got as far as its settings
            assert "Traceback" not in done.stderr
        assert not list((grid.home / "grid" / "archives").iterdir())


def _isolated(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run without anything of this environment."""
    return subprocess.run(
        command, env={"PATH": "/usr/bin:/bin"}, cwd="/", capture_output=True, text=True, timeout=20
    )


@pytest.mark.parametrize("after", [2, 5, 9, 14])
async def test_a_host_lost_in_the_middle_is_finished_by_the_next_apply(
    tmp_path: Path, after: int
) -> None:
    installed(tmp_path, 3)
    installed(tmp_path, 4)
    async with grid_with_hosts(tmp_path) as (grid, hosts, counted):
        counted.left = after
        with pytest.raises(OperationError, match=r"host4.*cannot be reached by ssh"):
            await grid.call(no_start())
        versions = await grid.call(schema.ModelList(), schema.ModelListReply)
        assert [v.state for v in versions.versions] == ["Latest"]  # writable again
        made = [words for name, words in counted.commands if _makes(name, "host3", words)]
        await hosts.hosts[4].start(hosts.public_key)
        await grid.call(no_start())
        for name in ("host3", "host4"):
            assert instance_file.load(tmp_path / name / "instance1").name == f"{name}.instance1"
        both = [words for name, words in counted.commands if _makes(name, "host3", words)]
        assert len(both) == 1, "made once"
        assert len(made) <= 1
        assert [p.usable for p in grid.instance.management.placed.installations().values()] == (  # type: ignore[union-attr]
            [True] * 3
        )


def _makes(name: str, wanted: str, words: str) -> bool:
    return name == wanted and "ttInstanceCreate -name" in words


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
async def test_a_full_disk_is_named_and_the_next_apply_goes_on(tmp_path: Path) -> None:
    small = tmp_path / "host4"
    small.mkdir()
    installed(tmp_path, 3)
    mounted = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.call(["mount", *mounted]):  # noqa: ASYNC221
        pytest.skip("nothing can be mounted here")
    try:
        async with grid_with_hosts(tmp_path, small_archive(tmp_path)) as (grid, _, _):
            with pytest.raises(OperationError, match=r"host4.*No space left on device"):
                await grid.call(no_start())
            assert not os.listdir(small), "nothing half made takes the room"
            subprocess.run(["mount", "-o", "remount,size=40m", str(small)], check=True)  # noqa: ASYNC221
            await grid.call(no_start())
            assert instance_file.load(small / "instance1").name == "host4.instance1"
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)  # noqa: ASYNC221


async def test_commands_on_hosts_by_ssh_have_a_list_of_return_codes(tmp_path: Path) -> None:
    installed(tmp_path, 3)
    installed(tmp_path, 4)
    async with grid_with_hosts(tmp_path) as (grid, hosts, _):
        await grid.call(no_start())
        script = '#!/bin/sh\necho "$TIMESTEN_HOME" "$1"\n'
        request = schema.Execute(
            scope="instance", kind="data", script=script, command=("word",), parallel=1
        )
        reply = await grid.call(request, schema.ExecuteReply)
        assert [(r.name, r.rc) for r in reply.results] == [
            ("host3.instance1", 0),
            ("host4.instance1", 0),
        ]
        assert reply.results[1].output == f"{tmp_path}/host4/instance1 word\n"
        await hosts.hosts[4].stop()
        request = schema.Execute(scope="host", command=("true",))
        reply = await grid.call(request, schema.ExecuteReply)
        assert (reply.rc, [r.rc for r in reply.results]) == (255, [0, 0, 255])
        assert "cannot be reached by ssh: Connection refused" in reply.results[2].output


async def test_a_host_without_name_is_asked_for_its_own(tmp_path: Path) -> None:
    async with grid_with_hosts(tmp_path) as (grid, hosts, _):
        await hosts.hosts[4].stop()
        with pytest.raises(PeerUnreachableError, match=r"127\.0\.0\.15 cannot be reached"):
            await grid.call(host("", 5))


async def test_a_host_that_is_lost_for_good_can_be_deleted(tmp_path: Path) -> None:
    for number in (3, 4):
        installed(tmp_path, number)
    async with grid_with_hosts(tmp_path) as (grid, hosts, _):
        await grid.call(no_start())
        await hosts.hosts[4].stop()
        await grid.call(schema.InstanceDelete(address="host4.instance1"))
        with pytest.raises(OperationError, match="host4"):  # the host is in the model still
            await grid.call(no_start())
        await grid.call(schema.HostDelete(name="host4", cascade=True))
        lines: list[str] = []
        await grid.call(no_start(), events=lines)
        assert grid.instance is not None
        placed = grid.instance.management.placed
        assert set(placed.instances()) == {"host1.instance1", "host3.instance1"}
        assert "host4.installation1" not in placed.installations()
