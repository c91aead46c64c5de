"""Membership servers that want TLS: a real server, with clients who have what it takes or not."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from membership.port import InstanceInfo
from membership.server.probe import probe
from membership.tls import SERVER_FILE, ClientFiles, server_file
from membership.zookeeper import ZooKeeperMembership
from mgmt import certificates
from mgmt.cli.command import Arguments
from mgmt.cli.membership_certificates import certify
from protocol.clock import boottime_s, wall_us
from protocol.errors import MembershipLostError
from protocol.ids import InstanceName
from protocol.tls import CertifiedName
from tests.support.zookeeper import ZooKeeperProcess

NAMES = ("h1.i1", "h2.i1")
ME, OTHER = (
    InstanceInfo(
        name=InstanceName(name), kind="data", incarnation=f"{name}-1", address="127.0.0.1", port=1
    )
    for name in NAMES
)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ZooKeeperProcess]:
    made = ZooKeeperProcess(tmp_path, tls=True)
    made.start()
    try:
        await made.ready()
        yield made
    finally:
        made.kill()


def member(
    server: ZooKeeperProcess, me: InstanceInfo, tls: ClientFiles | None, timeout_s: float = 10
) -> ZooKeeperMembership:
    return ZooKeeperMembership(
        server.hosts, "grid1", "secret", me, tls=tls, start_timeout_s=timeout_s
    )


async def test_instances_see_each_other_and_keep_their_leases(server: ZooKeeperProcess) -> None:
    files = server.tls_files
    assert files is not None
    one, two = member(server, ME, files), member(server, OTHER, files)
    try:
        await asyncio.gather(one.start(), two.start())
        changed = asyncio.Event()
        two.subscribe(lambda view: changed.set())
        # many answers at once: they come in few TLS records, whose rest must not be forgotten
        large = [f"{n} ".encode() * 2000 for n in range(40)]
        await asyncio.gather(*(one.put_map(f"db{n}", 0, body) for n, body in enumerate(large)))
        async with asyncio.timeout(5):
            while dict(two.view().maps) != {f"db{n}": body for n, body in enumerate(large)}:
                changed.clear()
                await changed.wait()
        assert set(one.view().instances) == set(NAMES)
        assert one.serving_until_s() > boottime_s()
    finally:
        await asyncio.gather(one.stop(), two.stop())


async def test_renewed_certificates_are_good_beside_the_old_ones(
    server: ZooKeeperProcess, tmp_path: Path
) -> None:
    """So servers and instances get them one after the other, while all run."""
    new = server.tls_files
    assert new is not None
    old = ClientFiles(tmp_path / "old.crt", tmp_path / "old.pem")
    for before, kept in zip(new, old, strict=True):
        kept.write_bytes(before.read_bytes())
    certify(Arguments({"renew": [""], "out": [str(new.root.parent)]}, {}), [])
    assert new.own.read_bytes() != old.own.read_bytes()

    lives = itertools.count(1)

    async def enters(files: ClientFiles) -> None:
        one = member(server, dataclasses.replace(ME, incarnation=f"life{next(lives)}"), files)
        await one.start()
        await one.stop()

    await enters(new)  # at a server that has the old ones
    server.kill()
    (new.root.parent / SERVER_FILE).write_text((new.root.parent / server_file(1)).read_text())
    server.start()
    await server.ready()
    await enters(old)
    await enters(new)


async def test_who_has_no_certificate_of_the_authority_is_no_client(
    server: ZooKeeperProcess, tmp_path: Path
) -> None:
    files = server.tls_files
    assert files is not None
    stranger = certificates.new_authority("other", wall_us())
    own = certificates.issue(
        stranger, "client", now_us=wall_us(), internal=CertifiedName("x", "data", "c")
    )
    forged, theirs = tmp_path / "forged.pem", tmp_path / "theirs.crt"
    forged.write_text(own.pem)
    theirs.write_text(stranger.certificates)
    host, _, port = server.hosts.partition(":")
    assert not (await probe(host, int(port))).serves  # in clear text
    cases = {
        "clear text": None,
        "a foreign certificate": ClientFiles(files.root, forged),
        "a server that is not trusted": ClientFiles(theirs, files.own),
    }
    members = {what: member(server, ME, tls, timeout_s=1.5) for what, tls in cases.items()}
    errors = await asyncio.gather(*(m.start() for m in members.values()), return_exceptions=True)
    for what, error in zip(members, errors, strict=True):
        assert isinstance(error, MembershipLostError), what
    again = dataclasses.replace(ME, incarnation="h1.i1-2")
    good = member(server, again, files)
    await good.start()
    await good.stop()
