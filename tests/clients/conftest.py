"""One grid for all client tests of a run; each makes what tables it needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.real_grid import RealGrid

Rows = tuple[object, ...]


@pytest.fixture(scope="session")
def grid() -> Iterator[RealGrid]:
    """A short path: Unix sockets are made in it."""
    folder = Path(tempfile.mkdtemp(prefix="tgc"))
    real = RealGrid.make(folder / "g")
    yield real
    real.destroy()
    shutil.rmtree(folder)


@pytest.fixture
def client(grid: RealGrid) -> Iterator[psycopg.Connection[Rows]]:
    """A session at the first data instance; its tables t and typed are new."""
    with psycopg.connect(**grid.words(grid.addresses()[0])) as connection:
        for table in ("child", "t", "typed"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute("CREATE TABLE t (id NUMBER(10) PRIMARY KEY, name VARCHAR2(20))")
        yield connection
