"""HTTP to this environment's management instance; the standard library's client starts fast."""

from __future__ import annotations

import http.client
import os
import pwd
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mgmt.api import schema
from protocol import instance_file, trace
from protocol.errors import (
    GridError,
    ModelError,
    PeerProtocolError,
    PeerUnreachableError,
    UsageError,
)
from protocol.instance_file import InstanceSettings

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 3600.0  # a stream says something at least when its step ends
_encode = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(schema.Event | schema.Outcome).decode
OnEvent = Callable[[schema.Event], None]


class _Failure(msgspec.Struct, frozen=True):
    error: schema.ErrorBody


class Client:
    """Calls the API of the instance whose home TIMESTEN_HOME names."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def settings(self) -> InstanceSettings:
        """The instance's settings. Raises ParameterError."""
        return instance_file.load(self.home)

    def call(
        self,
        request: schema.Request,
        reply: type[Any],
        on_event: OnEvent,
        at: tuple[str, int] | None = None,
    ) -> Any:
        """Send a request, return its reply. Raises the GridError the API answered.

        at: address and mgmtPort of another management instance; default: this one's.

        PeerUnreachableError: no management instance answers at this instance's address.
        """
        if trace.steps.listener is not None:
            trace.step("mgmt/cli/client.py", request)
        settings = self.settings()
        if settings.kind != "mgmt":
            raise ModelError(
                f"{settings.name} is a data instance: this command runs on the active management"
                " instance",
                hint="Source bin/ttenv.sh of the management instance and repeat the command.",
            )
        host, port = at or (settings.internal_address, settings.mgmt_port)
        address = f"{host}:{port}"
        connection = _connection(settings, host, port)
        try:
            connection.connect()
            connection.sock.settimeout(ANSWER_TIMEOUT_S)
            connection.request(
                "POST",
                schema.API_PREFIX + request.PATH,
                body=_encode(request),
                headers={
                    "Authorization": f"Bearer {self._token(settings)}",
                    "Content-Type": "application/json",
                    "User-Agent": f"{user()} with ttGridAdmin",
                },
            )
            response = connection.getresponse()
            if response.status != 200:
                raise _error_of(response.status, response.read())
            if request.STREAM:
                return _read_stream(response, reply, on_event)
            return msgspec.json.decode(response.read(), type=reply)
        except msgspec.MsgspecError as error:
            raise PeerProtocolError(
                f"the answer of {settings.name} is not understood: {error}",
                hint="Is its daemon of another release? ttDaemonAdmin -restart starts this one.",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise PeerUnreachableError(
                f"the management instance {settings.name} does not answer at {address}: {error}",
                hint="Start it with ttDaemonAdmin -start, then repeat the command. If the grid has"
                " another management instance, ttGridAdmin mgmtExamine says which one is active.",
            ) from error
        finally:
            connection.close()

    def _token(self, settings: InstanceSettings) -> str:
        try:
            return settings.path(instance_file.TOKEN_FILE).read_text(encoding="ascii").strip()
        except OSError as error:
            raise ModelError(
                f"cannot read the management token: {error.strerror}",
                hint="Run the command as the instance administrator, the owner of the instance.",
            ) from error


def _connection(settings: InstanceSettings, address: str, port: int) -> http.client.HTTPConnection:
    """Not open yet. Encrypted, and the server checked, where the internal network is."""
    if settings.internal_encryption == "off":
        return http.client.HTTPConnection(address, port, timeout=CONNECT_TIMEOUT_S)
    root = settings.path(instance_file.ROOT_FILE)
    try:
        context = ssl.create_default_context(cafile=str(root))
    except (OSError, ssl.SSLError) as error:
        raise ModelError(
            f"cannot use the authority's certificate {root}: {error.strerror or error}",
            hint="Run the command as the instance administrator, the owner of the instance.",
        ) from error
    return http.client.HTTPSConnection(address, port, timeout=CONNECT_TIMEOUT_S, context=context)


def user() -> str:
    """Who runs the command, as far as this machine knows."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def home_from_environment() -> Path:
    """The instance home of this environment. Raises UsageError."""
    text = os.environ.get("TIMESTEN_HOME", "")
    if not text:
        raise UsageError(
            "no instance: TIMESTEN_HOME is not set",
            hint="Source <instance home>/bin/ttenv.sh (or ttenv.csh) first.",
        )
    return Path(text).absolute()


def _error_of(status: int, body: bytes) -> GridError:
    try:
        return schema.error_from(msgspec.json.decode(body, type=_Failure).error)
    except msgspec.MsgspecError:
        text = body[:200].decode(errors="replace")
        return PeerUnreachableError(f"the management instance answered HTTP {status}: {text}")


def _read_stream(response: http.client.HTTPResponse, reply: type[Any], on_event: OnEvent) -> Any:
    while line := response.readline():
        item = _line(line)
        if isinstance(item, schema.Event):
            on_event(item)
        elif item.error is not None:
            raise schema.error_from(item.error)
        else:
            return msgspec.json.decode(item.reply, type=reply)
    raise PeerUnreachableError(
        "the management instance went away before the command ended",
        hint="The operation goes on when it is back, or at the other management instance when that"
        " becomes active: ttGridAdmin operationList shows it there.",
    )
