"""The sample in an open database: python -m deploy.sample SOCKET_FOLDER HOST:PORT ...

Runs as the instance administrator where SOCKET_FOLDER (`info` of a data instance's home) is. The
password of the user is the first line of standard input. May be repeated: what is there is kept.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

import psycopg

from deploy.sample import again
from deploy.sample.load import Address, Login

WAIT_S = 120.0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="deploy.sample", description=__doc__)
    parser.add_argument("socket_folder", type=Path)
    parser.add_argument("addresses", nargs="+", metavar="HOST:PORT")
    parser.add_argument("-database", default="database1")
    parser.add_argument("-user", default="app")
    given = parser.parse_args()
    login = Login(given.database, given.user, sys.stdin.readline().rstrip("\n"))
    addresses = [Address(host, int(port)) for host, port in map(_parts, given.addresses)]
    if not login.password:
        parser.error("no password on standard input")

    def work() -> None:
        again.user(given.socket_folder, addresses[0].port, getpass.getuser(), login)
        again.schema(addresses[0], login)
        again.rows(addresses, login, say)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        again.patient(work, WAIT_S)
    except psycopg.Error as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parts(text: str) -> tuple[str, str]:
    host, _, port = text.rpartition(":")
    return host, port


if __name__ == "__main__":
    sys.exit(main())
