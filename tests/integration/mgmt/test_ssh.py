"""The SSH transport against real servers: files, commands, and every way to be refused."""

from __future__ import annotations

import asyncio
import os
import socket
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from mgmt.model.types import Host
from mgmt.transport.local import LocalTransport
from mgmt.transport.ssh import HostTransports, SshTransport
from mgmt.transport.ssh_connections import unreachable
from protocol.errors import OperationError, PeerUnreachableError
from tests.support.ssh_hosts import SSHD, SshHosts, ssh_hosts

KINDS = ("asyncssh", pytest.param("openssh", marks=pytest.mark.slow))  # its logins are slow


@pytest.fixture(params=KINDS)
async def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SshHosts]:
    if request.param == "openssh" and not SSHD:
        pytest.skip("no sshd on this machine (Debian: openssh-server)")
    async with ssh_hosts(tmp_path, 3, kind=request.param) as found:
        yield found


def to_host3(hosts: SshHosts) -> SshTransport:
    return SshTransport(hosts.hosts[3].address, hosts.connections())


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_commands_have_return_codes_output_and_settings(hosts: SshHosts) -> None:
    transport = to_host3(hosts)
    done = await transport.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.rc, sorted(done.output.split())) == (3, ["err", "out"])
    done = await transport.run(["printenv", "X Y"], environment={"X Y": "a 'b' $c"})
    assert done == (0, "a 'b' $c\n")
    assert (await transport.run(["no-such-program"])).rc == 127
    assert (await transport.host_name()) == socket.gethostname().split(".")[0]


async def test_a_command_that_takes_too_long_is_ended(hosts: SshHosts, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    waits = ["sh", "-c", f"echo $$ >{pids}; exec sleep 60"]
    running = asyncio.create_task(to_host3(hosts).run(waits, timeout_s=1))
    pid = int(await asyncio.to_thread(pids.read_text))
    done = await running
    assert done.rc == 124
    async with asyncio.timeout(5):
        while _lives(pid):
            await asyncio.sleep(0.02)  # the process is not ours, it cannot be awaited


async def test_files_are_written_as_a_whole(hosts: SshHosts, tmp_path: Path) -> None:
    transport, path = to_host3(hosts), str(tmp_path / "a 'file' of $x")
    content = bytes(range(256)) * 5000
    assert await transport.read_file(path) is None
    await transport.put_file(path, content, mode=0o600)
    assert await transport.read_file(path) == content
    assert os.stat(path).st_mode & 0o777 == 0o600
    with pytest.raises(OperationError, match=r"cannot write .*/none/x on 127\.0\.0\.13"):
        await transport.put_file(str(tmp_path / "none" / "x"), b"")
    await transport.remove_file(path)
    await transport.remove_file(path)
    assert not await transport.exists(path)


async def test_directories_and_links(hosts: SshHosts, tmp_path: Path) -> None:
    transport = to_host3(hosts)
    await transport.make_dir(f"{tmp_path}/a/b", mode=0o700)
    await transport.make_dir(f"{tmp_path}/a/b")
    await transport.make_link("/nowhere", f"{tmp_path}/a/link")
    await transport.make_link("b", f"{tmp_path}/a/link")
    assert os.readlink(tmp_path / "a" / "link") == "b"
    assert await transport.exists(f"{tmp_path}/a/link")
    with pytest.raises(OperationError, match="cannot create directory"):
        await transport.make_dir("/proc/never")
    await transport.remove_tree(f"{tmp_path}/a")
    await transport.remove_tree(f"{tmp_path}/a")
    assert not (tmp_path / "a").exists()


async def test_trees_go_over_and_come_back(hosts: SshHosts, tmp_path: Path) -> None:
    transport, tree = to_host3(hosts), tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "program").write_text("x" * 1_000_000)
    (tree / "link").symlink_to("bin/program")
    await LocalTransport("127.0.0.1").pack(str(tree), tmp_path / "tree.tar.gz")
    counts: list[int] = []
    await transport.unpack(tmp_path / "tree.tar.gz", f"{tmp_path}/copy", counts.append)
    assert (tmp_path / "copy" / "link").read_text() == "x" * 1_000_000
    assert sum(counts) == (tmp_path / "tree.tar.gz").stat().st_size
    with pytest.raises(OperationError, match="exists and is not empty"):
        await transport.unpack(tmp_path / "tree.tar.gz", f"{tmp_path}/copy", counts.append)
    await transport.pack(f"{tmp_path}/copy", tmp_path / "back.tar.gz")
    with tarfile.open(tmp_path / "back.tar.gz") as back:
        assert "copy/bin/program" in back.getnames()


