"""Mutual TLS of the internal network: who comes in, who does not, and new certificates.

On uvloop, as in daemons: TLS is the event loop's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import HandshakeError, PrivilegeError
from protocol.messages.admin import ElementDone, LoadElement
from protocol.messages.reach import Pulse
from protocol.rpc.client import RpcPeer
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request, from_management
from protocol.tls import InternalTls
from tests.support import certificates

HOST = "127.0.0.1"
Start = Callable[..., Awaitable["Side"]]
AUTHORITY = certificates.authority()
FOREIGN = certificates.authority()  # another grid's; the names in it are the same


class Side:
    """A node that counts the messages that reached its handlers."""

    def __init__(self, node: RpcNode) -> None:
        self.node = node
        self.port = 0
        self.asked = 0
        node.handle(Pulse, self._pulse)

    def _pulse(self, message: Pulse, request: Request) -> None:
        self.asked += 1
        request.reply(message)

    async def ask(self, name: str) -> None:
        """One round trip to a peer."""
        peer = await self.node.wait_connected(name, 5)
        assert await peer.call(Pulse((name,), True), 5) == Pulse((name,), True)

    async def is_refused(self, other: Side, name: str) -> None:
        """This side, which dials, does not get in, and nothing of it reaches a handler."""
        peer = RpcPeer(name)
        peer.address, peer.port = HOST, other.port
        with pytest.raises((HandshakeError, OSError)):
            await self.node._dial_once(peer)
        assert not self.node.peer(name).connected
        assert not other.node.peer(self.node.me.name).connected
        assert other.asked == 0


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    sides: list[Side] = []

    async def one(name: str, tls: InternalTls | None, **changes: Any) -> Side:
        values: dict[str, Any] = {"grid_id": "grid1", "secret": b"secret", "incarnation": "1"}
        side = Side(RpcNode(NodeIdentity(name=name, **(values | changes)), tls=tls))
        side.port = await side.node.listen(HOST, 0)
        sides.append(side)
        return side

    yield one
    for side in sides:
        await side.node.close()


async def test_both_sides_prove_who_they_are(tmp_path: Path, start: Start) -> None:
    a = await start("a", certificates.internal(tmp_path, AUTHORITY, "a"))
    b = await start("b", certificates.internal(tmp_path, AUTHORITY, "b"))
    a.node.set_peer("b", HOST, b.port)
    await a.ask("b")
    await b.ask("a")  # one connection serves both directions
    assert (a.asked, b.asked) == (1, 1)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("foreign", {"signer": FOREIGN, "trusts": AUTHORITY}),
        ("expired", {"began_days_ago": 10, "days": 5}),
        ("not good yet", {"began_days_ago": -2}),
        ("another instance's", {"name": "c"}),
        ("of another kind", {"kind": "mgmt"}),
        ("of another grid under the same authority", {"grid_id": "grid2"}),
    ],
)
@pytest.mark.parametrize("dials", [True, False])
async def test_a_wrong_certificate_is_refused(
    tmp_path: Path, start: Start, what: str, words: dict[str, Any], dials: bool
) -> None:
    """The one with the wrong certificate (it knows the grid's secret) dials, or is dialled."""
    values = {"signer": AUTHORITY, "name": "b"} | words
    wrong = certificates.internal(tmp_path / "wrong", **values)
    good = certificates.internal(tmp_path, AUTHORITY, "a" if not dials else "z")
    bad = await start("b", wrong)
    right = await start("a" if not dials else "z", good)
    if dials:
        await bad.is_refused(right, "z")
    else:
        await right.is_refused(bad, "b")


async def test_without_a_certificate_nobody_comes_in(tmp_path: Path, start: Start) -> None:
    z = await start("z", certificates.internal(tmp_path, AUTHORITY, "z"))
    clear = await start("b", None)  # it knows the secret, but speaks in clear text
    await clear.is_refused(z, "z")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(HOST, z.port, ssl=context)
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)  # TLS 1.3 tells the client after its own handshake
    writer.close()
    assert z.asked == 0


