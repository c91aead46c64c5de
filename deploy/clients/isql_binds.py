"""Bind variables of ttIsql: `variable x NUMBER`, `:x` in statements and blocks, `print x`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MARK = "\x01ttisql "  # of a line of DBMS_OUTPUT that carries the value of a variable
CURSOR = "REFCURSOR"
_TEXTS = ("CHAR", "NCHAR", "VARCHAR2", "NVARCHAR2")
TYPES = ("NUMBER", *_TEXTS, "BINARY_FLOAT", "BINARY_DOUBLE", CURSOR)
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|(?<![:\w]):(?P<name>[A-Za-z_]\w*)", re.DOTALL
)
_DECLARED = re.compile(
    r"([A-Za-z_]\w*)\s+([A-Za-z_]\w*)\s*(?:\(\s*(\d+)\s*(?:CHAR|BYTE)?\s*\))?", re.IGNORECASE
)
_LENGTH_MAX = 32767


class VariableError(ValueError):
    """A variable that cannot be; the message says why."""


@dataclass
class Variable:
    """Its name in small letters, its type as it was declared, its value as text; of a REFCURSOR
    the rows as they are printed (None: it was not opened)."""

    name: str
    type: str
    value: str | None = None
    rows: list[str] | None = None

    @property
    def plsql_type(self) -> str:
        """For a declaration in a block."""
        unsized = self.type in _TEXTS
        return f"{self.type}({_LENGTH_MAX if 'VAR' in self.type else 1})" if unsized else self.type


class Variables:
    """Those of a session."""

    def __init__(self) -> None:
        self._known: dict[str, Variable] = {}

    def declare(self, text: str) -> Variable:
        """`x NUMBER`, `y VARCHAR2(20)`. Raises VariableError."""
        found = _DECLARED.fullmatch(text.strip())
        if found is None:
            raise VariableError("use: variable NAME TYPE")
        name, kind, length = found.groups()
        kind = {"STRING": "VARCHAR2", "VARCHAR": "VARCHAR2"}.get(kind.upper(), kind.upper())
        if kind not in TYPES:
            raise VariableError(f"variables of type {kind} are not supported: {', '.join(TYPES)}")
        made = Variable(name.lower(), f"{kind}({length})" if length else kind)
        self._known[made.name] = made
        return made

    def named(self, name: str) -> Variable:
        """Raises VariableError."""
        found = self._known.get(name.lower().removeprefix(":"))
        if found is None:
            raise VariableError(f"variable {name} is not declared")
        return found

    def all(self) -> list[Variable]:
        """In the order of their declaration."""
        return list(self._known.values())

    def forget(self, name: str) -> None:
        """Raises VariableError."""
        del self._known[self.named(name).name]

    def bind(self, statement: str) -> tuple[str, list[str | None]]:
        """The statement with $1, $2 and their values. Raises VariableError."""
        used: list[str] = []

        def number(name: str) -> str:
            if name not in used:
                used.append(name)
            return f"${used.index(name) + 1}"

        bound = _replaced(statement, number)
        if cursors := [name for name in used if self.named(name).type == CURSOR]:
            raise VariableError(f"{cursors[0]} is a REFCURSOR: only blocks and print use it")
        return bound, [self.named(name).value for name in used]

    def block(self, block: str) -> tuple[str, list[str | None]]:
        """A block that begins with the variables' values and tells them at its end; what it gives
        is the names of the cursors (see `cursors_of`)."""
        used: list[str] = []

        def inner(name: str) -> str:
            if name not in used:
                used.append(name)
            return f"ttisql_{name}"

        bound = _replaced(block, inner)
        if not used:
            return block, []
        variables = [self.named(name) for name in used]
        declared, told = "", ""
        for n, v in enumerate(variables, 1):
            if v.type == CURSOR:
                declared += f"ttisql_{v.name} SYS_REFCURSOR; "
                told += f" ${n} := ttisql_{v.name};"
                continue
            declared += f"ttisql_{v.name} {v.plsql_type} := ${n}; "
            told += (
                f" DBMS_OUTPUT.PUT_LINE('{MARK}{v.name}=' || CASE WHEN ttisql_{v.name} IS NULL "
                f"THEN '0' ELSE '1' || ttisql_{v.name} END);"
            )
        body = bound.rstrip().rstrip(";")
        return f"DECLARE {declared}BEGIN {body};{told} END;", [v.value for v in variables]

    def cursors_of(self, block: str) -> list[Variable]:
        """The REFCURSOR variables of a block, in the order of the columns that it gives."""
        used: dict[str, None] = {}
        _replaced(block, lambda name: used.setdefault(name, None) or name)
        return [v for v in map(self.named, used) if v.type == CURSOR]

    def told(self, line: str) -> bool:
        """Take a value that a block tells; False: it is an ordinary line of DBMS_OUTPUT."""
        if not line.startswith(MARK):
            return False
        name, _, value = line.removeprefix(MARK).partition("=")
        self.named(name).value = value[1:] if value.startswith("1") else None
        return True


def _replaced(statement: str, by: Callable[[str], str]) -> str:
    def replace(match: re.Match[str]) -> str:
        return by(match["name"].lower()) if match["name"] else match.group()

    return _TOKEN.sub(replace, statement)


def shown(variable: Variable, null: str) -> str:
    """`X                    : 5`, or the rows of a cursor below its name."""
    if variable.rows is not None:
        return "\n".join([f"{variable.name.upper():<20} :", *variable.rows])
    value = null if variable.value is None else variable.value
    return f"{variable.name.upper():<20} : {value}"
