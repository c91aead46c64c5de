"""`<home>/conf/exporter.json`: whether an instance serves /metrics. Written by ttExporter.

The daemon looks at the file each second, so a change needs no restart; what came of it stands in
`<home>/info/exporter`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from protocol.errors import ParameterError

FILE = "conf/exporter.json"
STATE_FILE = "info/exporter"
LIMIT = 10  # scrapes a second, as ttExporter's default


class ExporterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No file: nothing is served."""

    port: int
    insecure: bool = False  # HTTP; else HTTPS, for clients with a certificate of the grid
    limit: int = LIMIT  # scrapes a second; 0: any number


def load(home: Path) -> ExporterSettings | None:
    """The settings; None: there are none. Raises ParameterError."""
    try:
        return parse((home / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ParameterError(f"cannot read {home / FILE}: {error.strerror}") from error


def parse(data: bytes) -> ExporterSettings:
    """The settings in the text. Raises ParameterError."""
    try:
        found = msgspec.json.decode(data, type=ExporterSettings)
    except msgspec.MsgspecError as error:
        raise ParameterError(f"{FILE}: {error}") from error
    if not (0 < found.port < 65_536 and found.limit >= 0):
        raise ParameterError(f"{FILE}: port {found.port} or limit {found.limit} is out of range")
    return found


def render(settings: ExporterSettings) -> bytes:
    """The text of the file."""
    return msgspec.json.encode(settings) + b"\n"
