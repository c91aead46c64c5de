"""Limits of names, columns and indexes: what is at the limit works, one more is refused."""

from __future__ import annotations

import pytest

from protocol.errors import DefinitionError
from tests.support.catalogs import Dictionary, sample


@pytest.fixture
def grid() -> Dictionary:
    return sample()


@pytest.mark.parametrize("length", [30, 63])
def test_names_of_timestens_and_postgresqls_length(grid: Dictionary, length: int) -> None:
    name = "t" * length
    grid.run(f"create table {name} ({'c' * length} int)")
    assert grid.table(name.upper()).columns[0].name == "C" * length
    grid.run(f"create index {'i' * length} on {name} ({'c' * length})")


@pytest.mark.parametrize(
    "text",
    [
        "create table {} (a int)",
        "create table t ({} int)",
        "create table t (a int, constraint {} unique (a))",
        "create index {} on customers (zipcode)",
        "create sequence {}",
        "create view {} as select 1, 2 from customers",
        "alter table customers rename to {}",
        "alter table customers rename column zipcode to {}",
        "alter table customers add ({} int)",
    ],
)
def test_longer_names(grid: Dictionary, text: str) -> None:
    with pytest.raises(DefinitionError):
        grid.run(text.format("n" * 64))
    with pytest.raises(DefinitionError):
        grid.run(text.format('"' + "ä" * 32 + '"'))  # 64 bytes


def test_columns_of_a_table(grid: Dictionary) -> None:
    columns = [f"c{n} int" for n in range(1000)]
    grid.run(f"create table wide ({', '.join(columns)})")
    assert len(grid.table("WIDE").columns) == 1000
    with pytest.raises(DefinitionError):
        grid.run("alter table wide add (one_more int)")
    with pytest.raises(DefinitionError):
        grid.run(f"create table wider ({', '.join(columns)}, one_more int)")


def test_columns_of_an_index(grid: Dictionary) -> None:
    names = [f"c{n}" for n in range(33)]
    grid.run(f"create table wide ({', '.join(f'{n} int' for n in names)})")
    for kind in ("index", "hash index", "unique index", "global index"):
        grid.run(f"create {kind} on wide ({', '.join(names[:32])})")
        with pytest.raises(DefinitionError):
            grid.run(f"create {kind} on wide ({', '.join(names)})")
    with pytest.raises(DefinitionError):
        grid.run(f"alter table wide add primary key ({', '.join(names)})")