async def test_a_damaged_archive_leaves_nothing(hosts: SshHosts, tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"no archive")
    with pytest.raises(OperationError, match="cannot install"):
        await to_host3(hosts).unpack(tmp_path / "x.tar.gz", f"{tmp_path}/new", lambda n: None)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("new")]


async def test_an_unknown_host_key_is_refused_with_its_fingerprint(hosts: SshHosts) -> None:
    stranger = SshTransport(hosts.hosts[3].address, hosts.connections(known=""))
    key = asyncssh.read_private_key(hosts.hosts[3].host_key)
    with pytest.raises(OperationError, match=r"host key of 127\.0\.0\.13 is not known") as refused:
        await stranger.run(["true"])
    assert key.get_fingerprint() in refused.value.detail
    assert "gridSshConfig -dataAddress 127.0.0.13" in refused.value.hint


async def test_another_host_key_than_the_known_one_is_refused(hosts: SshHosts) -> None:
    host = hosts.hosts[3]
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    known = f"[{host.address}]:{host.port} {other}"
    with pytest.raises(OperationError, match="another host key") as refused:
        await SshTransport(host.address, hosts.connections(known=known)).run(["true"])
    assert f"ssh-keygen -R '[{host.address}]:{host.port}'" in refused.value.hint


async def test_checking_host_keys_cannot_be_turned_off(hosts: SshHosts) -> None:
    connections = hosts.connections(known="")
    config = hosts.folder / "config"
    text = config.read_text() + "  StrictHostKeyChecking no\n"
    config.write_text(text.replace(str(hosts.folder / "known_hosts"), "none"))
    with pytest.raises(OperationError, match="is not known"):
        await SshTransport(hosts.hosts[3].address, connections).run(["true"])


async def test_a_key_the_host_does_not_know_is_refused(hosts: SshHosts) -> None:
    wrong = hosts.folder / "wrong"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(wrong)
    wrong.chmod(0o600)
    connections = hosts.connections(key=wrong)
    with pytest.raises(OperationError, match="not log in with the keys tried") as refused:
        await SshTransport(hosts.hosts[3].address, connections).run(["true"])
    assert "ssh-copy-id 127.0.0.13" in refused.value.hint


async def test_a_host_without_server_is_unreachable_and_comes_back(hosts: SshHosts) -> None:
    host, transport = hosts.hosts[3], to_host3(hosts)
    assert (await transport.run(["true"])).rc == 0
    running = asyncio.create_task(transport.run(["sleep", "60"]))
    assert (await transport.run(["true"])).rc == 0
    await host.stop()
    with pytest.raises(PeerUnreachableError, match=r"127\.0\.0\.13 cannot be reached by ssh"):
        await running
    with pytest.raises(PeerUnreachableError, match="refused"):
        await transport.run(["true"])
    await host.start(hosts.public_key)
    assert (await transport.run(["true"])).rc == 0


async def test_what_can_be_repeated_is_when_a_kept_connection_is_lost(
    hosts: SshHosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    transport, talk, lines = to_host3(hosts), SshTransport._talk, list[str]()

    async def lost(self: SshTransport, line: str, **words: Any) -> Any:
        lines.append(line)
        if len(lines) > 1:
            return await talk(self, line, **words)
        error = asyncssh.ConnectionLost("the connection was lost")
        raise unreachable("127.0.0.13", error) from error

    monkeypatch.setattr(SshTransport, "_talk", lost)
    (tmp_path / "file").write_bytes(b"there")
    assert await transport.read_file(str(tmp_path / "file")) == b"there"
    assert len(lines) == 2
    lines.clear()
    with pytest.raises(PeerUnreachableError, match="connection was lost"):
        await transport.run(["true"])  # anybody's command
    assert len(lines) == 1


async def test_many_commands_at_a_time_share_one_connection(hosts: SshHosts) -> None:
    transport = to_host3(hosts)
    done = await asyncio.gather(*(transport.run(["echo", str(n)]) for n in range(30)))
    assert [d.output for d in done] == [f"{n}\n" for n in range(30)]


async def test_own_addresses_are_reached_without_ssh(tmp_path: Path) -> None:
    transports = HostTransports()

    def host(address: str) -> Host:
        return Host(name="x", guid="", internal_address=address, external_address=address)

    assert isinstance(transports.to(host("127.0.0.77")), LocalTransport)
    assert isinstance(transports.to(host("localhost")), LocalTransport)
    assert isinstance(transports.to(host("192.0.2.1")), SshTransport)
    assert transports.same_machine(host("127.0.0.77"), host("localhost"))
    assert not transports.same_machine(host("192.0.2.1"), host("192.0.2.2"))
