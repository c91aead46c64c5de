"""Rows of ALL_ERRORS and its like about stored units, and which objects are VALID.

They are made when they are asked for: what is wrong with a unit depends on what it uses, and on
nothing that would have to be stored. Units are compiled once for each version of the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from data.catalog.catalog import SYS
from data.catalog.objects import CatalogObject, Sequence, StoredUnit, Table, View
from data.catalog.pg_schema import SYS_RELATIONS
from data.catalog.sys_views import sys_rows
from data.plsql.parser import parse_unit
from data.plsql.tokens import line_of
from data.plsql.tree import Package, Subprogram, TypeRef
from protocol.errors import GridError
from protocol.sqltypes import StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.coordination import Coordination

_NUMBERS = {"42601": 103, "42704": 201, "42P07": 371, "0A000": 999}  # PLS-nnnnn by SQLSTATE
_ORA = {"42P01": 942, "42703": 904, "42501": 1031, "42883": 904}
_OBJECTS = next(r for r in SYS_RELATIONS if r.name == "dba_objects").columns


class UnitViews:
    """Rows by view, of one database."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self._objects: tuple[int, list[Mapping[str, StorageValue]]] = (-1, [])
        self._makers: dict[str, Callable[[], Iterator[StorageRow]]] = {
            "dba_errors": self._errors,
            "dba_arguments": self._arguments,
            "dba_procedures": self._procedures,
            "dba_dependencies": self._dependencies,
            "dba_plsql_object_settings": self._settings,
            "dba_objects": self._all_objects,
        }

    def rows(self, view: str) -> list[StorageRow] | None:
        """Of one of these views, None if it is another one."""
        maker = self._makers.get(view)
        return list(maker()) if maker is not None else None

    def _units(self) -> list[StoredUnit]:
        return list(self._space.catalog.units.values())

    def _errors(self) -> Iterator[StorageRow]:
        for unit in self._units():
            counts: dict[str, int] = {}
            for fault in self._space.units.faults(unit):
                counts[fault.part] = counts.get(fault.part, 0) + 1
                text = unit.body if fault.part.endswith("BODY") else unit.text
                line, column = line_of(text, max((fault.error.position or 1) - 1, 0))
                number, shown = error_text(fault.error)
                yield (
                    *(unit.schema, unit.name, fault.part, counts[fault.part]),
                    *(line, column, shown, "ERROR", number),
                )

    def _arguments(self) -> Iterator[StorageRow]:
        for unit, subprogram, package in self._subprograms():
            number = 0
            if subprogram.returns is not None:
                number += 1
                yield (
                    *(unit.schema, subprogram.name, package, None, 0, number),
                    *(type_text(subprogram.returns), "OUT", "N"),
                )
            for place, one in enumerate(subprogram.parameters, 1):
                number += 1
                has_default = "Y" if one.default is not None else "N"
                yield (
                    *(unit.schema, subprogram.name, package, one.name, place, number),
                    *(type_text(one.type), one.mode.replace(" ", "/"), has_default),
                )

    def _procedures(self) -> Iterator[StorageRow]:
        for unit in self._units():
            if unit.kind == "PACKAGE":
                yield (unit.schema, unit.name, None, "PACKAGE", _authid(unit))
        for unit, subprogram, package in self._subprograms():
            inside = subprogram.name if package else None
            yield (unit.schema, unit.name, inside, unit.kind, _authid(unit))

    def _subprograms(self) -> Iterator[tuple[StoredUnit, Subprogram, str | None]]:
        """Those that can be called: units, and what packages show."""
        for unit in self._units():
            try:
                content = parse_unit(unit.text).content
            except GridError:
                continue
            if isinstance(content, Package):
                for one in content.declarations:
                    if isinstance(one, Subprogram):
                        yield unit, one, unit.name
            else:
                yield unit, content, None

    def _dependencies(self) -> Iterator[StorageRow]:
        for unit in self._units():
            for used in self._space.units.uses(unit):
                kind = _kind(used)
                if kind and used is not unit:
                    yield (unit.schema, unit.name, unit.kind, used.schema, used.name, kind)  # type: ignore[attr-defined]

    def _settings(self) -> Iterator[StorageRow]:
        for unit in self._units():
            for kind in [unit.kind, *([f"{unit.kind} BODY"] if unit.body else [])]:
                yield (
                    *(unit.schema, unit.name, kind, 2, "INTERPRETED", "FALSE"),
                    *("DISABLE:ALL", "CHAR", None, "IDENTIFIERS:NONE"),
                )

    def _all_objects(self) -> Iterator[StorageRow]:
        catalog = self._space.catalog
        if self._objects[0] != catalog.version:
            self._objects = (catalog.version, list(sys_rows(catalog).get("sys.dba_objects", ())))
        faulty = {
            (unit.schema, unit.name, fault.part)
            for unit in self._units()
            for fault in self._space.units.faults(unit)
        }
        for row in self._objects[1]:
            key = (row["owner"], row["object_name"], row["object_type"])
            status = "INVALID" if key in faulty else row["status"]
            yield tuple({**row, "status": status}.get(name) for name, _ in _OBJECTS)


def error_text(error: GridError) -> tuple[int, str]:
    """Number and text as ALL_ERRORS shows them."""
    message = error.message.removeprefix("TT1001: ")
    if error.sqlstate in _ORA:
        return 0, f"PL/SQL: ORA-{_ORA[error.sqlstate]:05}: {message}"
    number = _NUMBERS.get(error.sqlstate, 0)
    if message.startswith("wrong number or types"):
        number = 306
    return number, f"PLS-{number:05}: {message}"


def type_text(type_: TypeRef) -> str:
    """A type of a parameter as ALL_ARGUMENTS shows it."""
    name = ".".join(type_.name)
    return f"{name}%{type_.attribute}" if type_.attribute else name


def _kind(used: CatalogObject | object) -> str:
    if isinstance(used, StoredUnit):
        return used.kind
    if isinstance(used, Table):
        return "" if used.schema == SYS else "TABLE"
    if isinstance(used, View):
        return "VIEW"
    return "SEQUENCE" if isinstance(used, Sequence) else ""


def _authid(unit: StoredUnit) -> str:
    try:
        content = parse_unit(unit.text).content
    except GridError:
        return "DEFINER"
    return "CURRENT_USER" if content.by_caller else "DEFINER"
