"""The sample's walk-through T14 to T22 in one session of ttIsql, as TimesTen's documents show it.

walkthrough.txt holds it: `> ` what is typed, below it what must come, in this order; `?` is a value
that depends on the place of a row, `*` any text. Between these lines ttIsql may print more.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from deploy.sample import generate
from tests.support.memory_grid import DATABASE, MemoryGrid

ROOT = Path(__file__).resolve().parents[3]
TEXT = Path(__file__).with_name("walkthrough.txt").read_text(encoding="utf-8")


def _service(name: str, host: str, port: int) -> str:
    return f"[{name}]\nhost={host}\nport={port}\ndbname={DATABASE}\n"


def _customers(last: int) -> str:
    """INSERT statements for the sample's first customers."""
    lines = []
    for row in generate.customers(last):
        values = [
            "NULL" if value == generate.NULL else "'{}'".format(value.replace("'", "''"))
            for value in row.rstrip("\n").split("\t")
        ]
        if int(values[0].strip("'")) >= 910:
            lines.append(f"INSERT INTO customers VALUES ({', '.join(values[:6])}, SYSDATE);")
    return "\n".join(lines)


def _pattern(line: str) -> re.Pattern[str]:
    text = re.escape(line).replace(r"\?", r"\d+").replace(r":\ \*", ": .*")
    return re.compile(f"^{text}", re.MULTILINE)


@pytest.mark.timeout(90)
async def test_the_walk_through(tmp_path: Path) -> None:
    grid = MemoryGrid(tmp_path, k=2, sets=3)
    await grid.start()
    first, last = grid.nodes[0], grid.nodes[5]
    customers, script = tmp_path / "customers.sql", tmp_path / "script.sql"
    customers.write_text(_customers(920), encoding="utf-8")
    services = tmp_path / "pg_service.conf"
    services.write_text(
        _service("admin", str(first.home / "info"), first.settings.cs_port)
        + _service("database1", "127.0.0.1", first.settings.cs_port)
        + _service("element6", "127.0.0.1", last.settings.cs_port)
    )
    lines = TEXT.replace("run CUSTOMERS", f"run {customers}").splitlines()
    script.write_text("\n".join(line[2:] for line in lines if line.startswith("> ")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.clients.isql", "-f", str(script), "admin"),
        cwd=ROOT,
        env={**os.environ, "PGSERVICEFILE": str(services)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    await grid.stop()
    at = 0
    for line in lines:
        if line and not line.startswith(("> ", "--")):
            found = _pattern(line).search(output, at)
            assert found is not None, f"not there, or not in this order: {line}\n{output[at:]}"
            at = found.end()
    assert "Passw0rd_1" not in output
