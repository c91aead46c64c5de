"""The programs of docs/clients.md: found in the page, run against a grid, spoken to."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from tests.clients.test_jdbc import driver
from tests.support.real_grid import RealGrid

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clients.md"
NODE_MODULES = (ROOT / ".venv" / "node" / "node_modules", Path("/usr/share/nodejs"))
ANSWER_S = 25.0
PASSWORD = "orders"
_SECTION = re.compile(r"^## (?P<title>.+?)\n(?P<body>.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(title: str) -> list[tuple[str, str]]:
    """Language and text of the programs under a heading of the page."""
    for section in _SECTION.finditer(PAGE.read_text(encoding="utf-8")):
        if section["title"] == title:
            return _BLOCK.findall(section["body"])
    raise AssertionError(f"docs/clients.md has no section {title}")


def _module(name: str) -> Callable[[], str]:
    return lambda: "" if importlib.util.find_spec(name) else f"{name} is not installed"


def _odbc() -> str:
    if missing := _module("pyodbc")():
        return missing
    try:
        import pyodbc
    except ImportError as error:
        return f"pyodbc finds no driver manager (unixodbc): {error}"

    found = "PostgreSQL Unicode" in pyodbc.drivers()
    return "" if found else "PostgreSQL's ODBC driver (odbc-postgresql) is not on this machine"


def _java() -> str:
    if shutil.which("javac") is None:
        return "no Java compiler on this machine"
    return "" if driver() else "PostgreSQL's JDBC driver is not on this machine"


def _node() -> str:
    if shutil.which("node") is None:
        return "no node on this machine"
    there = any((place / "pg").is_dir() for place in NODE_MODULES)
    return "" if there else "node's pg is not on this machine"


# heading: why it cannot run here ("" if it can)
DRIVERS: dict[str, Callable[[], str]] = {
    "psycopg 3": _module("psycopg"),
    "psycopg2": _module("psycopg2"),
    "asyncpg": _module("asyncpg"),
    "SQLAlchemy": _module("sqlalchemy"),
    "JDBC": _java,
    "ODBC": _odbc,
    "node": _node,
}


@dataclass
class Program:
    """One of them that runs, as its own user of the database."""

    title: str
    process: asyncio.subprocess.Process
    errors: asyncio.StreamReader
    said: list[str] = field(default_factory=list)
    complained: list[str] = field(default_factory=list)

    async def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(ANSWER_S):
            line = (await self.process.stdout.readline()).decode().rstrip()
        if not line:
            self.complained.append((await self.errors.read()).decode())
            raise AssertionError(f"{self.title} ended: {self.complained}")
        self.said.append(line)
        return line

    async def order(self, number: int) -> int:
        """Give it an order; the element that took it."""
        self.give(number)
        return self.element(await self.line(), number)

    def give(self, number: int) -> None:
        """An order for a book."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d book\n" % number)

    def element(self, line: str, number: int) -> int:
        """From what it says when an order is done."""
        found = re.fullmatch(rf"order {number} by element (\d+)", line)
        assert found is not None, (self.title, line)
        return int(found.group(1))

    async def tries_again(self) -> str:
        """Wait until it says that it does something again; the SQLSTATE."""
        async with asyncio.timeout(ANSWER_S):
            while line := (await self.errors.readline()).decode().rstrip():
                self.complained.append(line)
                if line.startswith("again: "):
                    return line.removeprefix("again: ")
        raise AssertionError(f"{self.title} ended: {self.complained}")

    async def end(self) -> int:
        """No more orders; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(ANSWER_S):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode

    def kill(self) -> None:
        """If a test fails."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


def user_of(title: str) -> str:
    """The database user of a program."""
    return "orders_" + re.sub(r"\W", "", title).lower()


def make_user(grid: RealGrid, title: str) -> None:
    """Its user, with the tables of the page."""
    user = user_of(title)
    with grid.administrator() as connection:
        with contextlib.suppress(psycopg.Error):
            connection.execute(sql.SQL("DROP USER {} CASCADE").format(sql.SQL(user)))
        connection.execute(f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}'".encode())
        connection.execute(f"GRANT CREATE SESSION, CREATE TABLE TO {user}".encode())
    with connect(grid, title) as connection:
        for text in tables():
            connection.execute(text.encode())


def tables() -> list[str]:
    """The statements of the page that make the tables."""
    head = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    found = _BLOCK.search(head)
    assert found is not None and found.group(1) == "sql"
    return [text for text in found.group(2).split(";\n") if text.strip()]


def connect(grid: RealGrid, title: str, host: int = 0) -> psycopg.Connection:
    """As the user of a program, at the last data instance if no other is named."""
    words = grid.words(grid.address(host or grid.hosts[-1]))
    return psycopg.connect(**{**words, "user": user_of(title), "password": PASSWORD})


def environment(grid: RealGrid, title: str, folder: Path) -> dict[str, str]:
    """What the page says that its programs read; the service file is made in `folder`."""
    user, addresses, port = user_of(title), grid.addresses(), grid.plan.cs_port
    service, secrets = folder / f"{user}.conf", folder / f"{user}.pass"
    service.write_text(
        f"[database1]\nhost={','.join(addresses)}\nport={','.join([str(port)] * len(addresses))}\n"
        f"dbname=database1\nuser={user}\npassfile={secrets}\nsslmode=disable\nconnect_timeout=20\n"
    )
    secrets.write_text(f"*:*:*:*:{PASSWORD}\n")
    secrets.chmod(0o600)
    modules = ":".join(map(str, NODE_MODULES))
    words = {
        "PGSERVICEFILE": service, "PGPASSFILE": secrets, "PGUSER": user, "PGPASSWORD": PASSWORD,
        "HOSTS": ",".join(f"{address}:{port}" for address in addresses),
        "ADDRESS": addresses[-1], "PORT": port, "NODE_PATH": modules, "HOME": folder,
        "NODE_NO_WARNINGS": 1, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    return {**os.environ, **{name: str(value) for name, value in words.items()}}


async def start(grid: RealGrid, title: str, folder: Path) -> Program:
    """Run a program of the page."""
    ((language, text),) = blocks(title)
    name = {"python": f"{user_of(title)}.py", "java": "Orders.java", "js": "orders.js"}[language]
    file = folder / name
    file.write_text(text)
    command = {
        "python": [sys.executable, str(file)],
        "java": ["java", "-cp", str(driver()), str(file)],
        "js": ["node", str(file)],
    }[language]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(grid, title, folder), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=folder,
    )  # fmt: skip
    assert process.stderr is not None
    return Program(title, process, process.stderr)


async def shell(grid: RealGrid, title: str, folder: Path) -> tuple[int, str]:
    """Run a script of the page; exit code and output."""
    ((language, text),) = blocks(title)
    assert language == "sh"
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", text, env=environment(grid, title, folder), cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(2 * ANSWER_S):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()
