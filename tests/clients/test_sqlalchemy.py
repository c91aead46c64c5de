"""SQLAlchemy against a grid: reflection, tables made from metadata, the ORM."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tests.clients.test_tools import words

__all__ = ["words"]


@pytest.fixture(scope="module")
def engine(words: dict[str, Any]) -> Iterator[sa.Engine]:
    """Over psycopg."""
    url = sa.URL.create(
        "postgresql+psycopg", words["user"], words["password"], words["host"], words["port"],
        words["dbname"],
    )  # fmt: skip
    made = sa.create_engine(url, poolclass=sa.NullPool)
    yield made
    made.dispose()


def test_reflection_of_one_table(engine: sa.Engine) -> None:
    seen = sa.inspect(engine)
    assert {"tool_accounts", "tool_customers", "tool_kinds", "Tool Mixed"} <= set(
        seen.get_table_names()
    )
    assert seen.get_view_names() == ["tool_rich"]
    assert "tool_seq" in seen.get_sequence_names()
    columns = {column["name"]: column for column in seen.get_columns("tool_customers")}
    assert [(name, str(column["type"])) for name, column in columns.items()] == [
        ("cust_id", "NUMERIC(10, 0)"), ("name", "VARCHAR(30)"), ("email", "VARCHAR(40)"),
        ("credit", "NUMERIC(10, 2)"), ("born", "TIMESTAMP"), ("moment", "TIMESTAMP"),
        ("f", "DOUBLE PRECISION"), ("c", "CHAR(5)"), ("vb", "BYTEA"),
    ]  # fmt: skip
    assert not columns["name"]["nullable"]
    assert columns["name"]["comment"] == "family name"
    assert columns["credit"]["default"] == "0"
    key = seen.get_pk_constraint("tool_customers")
    assert (key["name"], key["constrained_columns"]) == ("tool_customers_pkey", ["cust_id"])
    (foreign,) = seen.get_foreign_keys("tool_accounts")
    assert (foreign["name"], foreign["referred_table"], foreign["options"]) == (
        "tool_owner", "tool_customers", {"ondelete": "CASCADE"},
    )  # fmt: skip
    indexes = {i["name"]: i["column_names"] for i in seen.get_indexes("tool_customers")}
    assert indexes["tool_by_name"] == ["name", "credit"]
    (unique,) = seen.get_unique_constraints("tool_customers")
    assert unique["column_names"] == ["email"]
    (check,) = seen.get_check_constraints("tool_customers")
    assert check["sqltext"] == "credit >= 0"
    assert seen.get_table_comment("tool_customers") == {"text": "who buys"}
    options = seen.get_table_options("tool_kinds")
    assert options == {"postgresql_with": {"distribute_by": "duplicate"}}
    assert "credit >= 10" in seen.get_view_definition("tool_rich")


def test_reflection_of_a_schema(engine: sa.Engine) -> None:
    found = sa.MetaData()
    found.reflect(engine, views=True)
    account = found.tables["tool_accounts"]
    (owner,) = account.c.cust_id.foreign_keys
    assert owner.column is found.tables["tool_customers"].c.cust_id
    assert found.tables["Tool Mixed"].primary_key.columns.keys() == ["Id"]
    assert found.tables["tool_rich"].c.keys() == ["cust_id", "name"]


class Colour(enum.Enum):
    """Of a column."""

    RED = 1
    BLUE = 2


def test_the_dialect_of_grids(words: dict[str, Any]) -> None:
    """A date is a day, a float binary, an enumeration a text."""
    registry.register("postgresql.tengrid", "deploy.clients.sqlalchemy_dialect", "Dialect")
    url = sa.URL.create(
        "postgresql+tengrid", words["user"], words["password"], words["host"], words["port"],
        words["dbname"],
    )  # fmt: skip
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    kinds = sa.Table(
        "dialect_kinds", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("day", sa.Date), sa.Column("f", sa.Float), sa.Column("colour", sa.Enum(Colour)),
    )  # fmt: skip
    kinds.create(engine)
    day = date(2020, 1, 2)
    try:
        with engine.begin() as connection:
            row = {"id": 1, "day": day, "f": float("inf"), "colour": Colour.BLUE}
            connection.execute(kinds.insert(), [row])
            found = connection.execute(kinds.select().where(kinds.c.day == day)).one()
            assert tuple(found) == (1, day, float("inf"), Colour.BLUE)
            parts = sa.literal(15) // sa.literal(10), sa.literal(15) / sa.literal(10)
            assert tuple(connection.execute(sa.select(*parts)).one()) == (1, Decimal("1.5"))
        types = [str(column["type"]) for column in sa.inspect(engine).get_columns("dialect_kinds")]
        assert types == ["INTEGER", "DATE", "DOUBLE PRECISION", "VARCHAR(4)"]
    finally:
        kinds.drop(engine)
        engine.dispose()


class Base(DeclarativeBase):
    """Of the mapped classes."""


class Order(Base):
    """An order of some lines."""

    __tablename__ = "tool_orders"
    id: Mapped[int] = mapped_column(sa.Sequence("tool_orders_seq"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20), unique=True)
    amount: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    lines: Mapped[list[Line]] = relationship(back_populates="order", cascade="all, delete-orphan")


class Line(Base):
    """A line of an order."""

    __tablename__ = "tool_lines"
    id: Mapped[int] = mapped_column(sa.Sequence("tool_lines_seq"), primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey("tool_orders.id"))
    what: Mapped[str] = mapped_column(sa.String(10))
    order: Mapped[Order] = relationship(back_populates="lines")


def test_the_orm(engine: sa.Engine) -> None:
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)  # sees that they are there
    try:
        with Session(engine) as session:
            session.add(
                Order(name="a", amount=Decimal("5.25"), lines=[Line(what=w) for w in "xyz"])
            )
            session.add_all([Order(name=f"b{n}", amount=Decimal(n)) for n in range(20)])
            session.commit()
            total = session.scalar(sa.select(sa.func.sum(Order.amount)))
            assert total == Decimal("195.25")
            first = session.scalars(sa.select(Order).where(Order.name == "a")).one()
            assert sorted(line.what for line in first.lines) == ["x", "y", "z"]
            first.amount = Decimal("9.99")
            first.lines.pop()
            session.commit()
            busy = sa.select(Order.name, sa.func.count(Line.id)).join(Line).group_by(Order.name)
            assert session.execute(busy).all() == [("a", 2)]
            last = sa.select(Order.name).order_by(Order.amount.desc()).limit(2).offset(1)
            assert session.scalars(last).all() == ["b18", "b17"]
            session.add(Order(name="a"))
            with pytest.raises(sa.exc.IntegrityError):
                session.commit()
            session.rollback()
            session.delete(first)
            session.commit()
            assert session.scalar(sa.select(sa.func.count()).select_from(Line)) == 0
    finally:
        Base.metadata.drop_all(engine)


def test_identity_columns(engine: sa.Engine) -> None:
    made = sa.MetaData()
    table = sa.Table(
        "tool_identity", made, sa.Column("id", sa.Integer, sa.Identity(start=3), primary_key=True),
        sa.Column("name", sa.String(10)),
    )  # fmt: skip
    made.create_all(engine)
    try:
        with engine.begin() as connection:
            statement = sa.insert(table).returning(table.c.id)
            assert connection.scalar(statement, {"name": "x"}) == 3
        found = sa.inspect(engine).get_columns("tool_identity")[0]
        assert (found["identity"]["start"], found["identity"]["always"]) == (3, False)
    finally:
        made.drop_all(engine)
