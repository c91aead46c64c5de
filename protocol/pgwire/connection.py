"""Server side of one PostgreSQL connection as a state machine: bytes in, handler calls, bytes out.

No I/O: whoever owns it passes received bytes to receive() and writes what take_output() gives. The
handler (data/session/session.py) gives statements their meaning; it appends its replies to `out`,
sets `busy` while a statement is running elsewhere and calls resume() afterwards.

Hot path: a Bind whose next messages are [Describe portal,] Execute, Sync is handed over as one
call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, Protocol

from protocol import trace
from protocol.errors import (
    AuthenticationError,
    GridError,
    NotSupportedError,
    PeerProtocolError,
    TooLargeError,
)
from protocol.limits import KIB, WIRE_MESSAGE_BYTES_MAX
from protocol.pgwire import codec, messages
from protocol.pgwire.scram import MECHANISM, ScramServer, Verifier

STARTUP_BYTES_MAX: Final = 10_000  # as PostgreSQL
AUTH_MESSAGE_BYTES_MAX: Final = 64 * KIB

# What is Final is no look-up in a dictionary where this is machine code.
_HEAD: Final = struct.Struct("!Bi").unpack_from
_INT: Final = struct.Struct("!i").unpack_from

_BIND: Final = 0x42  # B
_SYNC: Final = 0x53  # S
_TERMINATE: Final = 0x58  # X
_QUERY: Final = 0x51  # Q
_FUNCTION_CALL: Final = 0x46  # F
_PASSWORD, _FLUSH = b"pH"
_COPY_DATA, _COPY_DONE, _COPY_FAIL = b"dcf"
_SYNC_BYTES: Final = b"S\0\0\0\x04"
# Execute of the unnamed portal, all rows; Sync
_TAIL: Final = b"E\0\0\0\x09\0\0\0\0\0" + _SYNC_BYTES
_DESCRIBE_TAIL: Final = b"D\0\0\0\x06P\0" + _TAIL
_SHORT_NAME: Final = 24  # bytes
_TAIL_BYTES: Final = len(_TAIL)
_DESCRIBE_TAIL_BYTES: Final = len(_DESCRIBE_TAIL)


class Phase(IntEnum):
    """How far a connection has come."""

    STARTUP = 0
    TLS = 1  # told to go on; the owner is at the handshake
    SASL_FIRST = 2
    SASL_FINAL = 3
    READY = 4
    CLOSED = 5


_TLS: Final = Phase.TLS
_READY: Final = Phase.READY
CLOSED: Final = Phase.CLOSED


class LoginGate(Protocol):
    """Whether an account may try a password, and how it went."""

    def check(self) -> None:
        """Before a password is looked at. Raises LoginRefusedError."""
        ...

    def failed(self) -> None:
        """It was wrong."""
        ...


class Handler(Protocol):
    """What the messages mean. Methods raise GridError for what the client did wrong."""

    @property
    def login(self) -> LoginGate:
        """Of this client, after startup()."""
        ...

    def startup(self, parameters: dict[str, str]) -> Verifier | None:
        """Who may that be? None: trusted, no password. An error ends the connection."""
        ...

    def authenticated(self) -> None:
        """Append ParameterStatus, BackendKeyData and ReadyForQuery to `out`."""
        ...

    def cancel_request(self, pid: int, secret: int) -> None:
        """Cancel what another connection runs, if the secret is right."""
        ...

    def runnable(self, name: bytes) -> Any:
        """The prepared statement if run() may have it, else None."""
        ...

    def run(
        self,
        statement: Any,
        formats: bytes,
        params: list[bytes | None],
        result_formats: bytes,
        describe: bool,
    ) -> None:
        """Bind to the unnamed portal, perhaps Describe it, Execute without limit, Sync. Raises
        not."""
        ...

    def parse(self, name: bytes, sql: str, oids: tuple[int, ...]) -> None:
        """Parse."""
        ...

    def bind(
        self,
        portal: bytes,
        name: bytes,
        formats: bytes,
        params: list[bytes | None],
        result_formats: bytes,
    ) -> None:
        """Bind; the formats are the counted lists as they came."""
        ...

    def describe(self, kind: int, name: bytes) -> None:
        """Describe of ord("S") a statement or ord("P") a portal."""
        ...

    def execute(self, portal: bytes, max_rows: int, alone: bool) -> None:
        """Execute; alone: Sync is the very next message."""
        ...

    def close_target(self, kind: int, name: bytes) -> None:
        """Close."""
        ...

    def sync(self) -> None:
        """Sync: end an implicit transaction, append ReadyForQuery."""
        ...

    def query(self, sql: str) -> None:
        """A simple query; appends ReadyForQuery at its end."""
        ...

    def failed(self, error: GridError, in_query: bool) -> None:
        """A message could not be carried out: append the error; after a Query ReadyForQuery too."""
        ...

    def copy_data(self, chunk: bytes) -> None:
        """CopyData while `copying`."""
        ...

    def copy_done(self) -> None:
        """CopyDone while `copying`."""
        ...

    def copy_failed(self, reason: str) -> None:
        """CopyFail, or another message that breaks COPY off, while `copying`."""
        ...

    def fault(self, error: Exception) -> GridError:
        """An exception that should not be: log it; what to tell the client."""
        ...


class Connection:
    """One client connection; see the module's text."""

    def __init__(self, handler: Handler, *, offers_tls: bool = False) -> None:
        self.out: list[bytes | bytearray] = []
        self.phase = Phase.STARTUP
        self.busy = False  # a statement runs: no further message is looked at
        self.stalled = False  # the client does not read: neither
        self.skipping = False  # after an error: everything up to Sync is dropped
        self.copying = False  # COPY FROM STDIN takes the data
        self.user = ""
        self._handler = handler
        self._offers_tls = offers_tls
        self.requires_tls = False  # no user comes in without; set by the owner
        self._scram: ScramServer | None = None
        self._rest = bytearray()  # bytes that were not looked at yet
        self._wanted = 0  # there is no use in looking before _rest is so long
        self._held: bytes | None = None  # looked at up to _held_at, when it became busy
        self._held_at = 0
        self._processing = False
        self._handlers: dict[int, Callable[[bytes, int, int], None]] = {
            ord("P"): self._parse,
            ord("D"): self._describe,
            ord("E"): self._execute,
            ord("C"): self._close_target,
            ord("S"): self._sync,
            ord("H"): self._flush,
            ord("Q"): self._query,
            _FUNCTION_CALL: self._function_call,
            ord("d"): self._ignore,
            ord("c"): self._ignore,
            ord("f"): self._ignore,
            ord("X"): self._terminate,
        }

    # -- for the owner ----------------------------------------------------------------------------
    def receive(self, chunk: bytes) -> None:
        """Take received bytes; raises nothing."""
        if self._held is not None or self.phase is _TLS:
            self._rest += chunk
            return
        if self._rest:
            self._rest += chunk
            if len(self._rest) < self._wanted:
                return
            chunk = bytes(self._rest)
            self._rest.clear()
        self._process(chunk, 0)

    def resume(self) -> None:
        """Go on after `busy` or `stalled` were reset."""
        if self._processing:
            return
        while not (self.busy or self.stalled):
            if self._held is not None:
                data, self._held = self._held, None
                self._process(data, self._held_at)
            elif self._rest and len(self._rest) >= self._wanted:
                data = bytes(self._rest)
                self._rest.clear()
                self._process(data, 0)
            else:
                return

    def take_output(self) -> bytes | bytearray:
        """What is to be written now."""
        if trace.steps.listener is not None:
            trace.step("protocol/pgwire/connection.py")
        if len(self.out) == 1:
            return self.out.pop()
        data = b"".join(self.out)
        self.out.clear()
        return data

    @property
    def buffered(self) -> int:
        """Bytes received and not looked at."""
        held = 0 if self._held is None else len(self._held) - self._held_at
        return len(self._rest) + held

    @property
    def is_blocked(self) -> bool:
        """True: what arrives is only buffered."""
        return self._held is not None

    def tls_started(self) -> None:
        """The TLS handshake is done."""
        assert self.phase is _TLS
        self.phase = Phase.STARTUP
        self._offers_tls = self.requires_tls = False
        self._wanted = 0
        self.resume()

    def fatal(self, error: GridError) -> None:
        """Tell the client and end the connection."""
        if self.phase is not CLOSED:
            self.out.append(messages.error_response(error, "FATAL"))
            self.close()

    def close(self) -> None:
        """End the connection silently."""
        self.phase = CLOSED
        self._rest.clear()
        self._held = None

    # -- the loop ---------------------------------------------------------------------------------
    def _process(self, data: bytes, at: int) -> None:
        if trace.steps.listener is not None:
            trace.step("protocol/pgwire/connection.py")
        self._processing = True
        try:
            if self.phase < _READY:
                at = self._greet(data, at)
            if self.phase is _READY:
                at = self._serve(data, at)
        except GridError as error:
            self.fatal(error)
        except Exception as error:
            self.fatal(self._handler.fault(error))
        finally:
            self._processing = False
        if self.phase is CLOSED:
            return
        if self.busy or self.stalled:
            self._held, self._held_at = data, at
        elif at < len(data):
            self._rest[:0] = data[at:]

    def _serve(self, data: bytes, at: int) -> int:
        """Handle whole messages from `at` on; return where it stopped."""
        end = len(data)
        while not (self.busy or self.stalled):
            if end - at < 5:
                self._wanted = 5
                break
            kind = data[at]
            length = data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4]
            stop = at + 1 + length
            if stop > end or length < 4:
                self._check_length(length, WIRE_MESSAGE_BYTES_MAX)
                self._wanted = length + 1
                break
            if self.skipping and kind != _SYNC and kind != _TERMINATE:
                at = stop
                continue
            try:
                if self.copying:
                    self._copy_message(kind, data, at + 5, stop)
                    at = stop
                elif kind == _BIND:
                    at = self._bind(data, at + 5, stop)
                else:
                    self._dispatch(kind, data, at + 5, stop)
                    at = stop
            except GridError as error:
                self._failed(kind, error)
                at = stop
            if self.phase is CLOSED:
                break
        return at

    def _dispatch(self, kind: int, data: bytes, start: int, stop: int) -> None:
        handle = self._handlers.get(kind)
        if handle is None:
            self.fatal(PeerProtocolError(f"invalid frontend message type {kind}"))
            return
        try:
            handle(data, start, stop)
        except GridError:
            raise
        except Exception as error:
            raise self._handler.fault(error) from error

    def _failed(self, kind: int, error: GridError) -> None:
        alone = kind in (_QUERY, _FUNCTION_CALL)  # no Sync follows
        self._handler.failed(error, alone)
        self.skipping = not alone and kind != _SYNC

    def _check_length(self, length: int, limit: int) -> None:
        if length < 4 or length >> 31:
            raise PeerProtocolError("invalid message length")
        if length > limit:
            raise TooLargeError(f"message of {length} bytes, limit {limit}")

    # -- before READY -----------------------------------------------------------------------------
    def _greet(self, data: bytes, at: int) -> int:
        while self.phase < _READY and self.phase is not _TLS:
            if self.phase is Phase.STARTUP:
                if len(data) - at < 4:
                    self._wanted = 4
                    return at
                length = _INT(data, at)[0]
                self._check_length(length, STARTUP_BYTES_MAX)
                if len(data) - at < length:
                    self._wanted = length
                    return at
                stop = at + length
                self._startup(codec.startup(data[at + 4 : stop]), stop == len(data))
            else:
                if len(data) - at < 5:
                    self._wanted = 5
                    return at
                kind, length = _HEAD(data, at)
                if kind != _PASSWORD:
                    if kind == _TERMINATE:
                        self.close()
                        return at
                    raise PeerProtocolError(f"expected a SASL response, got message type {kind}")
                self._check_length(length, AUTH_MESSAGE_BYTES_MAX)
                if len(data) - at < length + 1:
                    self._wanted = length + 1
                    return at
                stop = at + 1 + length
                self._sasl(data, at + 5, stop)
            at = stop
        return at

    def _startup(self, packet: messages.Startup, is_last: bool) -> None:
        match packet:
            case messages.SslRequest():
                if not self._offers_tls:
                    self.out.append(messages.SSL_NO)
                elif not is_last:
                    # bytes behind SSLRequest were not encrypted: somebody injected them
                    raise PeerProtocolError("received unencrypted data after SSL request")
                else:
                    self.out.append(messages.SSL_YES)
                    self.phase = _TLS
            case messages.GssEncRequest():
                self.out.append(messages.SSL_NO)
            case messages.CancelRequest(pid, secret):
                self._handler.cancel_request(pid, secret)
                self.close()
            case messages.StartupMessage(version, parameters):
                self._begin(version, parameters)

    def _begin(self, version: int, parameters: dict[str, str]) -> None:
        if version >> 16 != 3:
            raise NotSupportedError(
                f"unsupported frontend protocol {version >> 16}.{version & 0xFFFF}: "
                "server supports 3.0"
            )
        if self.requires_tls:
            raise AuthenticationError(
                "this data instance wants encrypted connections",
                hint="Connect with sslmode=require, or better verify-full (see certificateExport).",
            )
        unknown = [name for name in parameters if name.startswith("_pq_.")]
        if version & 0xFFFF or unknown:
            self.out.append(messages.negotiate_protocol_version(unknown))
        self.user = parameters.get("user", "")
        if not self.user:
            raise AuthenticationError("no user name in the startup packet")
        verifier = self._handler.startup(parameters)
        if verifier is None:
            self._welcome()
        else:
            self._scram = ScramServer(verifier)
            self.out.append(messages.AUTH_SASL)
            self.phase = Phase.SASL_FIRST

    def _sasl(self, data: bytes, start: int, stop: int) -> None:
        assert self._scram is not None
        if self.phase is Phase.SASL_FIRST:
            mechanism, first = codec.sasl_initial(data, start, stop)
            if mechanism != MECHANISM:
                raise PeerProtocolError("client selected an invalid SASL mechanism")
            self.out.append(messages.authentication_sasl_continue(self._scram.first(first)))
            self.phase = Phase.SASL_FINAL
            return
        self._handler.login.check()  # many may have begun before the account was locked
        try:
            final = self._scram.final(data[start:stop])
        except AuthenticationError:
            self._handler.login.failed()
            raise AuthenticationError(
                f'password authentication failed for user "{self.user}"'
            ) from None
        self.out.append(messages.authentication_sasl_final(final))
        self._welcome()

    def _welcome(self) -> None:
        self.out.append(messages.AUTH_OK)
        self._scram = None
        self._handler.authenticated()
        self.phase = _READY

    # -- messages ---------------------------------------------------------------------------------
    def _bind(self, data: bytes, at: int, stop: int) -> int:
        """Bind, with what follows if it is the usual; return where to go on."""
        try:
            end = _end_of_name(data, at, stop)
            portal = data[at:end]
            at = end + 1
            end = _end_of_name(data, at, stop)
            name = data[at:end]
            at = end + 1
            end = at + 2 + 2 * (data[at] << 8 | data[at + 1])
            formats = data[at:end]
            at = end + 2
            params: list[bytes | None] = []
            for _ in range(data[end] << 8 | data[end + 1]):
                high = data[at]  # by single bytes: machine code where it is compiled
                length = high << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
                at += 4
                if high < 128:
                    end = at + length
                    params.append(data[at:end])
                    at = end
                elif length == 0xFFFFFFFF:
                    params.append(None)
                else:
                    raise PeerProtocolError("invalid parameter length in Bind message")
        except (ValueError, IndexError, struct.error):
            raise PeerProtocolError("insufficient data left in Bind message") from None
        if at > stop:  # it went on in the next message
            raise PeerProtocolError("insufficient data left in Bind message")
        result_formats = data[at:stop]  # its length is checked where it is decoded
        handler = self._handler
        if not portal:
            statement = handler.runnable(name)
            if statement is not None:
                if data.startswith(_DESCRIBE_TAIL, stop):
                    handler.run(statement, formats, params, result_formats, True)
                    return stop + _DESCRIBE_TAIL_BYTES
                if data.startswith(_TAIL, stop):
                    handler.run(statement, formats, params, result_formats, False)
                    return stop + _TAIL_BYTES
        handler.bind(portal, name, formats, params, result_formats)
        return stop

    def _parse(self, data: bytes, start: int, stop: int) -> None:
        self._handler.parse(*codec.parse(data, start, stop))

    def _describe(self, data: bytes, start: int, stop: int) -> None:
        self._handler.describe(*codec.target(data, start, stop))

    def _close_target(self, data: bytes, start: int, stop: int) -> None:
        self._handler.close_target(*codec.target(data, start, stop))

    def _execute(self, data: bytes, start: int, stop: int) -> None:
        portal, max_rows = codec.execute(data, start, stop)
        self._handler.execute(portal, max_rows, data.startswith(_SYNC_BYTES, stop))

    def _sync(self, data: bytes, start: int, stop: int) -> None:
        self.skipping = False
        self._handler.sync()

    def _flush(self, data: bytes, start: int, stop: int) -> None:
        """Output is flushed at the end of every turn anyway."""

    def _query(self, data: bytes, start: int, stop: int) -> None:
        self._handler.query(codec.query(data, start, stop))

    def _function_call(self, data: bytes, start: int, stop: int) -> None:
        raise NotSupportedError(
            "the function call message is not supported", hint="SELECT the function."
        )

    def _ignore(self, data: bytes, start: int, stop: int) -> None:
        """COPY data that was on its way when COPY failed."""

    def _terminate(self, data: bytes, start: int, stop: int) -> None:
        self.close()

    def _copy_message(self, kind: int, data: bytes, start: int, stop: int) -> None:
        if kind == _COPY_DATA:
            self._handler.copy_data(data[start:stop])
        elif kind == _COPY_DONE:
            self._handler.copy_done()
        elif kind == _COPY_FAIL:
            reason = data[start : max(start, stop - 1)].decode(errors="replace")
            self._handler.copy_failed(f"COPY from stdin failed: {reason}")
        elif kind == _TERMINATE:
            self.close()
        elif kind not in (_FLUSH, _SYNC):
            self._handler.copy_failed(f"unexpected message type {kind} during COPY from stdin")


def _end_of_name(data: bytes, at: int, stop: int) -> int:
    """Where the zero byte behind a name is: as bytes.index, quicker for short ones."""
    for end in range(at, min(at + _SHORT_NAME, stop)):
        if not data[end]:
            return end
    return data.index(b"\0", at, stop)
