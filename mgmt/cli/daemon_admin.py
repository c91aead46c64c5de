"""ttDaemonAdmin: start, stop, restart the daemon of an instance."""

from __future__ import annotations

import sys
from pathlib import Path

from mgmt.cli import daemon_control
from mgmt.cli.client import home_from_environment
from mgmt.cli.command import Option
from mgmt.cli.daemon_control import STOP_TIMEOUT_S
from mgmt.cli.tool import audited, guarded
from mgmt.cli.words import parse_tool, tool_help
from protocol.errors import UsageError

HANGS_S = 10.0  # -start -force kills what does not stop within this time
OPTIONS = (
    Option("start", "", "start the daemon and its listeners"),
    Option("stop", "", "stop them in order"),
    Option("restart", "", "stop, then start"),
    Option("force", "", "kill what does not stop in time; with -start: what hangs there too"),
)


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    arguments = parse_tool("ttDaemonAdmin", words, OPTIONS)
    if arguments.has("help") or arguments.has("h"):
        print(tool_help("ttDaemonAdmin", "Control the daemon of an instance.", OPTIONS))
        return 0
    action = arguments.one_of("start", "stop", "restart")
    if not action:
        raise UsageError(
            "ttDaemonAdmin wants -start, -stop or -restart",
            hint="ttDaemonAdmin -help lists its options.",
        )
    home = home_from_environment()
    with audited(home, "ttDaemonAdmin", words):
        _act(home, action, force=arguments.has("force"))
    return 0


def _act(home: Path, action: str, *, force: bool) -> None:
    if action in ("stop", "restart") or (action == "start" and force):
        _stop(home, force=force, timeout_s=HANGS_S if action == "start" else STOP_TIMEOUT_S)
    if action in ("start", "restart"):
        pid, port = daemon_control.start(home)
        print(f"TimesTen Daemon (PID: {pid}, port: {port}) startup OK.")


def _stop(home: Path, *, force: bool, timeout_s: float) -> None:
    pid = daemon_control.read_pid(home, daemon_control.PID_FILE)
    if daemon_control.stop(home, force=force, timeout_s=timeout_s):
        print(f"TimesTen Daemon (PID: {pid}) stopped." if pid else "TimesTen Daemon stopped.")
    else:
        print("TimesTen Daemon is not running.")


if __name__ == "__main__":
    sys.exit(main())
