"""Runs single statements for management: a client of this instance's own local socket.

So a statement of the console meets the same session, limits and drain as one of psql, shows in
the list of connections, and is cancelled the same way.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import struct
from pathlib import Path

from protocol.clock import boottime_s
from protocol.errors import NotServingError, PeerProtocolError
from protocol.limits import MIB
from protocol.messages import worksheet as m
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request, from_management

CONNECT_TIMEOUT_S = 5.0
ROWS_MAX = 10_000
BYTES_MAX = 2 * MIB  # of an answer
OPEN_MAX = 8  # statements at a time
NAME = "ttGridAdmin console"
_PROTOCOL = 3 << 16
_CANCEL = (1234 << 16) | 5678
_HEAD = struct.Struct("!ci")
_INT = struct.Struct("!i")
_SHORT = struct.Struct("!h")


class Worksheet:
    """The statements under way. `socket`: the path of the local listener."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._running: dict[str, tuple[int, int]] = {}  # number → pid, cancel secret

    def register(self, rpc: RpcNode) -> None:
        """Answer management from now on."""

        async def run(message: m.RunSql, request: Request) -> m.SqlRan:
            return await self.run(message)

        async def cancel(message: m.CancelSql, request: Request) -> m.SqlCancelled:
            return m.SqlCancelled(await self.cancel(message.number))

        rpc.handle_async(m.RunSql, from_management(run))
        rpc.handle_async(m.CancelSql, from_management(cancel))

    async def run(self, message: m.RunSql) -> m.SqlRan:
        """Raises NotServingError when no more statements are taken, or nobody listens."""
        if len(self._running) >= OPEN_MAX or message.number in self._running:
            raise NotServingError(f"{OPEN_MAX} statements of the console run here already")
        self._running[message.number] = (0, 0)
        try:
            reader, writer = await self._connect()
            try:
                return await self._serve(_Wire(reader, writer), message)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise NotServingError("the instance ended the session") from error
            finally:
                writer.close()
        finally:
            del self._running[message.number]

    async def cancel(self, number: str) -> bool:
        """Ask for the end of a statement; False: there is none, or it has not begun."""
        pid, secret = self._running.get(number, (0, 0))
        if not pid:
            return False
        _, writer = await self._connect()
        writer.write(struct.pack("!iiii", 16, _CANCEL, pid, secret))
        await writer.drain()
        writer.close()
        return True

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await asyncio.open_unix_connection(str(self._socket))
        except OSError as error:
            raise NotServingError(f"SQL is not served now: {error.strerror or error}") from error

    async def _serve(self, wire: _Wire, message: m.RunSql) -> m.SqlRan:
        timeout_ms = max(1, message.timeout_ms)
        user = pwd.getpwuid(os.getuid()).pw_name
        wire.startup(
            user=user,
            database=message.database,
            application_name=NAME,
            statement_timeout=str(timeout_ms),
        )
        failure = await wire.until_ready()
        if failure is None and message.schema:
            name = message.schema.replace('"', '""')
            wire.query(f'ALTER SESSION SET CURRENT_SCHEMA = "{name}"', 0)
            failure = await wire.until_ready()
        if failure is not None:
            return m.SqlRan((), (), "", False, 0, (), failure)
        wire.clear()
        self._running[message.number] = (wire.pid, wire.secret)
        began_s = boottime_s()
        wire.query(message.text, min(message.rows_max, ROWS_MAX))
        failure = await wire.until_ready()
        return m.SqlRan(
            columns=tuple(wire.columns),
            rows=tuple(wire.rows),
            tag=wire.tag,
            more=wire.more,
            elapsed_us=round((boottime_s() - began_s) * 1e6),
            notices=tuple(wire.notices),
            failure=failure,
        )


class _Wire:
    """The client's side of the protocol, as far as one statement needs it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.pid = self.secret = 0
        self.clear()

    def clear(self) -> None:
        """Forget the results of what ran before."""
        self.columns: list[str] = []
        self.rows: list[tuple[str | None, ...]] = []
        self.notices: list[str] = []
        self.tag = ""
        self.more = False
        self._bytes = 0

    def startup(self, **parameters: str) -> None:
        """Begin the session."""
        pairs = "".join(f"{name}\0{value}\0" for name, value in parameters.items())
        body = _INT.pack(_PROTOCOL) + pairs.encode() + b"\0"
        self._writer.write(_INT.pack(len(body) + 4) + body)

    def query(self, text: str, rows_max: int) -> None:
        """One statement, prepared and run without parameters."""
        if "\0" in text:
            raise PeerProtocolError("a statement has no zero bytes")
        self._send(b"P", b"\0" + text.encode() + b"\0" + _SHORT.pack(0))
        self._send(b"B", b"\0\0" + _SHORT.pack(0) * 3)
        self._send(b"D", b"P\0")
        self._send(b"E", b"\0" + _INT.pack(rows_max))
        self._send(b"S", b"")

    def _send(self, kind: bytes, body: bytes) -> None:
        self._writer.write(_HEAD.pack(kind, len(body) + 4) + body)

    async def until_ready(self) -> m.SqlFailure | None:
        """Take what comes; returns the failure there was."""
        failure: m.SqlFailure | None = None
        await self._writer.drain()
        while True:
            kind, size = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            body = await self._reader.readexactly(size - 4)
            match kind:
                case b"Z":
                    return failure
                case b"E":
                    failure = _failure(body)
                    if not self.pid:
                        return failure  # refused: nothing follows
                case b"D":
                    self._row(body)
                case b"T":
                    self.columns = _columns(body)
                case b"C":
                    self.tag = body.rstrip(b"\0").decode(errors="replace")
                case b"s":
                    self.more = True
                case b"N":
                    self.notices.append(_failure(body).message)
                case b"K":
                    self.pid, self.secret = struct.unpack("!ii", body)
                case b"G":  # COPY FROM: there is nothing to be copied
                    self._send(b"f", b"COPY is for ttBulkCp and psql\0")
                case _:
                    continue

    def _row(self, body: bytes) -> None:
        self._bytes += len(body)
        if self._bytes > BYTES_MAX:
            self.more = True
            return
        row: list[str | None] = []
        at = 2
        for _ in range(_SHORT.unpack_from(body)[0]):
            size = _INT.unpack_from(body, at)[0]
            at += 4
            if size < 0:
                row.append(None)
            else:
                row.append(body[at : at + size].decode(errors="replace"))
                at += size
        self.rows.append(tuple(row))


def _columns(body: bytes) -> list[str]:
    names = []
    at = 2
    for _ in range(_SHORT.unpack_from(body)[0]):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode(errors="replace"))
        at = end + 19
    return names


def _failure(body: bytes) -> m.SqlFailure:
    fields = {
        part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part
    }
    position = fields.get("P", "0")
    return m.SqlFailure(
        fields.get("C", ""),
        fields.get("M", ""),
        fields.get("D", ""),
        fields.get("H", ""),
        int(position) if position.isdigit() else 0,
    )
