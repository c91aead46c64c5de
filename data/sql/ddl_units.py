"""CREATE and DROP of stored procedures, functions and packages: text → statement → catalog. Pure.

Their text is PL/SQL and is kept as it is; data/plsql compiles it when it is first called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from msgspec.structs import replace

from data.catalog.catalog import shown
from data.catalog.objects import StoredUnit
from data.sql.ddl_ast import Name
from data.sql.ddl_build import Builder
from protocol.errors import DuplicateObjectError, UnknownObjectError

_BLANK = r"(?:\s|--[^\n]*\n|/\*.*?\*/)"
_NAME = r'(?:"[^"]+"|[A-Za-z_][\w$#]*)'
_CREATE = re.compile(
    rf"{_BLANK}*CREATE{_BLANK}+(?P<replace>OR{_BLANK}+REPLACE{_BLANK}+)?(?:(?:NON)?EDITIONABLE\s+)?"
    rf"(?P<kind>PROCEDURE|FUNCTION|PACKAGE(?P<body>{_BLANK}+BODY)?){_BLANK}+"
    rf"(?P<name>{_NAME}(?:\s*\.\s*{_NAME})?)",
    re.IGNORECASE | re.DOTALL,
)
_DROP = re.compile(
    rf"{_BLANK}*DROP\s+(?P<kind>PROCEDURE|FUNCTION|PACKAGE(?P<body>\s+BODY)?)\s+"
    rf"(?P<exists>IF\s+EXISTS\s+)?(?P<name>{_NAME}(?:\s*\.\s*{_NAME})?)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class UnitStatement:
    """CREATE or DROP of a stored unit. `tolerant`: OR REPLACE, IF EXISTS."""

    create: bool
    kind: str  # PROCEDURE, FUNCTION, PACKAGE, PACKAGE BODY
    name: Name
    text: str
    tolerant: bool


def unit_statement(text: str) -> UnitStatement | None:
    """The statement, None if it is another one."""
    match = _CREATE.match(text)
    if match is not None:
        return _made(match, True, text, bool(match["replace"]))
    match = _DROP.fullmatch(text)
    if match is not None:
        return _made(match, False, text, bool(match["exists"]))
    return None


def _made(match: re.Match[str], create: bool, text: str, tolerant: bool) -> UnitStatement:
    kind = "PACKAGE BODY" if match["body"] else match["kind"].upper()
    parts = tuple(
        part[1:-1] if part.startswith('"') else part.upper()
        for part in re.findall(_NAME, match["name"])
    )
    return UnitStatement(create, kind, Name(parts, match.start("name") + 1), text, tolerant)


def plan_unit(builder: Builder, statement: UnitStatement) -> str:
    """Fills the builder; returns the command tag. Raises PrivilegeError, ….."""
    if not statement.create:
        _drop(builder, statement)
        return f"DROP {statement.kind}"
    position = statement.name.position
    schema, name = builder.new_name(statement.name)
    builder.need("CREATE PROCEDURE", schema, position)
    old = builder.catalog.units.get((schema, name))
    if statement.kind == "PACKAGE BODY":
        if old is None or old.kind != "PACKAGE":
            message = f'package "{shown(name)}" does not exist'
            raise UnknownObjectError(message, hint="CREATE PACKAGE first.", position=position)
        if old.body and not statement.tolerant:
            raise _exists("package body", name, position)
        builder.put(replace(old, body=statement.text))
        return "CREATE PACKAGE BODY"
    if old is not None and (not statement.tolerant or old.kind != statement.kind):
        raise _exists(old.kind.lower(), name, position)
    if old is None:
        builder.must_be_free(schema, name, position)
    number = old.id if old is not None else builder.new_id()
    body = old.body if old is not None else ""
    builder.put(StoredUnit(number, schema, name, statement.kind, statement.text, body))
    return f"CREATE {statement.kind}"


def _exists(kind: str, name: str, position: int) -> DuplicateObjectError:
    return DuplicateObjectError(
        f'{kind} "{shown(name)}" already exists', hint="CREATE OR REPLACE.", position=position
    )


def _drop(builder: Builder, statement: UnitStatement) -> None:
    parts, position = statement.name.parts, statement.name.position
    schema = parts[-2] if len(parts) > 1 else builder.schema
    found = builder.catalog.units.get((schema, parts[-1]))
    kind = statement.kind.removesuffix(" BODY")
    if found is None or found.kind != kind or (kind != statement.kind and not found.body):
        message = f'{statement.kind.lower()} "{shown(parts[-1])}" does not exist'
        if not statement.tolerant:
            raise UnknownObjectError(message, position=position)
        builder.notice(f"{message}, skipping")
        return
    builder.need("DROP ANY PROCEDURE", schema, position)
    if statement.kind == "PACKAGE BODY":
        builder.put(replace(found, body=""))
        return
    drop_unit(builder, found)


def drop_unit(builder: Builder, unit: StoredUnit) -> None:
    """It and the privileges on it."""
    for grant in list(builder.catalog.grants()):
        if grant.object_id == unit.id:
            builder.delete(grant)
    builder.delete(unit)
