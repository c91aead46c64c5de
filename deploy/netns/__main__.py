"""Eight hosts on one machine: python -m deploy.netns up|hosts|status|run|off|on|down.

    up                 hosts, grid G3 (K=3), open database
    hosts              the hosts only, with ssh between them
    status             what runs
    run HOST COMMAND   a command in a host (host1..host8, ms_host1..3, client)
    admin WORDS        ttGridAdmin on host1
    off HOST, on HOST  cut and give back a host's power
    down               end everything; -keep leaves the files

NETNS_DIR (.netns) is where all files are. Linux, root; no container engine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.netns import hosts
from deploy.netns.grid import HOME, Grid, exists
from deploy.netns.plan import MEMBERSHIP_IDS, Lab, host_name, membership_name
from protocol.errors import GridError, ModelError, OperationError


def main() -> int:
    """Entry point."""
    words = sys.argv[1:]
    folder = Path(os.environ.get("NETNS_DIR") or ".netns").absolute()
    lab = Lab(folder=folder)
    try:
        match words:
            case ["up"]:
                return _up(lab)
            case ["hosts"]:
                return _hosts(lab)
            case ["status"]:
                return _status(lab)
            case ["run", name, *command] if command:
                return subprocess.call(hosts.command(lab, name, command))
            case ["admin", *command]:
                tool = f"{HOME}/bin/ttGridAdmin"
                return subprocess.call(hosts.command(lab, host_name(1), [tool, *command]))
            case ["off", name]:
                hosts.power_off(lab, name)
                return 0
            case ["on", name]:
                servers = [membership_name(n) for n in MEMBERSHIP_IDS]
                hosts.start_host(lab, name, with_software=name in (host_name(1), *servers))
                return 0
            case ["down", *more]:
                return _down(lab, keep="-keep" in more)
    except GridError as error:
        print(*(t for t in (error.message, error.detail, error.hint) if t), sep="\n",
              file=sys.stderr)  # fmt: skip
        return 1
    print(__doc__, file=sys.stderr)
    return 2


def _up(lab: Lab) -> int:
    _check_machine()
    if exists(lab.folder):
        raise ModelError(f"{lab.folder} holds a grid already", hint="make netns-down removes it.")
    Grid(lab).make()
    print(
        f"""
The grid is up: host1 and host2 manage, host3 to host8 hold database1, K=3.

    python -m deploy.netns admin dbStatus database1 -all
    python -m deploy.netns run client psql -h 10.77.1.13 -p 6625 ...
    python -m deploy.netns off host6        # and: on host6, then ttDaemonAdmin -start there

All files are in {lab.folder}; make netns-down ends and removes everything."""
    )
    return 0


def _hosts(lab: Lab) -> int:
    _check_machine()
    grid = Grid(lab)
    with grid.step("Building the installation"):
        grid.build_software()
    with grid.step(f"Starting {len(lab.names())} hosts"):
        grid.start_hosts()
    return 0


def _status(lab: Lab) -> int:
    for name in lab.names():
        pid = hosts.pid_of(lab, name)
        print(f"{name:<10} {f'runs (PID {pid})' if pid else 'does not run'}")
    return 0


def _down(lab: Lab, *, keep: bool) -> int:
    hosts.stop_all(lab)
    if not keep:
        hosts.remove(lab)
    return 0


def _check_machine() -> None:
    if lacks := hosts.missing():
        raise OperationError(f"missing on this machine: {', '.join(lacks)}")


if __name__ == "__main__":
    sys.exit(main())
