"""ttStatus: what runs in the instance TIMESTEN_HOME."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mgmt.cli import daemon_control
from mgmt.cli.client import home_from_environment
from mgmt.cli.command import Option
from mgmt.cli.tool import guarded
from mgmt.cli.words import parse_tool, tool_help
from protocol import exporter_file, instance_file
from protocol.errors import ParameterError
from protocol.exporter_file import ExporterSettings

STATUS_FILE = "info/status.json"  # a data instance writes there what it serves, if it does
SPECIFICATIONS = "conf/databases/*.json"  # one per element this instance holds
OPTIONS = (Option("json", "", "JSON"), Option("v", "", "all that is known"))


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    arguments = parse_tool("ttStatus", words, OPTIONS)
    if arguments.has("help") or arguments.has("h"):
        print(tool_help("ttStatus", "Show the state of the instance TIMESTEN_HOME.", OPTIONS))
        return 0
    facts = _facts(home_from_environment())
    print(json.dumps(facts, indent=2) if arguments.has("json") else _text(facts))
    return 0 if facts["daemon"]["pid"] else 1


def _facts(home: Path) -> dict[str, Any]:
    settings = instance_file.load(home)
    pid = daemon_control.read_pid(home, daemon_control.PID_FILE)
    listeners = [{"network": "internal", "address": settings.internal_address}]
    listeners[0]["port"] = str(settings.daemon_port)
    if settings.kind == "mgmt":
        port = str(settings.mgmt_port)
        address = settings.internal_address
        listeners.append({"network": "management API", "address": address, "port": port})
    else:
        port = str(settings.cs_port)
        address = settings.external_address
        listeners.append({"network": "external", "address": address, "port": port})
    exporter = _exporter(home)
    if exporter is not None:
        port, address = str(exporter.port), settings.internal_address
        listeners.append({"network": "metrics", "address": address, "port": port})
    return {
        "instance": {
            "name": settings.name,
            "type": "management" if settings.kind == "mgmt" else "data",
            "home": settings.home,
            "grid": settings.grid,
        },
        "daemon": {
            "pid": pid,
            "port": settings.daemon_port,
            "supervisor": daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE),
            "ready": (home / daemon_control.READY_FILE).exists(),
        },
        "server": {"pid": pid, "port": settings.cs_port} if settings.kind == "data" else {},
        "listeners": listeners,
        "db info": _databases(home) if pid else [],
    }


def _exporter(home: Path) -> ExporterSettings | None:
    """Where metrics are served; None: nowhere."""
    try:
        return exporter_file.load(home)
    except ParameterError:
        return None


def _databases(home: Path) -> list[Any]:
    """What the daemon tells about its databases, at least their names."""
    try:
        found = json.loads((home / STATUS_FILE).read_text(encoding="utf-8"))
        return list(found["databases"])
    except (OSError, ValueError, KeyError, TypeError):
        return [{"data store": file.stem} for file in sorted(home.glob(SPECIFICATIONS))]


def _text(facts: dict[str, Any]) -> str:
    instance, daemon = facts["instance"], facts["daemon"]
    lines = [f"TimesTen status report of instance {instance['name']} ({instance['type']})"]
    if not daemon["pid"]:
        return "\n".join([*lines, "", "TimesTen daemon is not running."])
    state = "ready" if daemon["ready"] else "starting"
    lines += ["", f"Daemon pid {daemon['pid']} port {daemon['port']} instance {instance['name']}"]
    lines.append(f"Supervisor pid {daemon['supervisor'] or 'none'}; the daemon is {state}")
    for listener in facts["listeners"]:
        where = f"{listener['address']}:{listener['port']}"
        lines.append(f"Listening on {where} ({listener['network']})")
    for database in facts["db info"]:
        lines += ["", f"Data store {database.get('data store', database)}"]
        lines += [f"  {key}: {value}" for key, value in database.items() if key != "data store"]
    return "\n".join([*lines, "", "End of report"])


if __name__ == "__main__":
    sys.exit(main())
