"""Values the executor itself supplies to a statement: time, user, sequences, scalar subqueries."""

from __future__ import annotations

from typing import Any, Protocol

from data.distribution.route import Special
from data.storage.temporary import TemporaryTables
from protocol.clock import wall_us
from protocol.errors import InternalError, SequenceError
from protocol.sqltypes import StorageValue

_DAY_US = 86_400_000_000


class Facts(Protocol):
    """What a session knows of itself (data/exec/session.py)."""

    user: str
    schema: str
    database: str
    session_id: int
    element: int
    current_values: dict[int, int]
    temporary: TemporaryTables

    @property
    def replica_set(self) -> int: ...
    @property
    def data_space(self) -> int: ...
    @property
    def element_map(self) -> str: ...


class Specials:
    """The special values of one statement: each is the same wherever the statement runs."""

    __slots__ = ("_now_us", "facts", "next_values", "rows", "scalars")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._now_us = 0
        self.next_values: dict[int, int] = {}
        self.scalars: dict[int, StorageValue] = {}  # values of queries that ran before, by number
        self.rows: dict[int, str] = {}  # rows of queries that ran before, as JSON

    def __call__(self, special: Special) -> StorageValue:
        """The value of a Special. Raises SequenceError for CURRVAL before NEXTVAL."""
        name = special.name
        if name == "sysdate":
            return self.now_us() // 1_000_000 * 1_000_000
        if name == "systimestamp":
            return self.now_us()
        if name == "today":
            return self.now_us() // _DAY_US * _DAY_US
        if name == "currval":
            return self.current_value(special.argument)
        if name == "nextval":
            return self.next_values[special.argument]
        if name == "scalar":
            return self.scalars[special.argument]
        if name == "rows":
            return self.rows[special.argument]
        value: Any = getattr(self.facts, _FACTS.get(name, ""), None)
        if value is None:
            raise InternalError(f"unknown special value {name}")
        return value  # type: ignore[no-any-return]

    def now_us(self) -> int:
        """Microseconds since 1970 when the statement first asked."""
        if not self._now_us:
            self._now_us = wall_us()
        return self._now_us

    def current_value(self, sequence_id: int) -> int:
        """CURRVAL of the session."""
        try:
            return self.facts.current_values[sequence_id]
        except KeyError:
            raise SequenceError(
                "CURRVAL of a sequence that gave this session no number yet",
                hint="Use NEXTVAL first.",
            ) from None


_FACTS = {
    "user": "user",
    "schema": "schema",
    "element": "element",
    "replica_set": "replica_set",
    "data_space": "data_space",
    "database": "database",
    "session_id": "session_id",
    "element_map": "element_map",
}
