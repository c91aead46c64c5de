"""Stored procedures, functions and packages of a database, compiled when they are first called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.catalog.objects import StoredUnit
from data.exec.plsql_hooks import SpaceHooks
from data.plsql.compiler import CompiledUnit, Fault, compile_unit
from data.plsql.context import Context
from data.plsql.scope import Symbol
from protocol.errors import GridError

if TYPE_CHECKING:
    from data.exec.coordination import Coordination


@dataclass(slots=True)
class _Entry:
    """A compiled unit, and what of the catalog it was compiled against."""

    unit: StoredUnit
    compiled: CompiledUnit
    used: dict[tuple[str, ...], object]


class Units:
    """What is compiled stays until the unit, or something it uses, changes.

    Package variables live in the sessions, and stay as long.
    """

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self._version = -1
        self._entries: dict[int, _Entry] = {}
        self._failed: dict[int, list[Fault]] = {}

    def _of_this_version(self) -> None:
        catalog = self._space.catalog
        if catalog.version == self._version:
            return
        self._version = catalog.version
        self._failed.clear()
        while stale := [n for n, entry in self._entries.items() if not self._is_valid(n, entry)]:
            for number in stale:
                del self._entries[number]

    def _is_valid(self, number: int, entry: _Entry) -> bool:
        if self._space.catalog.by_id.get(number) != entry.unit:
            return False
        hooks = self._hooks(entry.unit)
        for name, before in entry.used.items():
            found = hooks.find(name)
            if found != before or (isinstance(found, StoredUnit) and found.id not in self._entries):
                return False
        return True

    def _hooks(self, unit: StoredUnit) -> SpaceHooks:
        return SpaceHooks(self._space, unit.schema, unit.schema)

    def compiled(self, unit: StoredUnit) -> CompiledUnit:
        """The unit, compiled with the rights of its owner. Raises what is wrong with its text."""
        self._of_this_version()
        entry = self._entries.get(unit.id)
        if entry is not None:
            return entry.compiled
        failed = self._failed.get(unit.id)
        if failed is not None:
            raise _elsewhere(failed[0].error)
        hooks = self._hooks(unit)

        def announce(made: CompiledUnit) -> None:
            self._entries[unit.id] = _Entry(unit, made, hooks.used)

        faults: list[Fault] = []
        try:
            return compile_unit(unit, hooks, announce, faults)
        except GridError as error:
            self._entries.pop(unit.id, None)
            self._failed[unit.id] = faults
            raise _elsewhere(error) from error

    def faults(self, unit: StoredUnit) -> list[Fault]:
        """What is wrong with it, as the catalog is now."""
        try:
            self.compiled(unit)
        except GridError:
            return self._failed[unit.id]
        return []

    def uses(self, unit: StoredUnit) -> list[object]:
        """What of the catalog it names; [] if something is wrong with it."""
        if self.faults(unit):
            return []
        found = self._entries[unit.id].used.values()
        return list({id(one): one for one in found if one is not None}.values())

    def symbol(self, unit: StoredUnit) -> Symbol:
        """What its name stands for."""
        return self.compiled(unit).symbol

    def instantiate(self, key: str, context: Context) -> tuple[object, list[Any]]:
        """The variables of a package for a session, initialised. Raises PlError, GridError."""
        schema, _, name = key.partition(".")
        unit = self._space.catalog.units[schema, name]
        compiled = self.compiled(unit)
        assert compiled.activation is not None
        assert compiled.initialise is not None
        frame = compiled.activation.frame(None, context)
        context.packages.frames[key] = (compiled, frame)
        try:
            compiled.initialise(frame)
        except BaseException:
            del context.packages.frames[key]
            raise
        return compiled, frame

    def forget_old(self, frames: dict[str, tuple[object, list[Any]]]) -> None:
        """Package variables of packages that were made anew since: they begin anew too."""
        self._of_this_version()
        for key in [k for k, (unit, _) in frames.items() if not self._is_current(k, unit)]:
            del frames[key]

    def _is_current(self, key: str, unit: object) -> bool:
        schema, _, name = key.partition(".")
        found = self._space.catalog.units.get((schema, name))
        entry = self._entries.get(found.id) if found is not None else None
        return entry is not None and entry.compiled is unit


def _elsewhere(error: GridError) -> GridError:
    """The same for whoever names the unit: its place is one in another text."""
    return type(error)(error.message, detail=error.detail, hint=error.hint)