async def test_what_management_alone_may_ask_no_data_instance_may(
    tmp_path: Path, start: Start
) -> None:
    words = {"data": certificates.internal(tmp_path, AUTHORITY, "a")}
    words["mgmt"] = certificates.internal(tmp_path, AUTHORITY, "m", kind="mgmt")
    z = await start("z", certificates.internal(tmp_path, AUTHORITY, "z"))
    heard = []

    async def loaded(message: LoadElement, request: Request) -> ElementDone:
        heard.append(request.peer_name)
        return ElementDone("loaded")

    z.node.handle_async(LoadElement, from_management(loaded))
    for kind, name in (("data", "a"), ("mgmt", "m")):
        asking = await start(name, words[kind], kind=kind)
        asking.node.set_peer("z", HOST, z.port)
        peer = await asking.node.wait_connected("z", 5)
        if kind == "mgmt":
            assert await peer.call(LoadElement("db", "id", ()), 5) == ElementDone("loaded")
        else:
            with pytest.raises(PrivilegeError, match="a is no management instance"):
                await peer.call(LoadElement("db", "id", ()), 5)
    assert heard == ["m"]


async def test_older_tls_is_refused(tmp_path: Path, start: Start) -> None:
    z = await start("z", certificates.internal(tmp_path, AUTHORITY, "z"))
    root, own = certificates.write(tmp_path, AUTHORITY, "b")
    context = ssl.create_default_context(cafile=str(root))
    context.load_cert_chain(own)
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(HOST, z.port, ssl=context, server_hostname="")


async def test_garbage_and_sql_clients_on_the_internal_port(tmp_path: Path, start: Start) -> None:
    encrypted = await start("z", certificates.internal(tmp_path, AUTHORITY, "z"))
    clear = await start("y", None)
    ssl_request = b"\0\0\0\x08\x04\xd2\x16\x2f"  # what psql sends first
    hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(64)
    http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for side in (encrypted, clear):
        for words in (ssl_request, hello, http, b"\xff" * 8192):
            reader, writer = await asyncio.open_connection(HOST, side.port)
            writer.write(words)
            writer.write_eof()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                async with asyncio.timeout(5):
                    while b"welcome" not in await reader.readexactly(1):
                        continue
            writer.close()
        assert side.asked == 0
    a = await start("a", certificates.internal(tmp_path, AUTHORITY, "a"))
    a.node.set_peer("z", HOST, encrypted.port)
    await a.ask("z")  # and it serves as before


async def test_new_certificates_are_taken_and_open_connections_go_on(
    tmp_path: Path, start: Start
) -> None:
    a = await start("a", certificates.internal(tmp_path, AUTHORITY, "a"))
    z = await start("z", certificates.internal(tmp_path, AUTHORITY, "z"))
    a.node.set_peer("z", HOST, z.port)
    await a.ask("z")
    for name in ("a", "z"):
        certificates.write(tmp_path, FOREIGN, name)  # as if the authority had got a new key
    await a.ask("z")  # on the open connection
    a.node.disconnect("z")
    a.node.set_peer("z", HOST, z.port)
    await a.ask("z")  # dialled anew, under the new authority
    old = await start("b", certificates.internal(tmp_path, AUTHORITY, "b"))
    before = z.asked
    z.asked = 0
    await old.is_refused(z, "z")  # the old authority counts for nothing any more
    assert before == 3


async def test_damaged_new_files_leave_the_old_ones_in_use(tmp_path: Path, start: Start) -> None:
    a = await start("a", certificates.internal(tmp_path, AUTHORITY, "a"))
    z = await start("z", certificates.internal(tmp_path, AUTHORITY, "z"))
    (tmp_path / "z.pem").write_text("nothing")
    (tmp_path / "a.pem").unlink()
    a.node.set_peer("z", HOST, z.port)
    await a.ask("z")


async def test_nothing_can_be_read_on_the_way(tmp_path: Path, start: Start) -> None:
    a = await start("a", certificates.internal(tmp_path, AUTHORITY, "a"))
    z = await start("z", certificates.internal(tmp_path, AUTHORITY, "z"))
    seen = bytearray()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            seen.extend(data)
            writer.write(data)
        writer.close()

    async def tap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection(HOST, z.port)
        await asyncio.gather(forward(reader, onward[1]), forward(onward[0], writer))

    async with await asyncio.start_server(tap, HOST, 0) as server:
        a.node.set_peer("z", HOST, server.sockets[0].getsockname()[1])
        peer = await a.node.wait_connected("z", 5)
        text = "SELECT * FROM a_table_with_a_name"
        assert await peer.call(Pulse((text,), True), 5) == Pulse((text,), True)
        await a.node.close()
        await z.node.close()
    assert len(seen) > 1000
    assert text.encode() not in seen
    assert b"TENGRID" not in seen
