"""One grid in this process, and one PostgreSQL, for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sql import references
from tests.sql.references import PostgreSQL, Reference, SQLite
from tests.sql.target import Words, target


@pytest.fixture(scope="session")
def words() -> Iterator[list[Words]]:
    """How to connect to its data instances."""
    with target() as found:
        yield found


@pytest.fixture(scope="session")
def others() -> Iterator[list[Reference]]:
    """What answers are compared with."""
    made: list[Reference] = [SQLite()]
    if not references.missing():
        made.insert(0, PostgreSQL())
    yield made
    for other in made:
        other.close()
