"""ttExporter: have an instance serve /metrics to Prometheus."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mgmt.cli.client import home_from_environment
from mgmt.cli.command import Arguments, Option
from mgmt.cli.daemon_control import PID_FILE, read_pid
from mgmt.cli.tool import audited, guarded
from mgmt.cli.words import parse_tool, tool_help
from protocol import exporter_file, instance_file
from protocol.errors import OperationError, ParameterError, UsageError
from protocol.exporter_file import ExporterSettings

WAIT_S = 5.0
POLL_S = 0.1
OPTIONS = (
    Option("port", "PORT", "serve /metrics there, on the internal address of the instance"),
    Option("limit", "N", f"scrapes a second (default {exporter_file.LIMIT}; 0: any number)"),
    Option("insecure", "", "by HTTP; default is HTTPS, for clients with a certificate of the grid"),
    Option("stop", "", "serve nothing any more"),
)


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    arguments = parse_tool("ttExporter", words, OPTIONS)
    if arguments.has("help") or arguments.has("h"):
        print(tool_help("ttExporter", "Serve metrics of the instance to Prometheus.", OPTIONS))
        return 0
    home = home_from_environment()
    if not arguments.has("port") and not arguments.has("stop"):
        if arguments.has("limit") or arguments.has("insecure"):
            raise UsageError("-limit and -insecure go with -port")
        return _tell(home, instance_file.load(home).name)
    with audited(home, "ttExporter", words):
        return _change(home, arguments)


def _change(home: Path, arguments: Arguments) -> int:
    settings = instance_file.load(home)
    file = home / exporter_file.FILE
    if arguments.one_of("port", "stop") == "stop":
        file.unlink(missing_ok=True)
    else:
        wanted = _wanted(arguments)
        if settings.internal_encryption == "off" and not wanted.insecure:
            raise ParameterError(
                "this grid has no certificates (gridCreate -internalEncryption off)",
                hint="Repeat the command with -insecure.",
            )
        if exporter_file.load(home) != wanted:
            (home / exporter_file.STATE_FILE).unlink(missing_ok=True)
        file.write_bytes(exporter_file.render(wanted))
        file.chmod(0o600)
    return _tell(home, settings.name)


def _wanted(arguments: Arguments) -> ExporterSettings:
    port = arguments.integer("port", 0)
    limit = arguments.integer("limit", exporter_file.LIMIT)
    if not 0 < port < 65_536 or limit < 0:
        raise UsageError("-port wants a number from 1 to 65535, -limit one from 0")
    return ExporterSettings(port=port, insecure=arguments.has("insecure"), limit=limit)


def _tell(home: Path, name: str) -> int:
    """Wait until the daemon has followed, and say what came of it. Raises OperationError."""
    wanted = exporter_file.load(home)
    if not read_pid(home, PID_FILE):
        does = f"will serve port {wanted.port}" if wanted is not None else "serves nothing"
        print(f"{name} is not running; it {does} when it is started.")
        return 0
    began_s = time.monotonic()
    while time.monotonic() - began_s < WAIT_S:
        word, _, rest = _state(home).partition(" ")
        if word == "failed":
            raise OperationError(f"{name} cannot serve metrics: {rest}")
        if (word == "serving") == (wanted is not None) and word:
            print(f"{name} {f'serves {rest}' if wanted is not None else 'serves no metrics'}.")
            return 0
        time.sleep(POLL_S)
    raise OperationError(
        f"{name} has not followed in {WAIT_S:g} s",
        hint="Is its daemon of an older release? ttDaemonAdmin -restart starts this one.",
    )


def _state(home: Path) -> str:
    try:
        return (home / exporter_file.STATE_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
