"""gridSshConfig against servers that take a password first and keys afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from mgmt.transport.ssh_setup import SshSetup
from protocol.errors import OperationError
from tests.support.ssh_hosts import SshHosts

PASSWORD = "Gr1d-password"


@pytest.fixture
async def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SshHosts]:
    """host2 manages too, host3 holds data; each has a home of its own, and so has this user."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("HOME", str(own))
    found = SshHosts(tmp_path)
    for number in (2, 3):
        host = await found.add(number, "asyncssh", password=PASSWORD)
        assert not (host.home / ".ssh").exists()
    config = "".join(f"Host {h.address}\n  Port {h.port}\n" for h in found.hosts.values())
    (tmp_path / "config").write_text(config)
    yield found
    await found.stop()


def setup(hosts: SshHosts, **words: Any) -> SshSetup:
    """Of a run that trusts all and knows the password, unless told otherwise."""
    words = {"trust": lambda *_: True, "password": lambda: PASSWORD, **words}
    options = {"config": [str(hosts.folder / "config")]}
    return SshSetup(["127.0.0.12"], ["127.0.0.13"], options=options, **words)


async def test_keys_work_afterwards_and_a_second_run_changes_nothing(hosts: SshHosts) -> None:
    shown: list[tuple[str, str, str]] = []

    def trust(*key: str) -> bool:
        shown.append(key)  # type: ignore[arg-type]
        return True

    results = await setup(hosts, trust=trust).run()
    assert [tuple(r) for r in results] == [("127.0.0.12", ""), ("127.0.0.13", "")]
    for (address, _, fingerprint), host in zip(shown, hosts.hosts.values(), strict=True):
        assert address == host.address
        assert fingerprint == asyncssh.read_private_key(host.host_key).get_fingerprint()
    own = (hosts.folder / "own" / ".ssh" / "id_ed25519.pub").read_text()
    files = [h.home / ".ssh" / "authorized_keys" for h in hosts.hosts.values()]
    assert all(own in file.read_text() for file in files)
    before = [file.read_text() for file in files]

    def never() -> str:
        raise AssertionError("keys do")

    results = await setup(hosts, trust=lambda *_: False, password=never).run()
    assert not [r for r in results if r.problem]
    assert [file.read_text() for file in files] == before


async def test_a_host_key_that_is_not_accepted_ends_it(hosts: SshHosts) -> None:
    with pytest.raises(OperationError, match=r"host key of 127\.0\.0\.12 was not accepted"):
        await setup(hosts, trust=lambda *_: False).run()
    assert not (hosts.hosts[2].home / ".ssh").exists()


async def test_a_wrong_password_is_named_host_by_host(hosts: SshHosts) -> None:
    results = await setup(hosts, password=lambda: "wrong").run()
    assert all("not log in" in result.problem for result in results)
