"""What the PL/SQL compiler asks of a database, for one user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.catalog.catalog import PUBLIC
from data.catalog.objects import Sequence, StoredUnit, Table, View
from data.catalog.pg_schema import is_catalog_relation
from data.plsql.scope import Symbol
from data.sql.lacking import lacks
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import SqlType

if TYPE_CHECKING:
    from data.exec.coordination import Coordination


class SpaceHooks:
    """The Hooks of data/plsql/scope.py. `used`: all that was looked up, and what was found."""

    def __init__(self, space: Coordination, schema: str, user: str) -> None:
        self._space = space
        self._schema = schema
        self._user = user
        self.used: dict[tuple[str, ...], object] = {}

    def columns_of_table(self, name: tuple[str, ...]) -> list[tuple[str, SqlType]] | None:
        """Of a table or view, if there is one of that name that the user may do anything with."""
        found = self._looked_up(name)
        if found is None and is_catalog_relation(".".join(name[:-1]), name[-1]):
            return self._of_query(".".join(name))
        if not isinstance(found, Table | View):
            return None
        if not self._space.catalog.has_some_privilege(self._user, found):
            return None
        if isinstance(found, Table):
            return [(column.name, column.type) for column in found.columns]
        return self._of_query(f'"{found.schema}"."{found.name}"')

    def _of_query(self, relation: str) -> list[tuple[str, SqlType]]:
        columns = self.describe(f"SELECT * FROM {relation}", ())
        return [(column.name.upper(), column.type) for column in columns or ()]

    def describe(
        self, sql: str, types: tuple[SqlType | None, ...]
    ) -> tuple[ResultColumn, ...] | None:
        """Columns of a statement's rows."""
        return self._space.prepare(sql, types, self._schema, self._user).columns

    def unit(self, name: tuple[str, ...]) -> Symbol | None:
        """A stored unit that the user may run. Raises PrivilegeError, and what is wrong with it."""
        found = self._looked_up(name)
        if not isinstance(found, StoredUnit):
            return None
        if not self._space.catalog.has_privilege(self._user, found, "EXECUTE"):
            raise lacks(self._user, "EXECUTE", found)
        return self._space.units.symbol(found)

    def parameter_types(self, sql: str, types: tuple[SqlType | None, ...]) -> tuple[SqlType, ...]:
        """Of a statement, as SQL finds them."""
        return self._space.prepare(sql, types, self._schema, self._user).param_types

    def primary_key(self, name: tuple[str, ...]) -> tuple[str, ...]:
        """Columns of a table's primary key."""
        found = self._looked_up(name)
        return tuple(found.primary_key) if isinstance(found, Table) else ()

    def is_sequence(self, name: tuple[str, ...]) -> bool:
        """Is it a sequence?"""
        return isinstance(self._looked_up(name), Sequence)

    def _looked_up(self, name: tuple[str, ...]) -> object:
        found = self.find(name)
        self.used[name] = found
        return found

    def find(self, name: tuple[str, ...]) -> object:
        """The table, view, sequence or stored unit of a name."""
        catalog = self._space.catalog
        schemas = (name[-2],) if len(name) > 1 else (self._schema, PUBLIC)
        for schema in schemas:
            found = catalog.find(schema, name[-1]) or catalog.find_unit(schema, name[-1])
            if found is not None:
                return found
        return None
