"""TPTBM with asyncpg: python -m benchmarks.driver [--service database1] [--build] ...

Needs PGSERVICEFILE (`. .grid/env.sh`); spreads its connections over all addresses of the service.
Works against any server that speaks PostgreSQL's protocol; `--build` makes the table (on a grid
distributed by the key) and fills it.
"""

from __future__ import annotations

import argparse
import asyncio
import configparser
import os
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import uvloop

from benchmarks.targets.base import Door

READ = (
    "SELECT directory_nb, last_calling_party, descr FROM vpn_users "
    "WHERE vpn_id = $1 AND vpn_nb = $2"
)
UPDATE = "UPDATE vpn_users SET last_calling_party = $1 WHERE vpn_id = $2 AND vpn_nb = $3"
CREATE = """CREATE TABLE vpn_users (
  vpn_id TT_INTEGER NOT NULL, vpn_nb TT_INTEGER NOT NULL, directory_nb CHAR(10) NOT NULL,
  last_calling_party CHAR(10) NOT NULL, descr CHAR(100) NOT NULL, PRIMARY KEY (vpn_id, vpn_nb)
) DISTRIBUTE BY HASH(vpn_id, vpn_nb)"""
COLUMNS = ("vpn_id", "vpn_nb", "directory_nb", "last_calling_party", "descr")


@dataclass
class Tally:
    """What the clients did."""

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", default="database1", help="section of PGSERVICEFILE")
    parser.add_argument("--build", action="store_true", help="make and fill vpn_users first")
    parser.add_argument("--key", type=int, default=100, help="KEY x KEY rows")
    parser.add_argument("--read", type=int, default=80, help="percent; the rest are updates")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--sec", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=2021)
    uvloop.run(_main(parser.parse_args()))
    return 0


async def _main(arguments: argparse.Namespace) -> None:
    words, doors = service(arguments.service)
    if arguments.build:
        await _build(words, doors[0], arguments.key)
    connections = [
        await asyncpg.connect(host=door.host, port=door.port, **words)
        for door in (doors[n % len(doors)] for n in range(arguments.clients))
    ]
    read, update = arguments.read, 100 - arguments.read
    print(f"Beginning execution with {len(connections)} clients: {read}% read, {update}% update")
    tally = Tally()
    began_s = time.perf_counter()
    until_s = began_s + arguments.sec
    async with asyncio.TaskGroup() as group:
        for number, connection in enumerate(connections):
            chance = random.Random(arguments.seed + number)
            group.create_task(_client(connection, chance, arguments, until_s, tally))
    elapsed_s = time.perf_counter() - began_s
    for connection in connections:
        await connection.close()
    latencies_ms = sorted(s * 1000 for s in tally.latencies_s)
    shown = ", ".join(
        f"p{share} {latencies_ms[min(len(latencies_ms) - 1, len(latencies_ms) * share // 100)]:.2f}"
        for share in (50, 95, 99)
    )
    print(f"Elapsed time: {elapsed_s:10.1f} seconds")
    print(f"Transaction rate: {len(latencies_ms) / elapsed_s:10.1f} transactions/second")
    print(f"Latency, ms: {shown}; retried {tally.errors}")


async def _client(
    connection: Any, chance: random.Random, arguments: Any, until_s: float, tally: Tally
) -> None:
    """One client: a transaction after the other; those that ask for it are run again."""
    read, update = await connection.prepare(READ), await connection.prepare(UPDATE)
    key = arguments.key
    while (began_s := time.perf_counter()) < until_s:
        vpn, number = chance.randrange(key), chance.randrange(key)
        try:
            if chance.randrange(100) < arguments.read:
                rows = await read.fetch(vpn, number)
                assert len(rows) == 1, (vpn, number)
            else:
                await update.fetch(f"{vpn}x{number}", vpn, number)
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            tally.errors += 1
        else:
            tally.latencies_s.append(time.perf_counter() - began_s)


async def _build(words: dict[str, Any], door: Door, key: int) -> None:
    connection = await asyncpg.connect(host=door.host, port=door.port, **words)
    await connection.execute(CREATE)
    rows = (
        (vpn, number, f"55{vpn:04d}{number:04d}", "0" * 10, "place-holder")
        for vpn in range(key)
        for number in range(key)
    )
    await connection.executemany(
        f"INSERT INTO vpn_users ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5)", rows
    )
    await connection.close()


def service(name: str) -> tuple[dict[str, Any], list[Door]]:
    """What asyncpg needs to connect, and the addresses, from the service file."""
    file = os.environ.get("PGSERVICEFILE", "")
    parser = configparser.ConfigParser()
    if not file or not parser.read(file) or name not in parser:
        sys.exit(f"no service {name} in PGSERVICEFILE ({file or 'not set'}); . GRID_DIR/env.sh")
    section = parser[name]
    words = {"user": section["user"], "database": section["dbname"]}
    if "passfile" in section:
        words["passfile"] = section["passfile"]
    hosts, ports = section["host"].split(","), section["port"].split(",")
    return words, [Door(host, int(port)) for host, port in zip(hosts, ports, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
