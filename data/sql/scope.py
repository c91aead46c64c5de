"""Name resolution: the sources visible at a place, and what a name means there. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from data.catalog.catalog import Catalog, Relation
from data.catalog.objects import Sequence
from data.sql.ir import (
    Call,
    ColumnExpr,
    Cte,
    Expr,
    OrderItem,
    ParamExpr,
    ParamSlot,
    Query,
    Source,
    SpecialExpr,
)
from data.sql.lacking import lacks
from data.sql.plan_types import Special
from data.sql.shape import SOURCES_MAX, too_complex
from protocol.errors import (
    AmbiguousColumnError,
    UnknownColumnError,
    UnknownParameterError,
    UnknownTableError,
)
from protocol.names import folded_quoted
from protocol.sqltypes import BIGINT, INTEGER, SqlType

PARAMS_MAX = 65_535
PSEUDO_COLUMNS = {
    "ELEMENTID#": ("tg_element_id()", "element"),
    "REPLICASETID#": ("tg_replica_set_id()", "replica_set"),
    "DATASPACEID#": ("tg_data_space_id()", "data_space"),
}


def folded(identifier: Any) -> str:
    """The stored form of a sqlglot identifier."""
    if isinstance(identifier, str):
        return identifier.upper()
    name = str(identifier.this)
    return folded_quoted(name) if identifier.args.get("quoted") else name.upper()


def shown(name: str) -> str:
    """A name in a message or result: all-upper-case names in lower case."""
    return name.lower() if name == name.upper() else name


def position_of(node: Any) -> int:
    """1-based place of a tree node in the text, 0 if it is not known."""
    for candidate in (node, getattr(node, "this", None)):
        if isinstance(candidate, exp.Expression):
            start = candidate.meta.get("start")
            if isinstance(start, int):
                return start + 1
    return 0


@dataclass(slots=True)
class CteDefinition:
    """WITH name (columns) AS (tree); `environment`: the CTEs visible inside it."""

    name: str
    tree: Any
    columns: list[str]
    environment: dict[str, CteDefinition]
    recursive: Cte | None = None


@dataclass(slots=True)
class Scope:
    """The sources of one query block; `parent`: the block around it (correlation)."""

    sources: list[Source] = field(default_factory=list)
    parent: Scope | None = None
    merged: dict[str, Expr] = field(default_factory=dict)  # columns joined by USING
    ctes: dict[str, CteDefinition] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)
    # ( a JOIN b ) behind an outer join: name of a part → its columns in the derived table
    parts: dict[str, dict[str, tuple[Source, str]]] = field(default_factory=dict)
    preferred: Source | None = None  # whose column a bare name means, if several have it
    row_order: list[OrderItem] = field(default_factory=list)  # in which ROWNUM counts

    def find(self, name: str) -> list[Source]:
        """Sources of this block that have such a column."""
        return [s for s in self.sources if name not in s.hidden and s.type_of(name) is not None]


class Statement:
    """What is shared by all parts of one statement while it is bound."""

    def __init__(
        self,
        catalog: Catalog,
        schema: str,
        user: str,
        param_types: tuple[SqlType | None, ...],
        hints: dict[str, str] | None = None,
    ) -> None:
        self.catalog = catalog
        self.schema = schema
        self.user = user  # whose rights hold: of the owner, inside a view
        self.session_user = user
        self.hints = hints or {}
        self.slots: list[ParamSlot] = [ParamSlot(i, t) for i, t in enumerate(param_types)]
        self.aliases = 0
        self.tables: dict[int, None] = {}  # ids read, in order
        self.views_open: list[int] = []
        self.views_used: dict[int, None] = {}
        self.bind_query: Callable[[Any, Scope | None], Query] | None = None
        self.draws_sequence = False
        self.notes: list[str] = []  # for EXPLAIN: hints that are ignored

    @property
    def everywhere(self) -> bool:
        """The hint TT_GridQueryExec was given."""
        return "TT_GRIDQUERYEXEC" in self.hints

    def new_alias(self) -> str:
        """A name for a source, unique in the statement."""
        self.aliases += 1
        if self.aliases > SOURCES_MAX:
            raise too_complex(f"of more than {SOURCES_MAX} tables and subqueries")
        return f"t{self.aliases}"

    def slot(self, number: int, position: int = 0) -> ParamSlot:
        """Parameter $number."""
        if not 1 <= number <= PARAMS_MAX:
            raise UnknownParameterError(f"there is no parameter ${number}", position=position)
        while len(self.slots) < number:
            self.slots.append(ParamSlot(len(self.slots), None))
        return self.slots[number - 1]

    def check_privilege(self, relation: Relation, privilege: str, position: int = 0) -> None:
        """Raises PrivilegeError unless the current user may. No user: internal use.

        Inside a view the user is the owner of the view (bind_from.py).
        """
        if self.user and not self.catalog.has_privilege(self.user, relation, privilege):
            raise lacks(self.user, privilege, relation, position)


def resolve_column(node: Any, scope: Scope, statement: Statement) -> Expr:
    """The meaning of a sqlglot Column. Raises UnknownColumnError, AmbiguousColumnError."""
    name = folded(node.this)
    parts = [folded(p) for p in (node.args.get("db"), node.args.get("table")) if p is not None]
    if not parts:
        if name.startswith("$") and name[1:].isdigit():
            return ParamExpr(statement.slot(int(name[1:]), position_of(node)))
        found = _unqualified(name, scope, node)
    else:
        found = _qualified(parts, name, scope)
        if found is None and name in ("NEXTVAL", "CURRVAL"):
            return sequence_value(parts, name, statement, position_of(node))
    if found is None:
        found = _pseudo(name, parts, scope, statement)
    if found is None:
        text = ".".join(shown(p) for p in (*parts, name))
        raise UnknownColumnError(f'column "{text}" does not exist', position=position_of(node))
    return found


def column_of(source: Source, name: str) -> ColumnExpr:
    """A column of a source, noted as used."""
    type_ = source.type_of(name)
    assert type_ is not None, name
    source.used.add(name)
    return ColumnExpr(source, name, type_)


def _unqualified(name: str, scope: Scope, node: Any) -> Expr | None:
    level: Scope | None = scope
    while level is not None:
        if name in level.merged:
            return level.merged[name]
        found = level.find(name)
        if len(found) > 1 and level.preferred in found:
            found = [s for s in found if s is level.preferred]
        if len(found) > 1:
            raise AmbiguousColumnError(
                f'column reference "{shown(name)}" is ambiguous', position=position_of(node)
            )
        if found:
            return column_of(found[0], name)
        level = level.parent
    return None


def _matching_sources(parts: list[str], scope: Scope) -> list[Source]:
    wanted = parts[-1]
    schema = parts[-2] if len(parts) > 1 else ""
    level: Scope | None = scope
    while level is not None:
        found = [
            s
            for s in level.sources
            if s.name == wanted and (not schema or s.schema in (schema, ""))
        ]
        if found:
            return found
        level = level.parent
    return []


def _qualified(parts: list[str], name: str, scope: Scope) -> Expr | None:
    found = _matching_sources(parts, scope)
    if not found:
        return _of_part(parts[-1], name, scope)
    having = [s for s in found if s.type_of(name) is not None]
    if len(having) > 1:
        raise AmbiguousColumnError(f'column reference "{shown(name)}" is ambiguous')
    return column_of(having[0], name) if having else None


def _of_part(part: str, name: str, scope: Scope) -> Expr | None:
    level: Scope | None = scope
    while level is not None:
        if part in level.parts:
            place = level.parts[part].get(name)
            return column_of(*place) if place is not None else None
        level = level.parent
    return None


def sources_named(parts: list[str], scope: Scope) -> list[Source]:
    """Sources of this block named so, for alias.*. Raises UnknownTableError."""
    found = [s for s in _matching_sources(parts, scope) if s in scope.sources]
    if not found:
        text = ".".join(shown(p) for p in parts)
        raise UnknownTableError(f'missing FROM-clause entry for table "{text}"')
    return found


def sequence_value(
    parts: list[str], name: str, statement: Statement, position: int = 0
) -> SpecialExpr:
    """sequence.NEXTVAL or .CURRVAL."""
    found = statement.catalog.resolve(statement.schema, tuple(parts), position)
    if not isinstance(found, Sequence):
        text = ".".join(shown(p) for p in parts)
        raise UnknownTableError(f'"{text}" is not a sequence', position=position)
    statement.check_privilege(found, "SELECT")
    statement.draws_sequence = True
    return SpecialExpr(Special(name.lower(), found.id), BIGINT)


def _pseudo(name: str, parts: list[str], scope: Scope, statement: Statement) -> Expr | None:
    if name not in PSEUDO_COLUMNS:
        return None
    sources = _matching_sources(parts, scope) if parts else scope.sources
    tables = [s for s in sources if s.kind == "table"]
    text, special = PSEUDO_COLUMNS[name]
    if tables:
        tables[0].used.add(name)
        return ColumnExpr(tables[0], name, INTEGER)
    if statement.everywhere:
        return Call(text, (), INTEGER, volatile=True)
    return SpecialExpr(Special(special), INTEGER)
