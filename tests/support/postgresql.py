"""A PostgreSQL server of our own for a while: what answers are compared with."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.zookeeper import free_ports

BIN = Path("/usr/lib/postgresql/15/bin")
START_S = 20.0


def missing() -> str:
    """Why this machine cannot run it; "" if it can."""
    absent = [name for name in ("postgres", "initdb") if not os.access(BIN / name, os.X_OK)]
    return f"{', '.join(absent)} not in {BIN}" if absent else ""


def _as_postgres(*command: str) -> list[str]:
    if os.getuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]


@contextmanager
def server(folder: Path) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a new, empty cluster in `folder`, which is removed at the end."""
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    make = ("-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
    command = _as_postgres(str(BIN / "initdb"), "-D", str(data), *make)
    subprocess.run(command, check=True, capture_output=True, cwd="/")
    (port,) = free_ports(1)
    running = subprocess.Popen(
        _as_postgres(
            *(str(BIN / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"),
            *("-c", f"unix_socket_directories={folder}", "-c", "fsync=off"),
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        connection = _connected(port)
        try:
            yield connection
        finally:
            connection.close()
    finally:
        running.terminate()
        running.wait(START_S)
        shutil.rmtree(folder)


def _connected(port: int) -> psycopg.Connection[Any]:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return psycopg.connect(
                f"host=127.0.0.1 port={port} user=postgres dbname=postgres", autocommit=True
            )
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # polls a server that starts
