"""The isolation levels of a transaction, their names and numbers. Pure."""

from __future__ import annotations

from enum import IntEnum

from protocol.errors import ParameterError


class Isolation(IntEnum):
    """What a transaction may see of others; a higher one allows less."""

    READ_COMMITTED = 1  # each statement reads what is committed when it starts
    REPEATABLE_READ = 2  # all statements read one snapshot
    SERIALIZABLE = 3  # what was read is locked till the end

    @property
    def sql_name(self) -> str:
        """As SHOW transaction_isolation gives it."""
        return self.name.replace("_", " ").lower()


READ_UNCOMMITTED = "read uncommitted"  # is READ COMMITTED, and shown by the name it was asked by
_BY_NAME = {
    READ_UNCOMMITTED: Isolation.READ_COMMITTED,
    **{level.sql_name: level for level in Isolation},
}


def isolation_of(name: str) -> Isolation:
    """The level of an SQL name, in any case. Raises ParameterError."""
    found = _BY_NAME.get(" ".join(name.lower().split()))
    if found is None:
        raise ParameterError(
            f"{name} is no isolation level",
            hint="There are READ COMMITTED, REPEATABLE READ and SERIALIZABLE.",
        )
    return found


def shown_name(asked: str) -> str:
    """As SHOW transaction_isolation gives a level that was asked by this name."""
    name = " ".join(asked.lower().split())
    return name if name == READ_UNCOMMITTED else isolation_of(name).sql_name


def isolation_of_attribute(value: int) -> Isolation:
    """The level of the database attribute Isolation: 0 is SERIALIZABLE, 1 READ COMMITTED."""
    return Isolation.READ_COMMITTED if value else Isolation.SERIALIZABLE
