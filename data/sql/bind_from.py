"""FROM: tables, views, derived tables, joins, functions that give rows. Pure."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.catalog.objects import Sequence, Table, View
from data.sql.bind_expr import ExpressionBinder
from data.sql.derived import derived_source
from data.sql.ir import (
    ColumnExpr,
    Cte,
    Expr,
    Item,
    Query,
    Select,
    Source,
    all_sources,
    deep_exprs,
)
from data.sql.operators import call, compare, unify
from data.sql.parse import parse_query, refuse
from data.sql.row_functions import function_query
from data.sql.scope import (
    CteDefinition,
    Scope,
    Statement,
    column_of,
    folded,
    position_of,
    shown,
)
from protocol.errors import (
    AmbiguousColumnError,
    DefinitionError,
    SqlSyntaxError,
    UnknownColumnError,
)
from protocol.sqltypes import Kind, SqlType

VIEW_DEPTH_MAX = 32


class FromBinder:
    """The part of the query binder that reads FROM."""

    def __init__(self, statement: Statement, parent: Scope | None) -> None:
        self.statement = statement
        self.parent = parent
        self.ctes: dict[str, CteDefinition] = dict(parent.ctes) if parent is not None else {}
        self.recursive: list[Cte] = []

    def bind(self, tree: Any) -> Query:
        """Any query tree."""
        raise NotImplementedError

    def child(self, environment: dict[str, CteDefinition]) -> FromBinder:
        """A binder for a query inside this one."""
        child = type(self)(self.statement, self.parent)
        child.ctes = dict(environment)
        return child

    def from_clause(self, tree: Any, scope: Scope, select: Select) -> None:
        """Fill `scope.sources` from the FROM clause of a SELECT."""
        clause = tree.args.get("from_")
        if clause is None:
            return
        if _is_group(clause.this):
            self._group_items(clause.this.this, scope, select)
        else:
            scope.sources.append(self.source(clause.this, scope))
        nested = list(clause.this.args.get("joins") or [])
        for join in [*nested, *(tree.args.get("joins") or [])]:
            self.join(join, scope, select)
        if len(scope.sources) > 1:
            kept = [s for s in scope.sources if s.kind != "dual" or s.join]
            scope.sources[:] = kept
            kept[0].join = "" if kept[0].join in ("", "inner") else kept[0].join

    def join(self, join: Any, scope: Scope, select: Select) -> None:
        """One more item of FROM, after a comma or joined."""
        first = len(scope.sources)
        node = join.this
        side = str(join.args.get("side") or "").upper()
        kind = str(join.args.get("kind") or "").upper()
        method = str(join.args.get("method") or "").upper()
        if kind not in ("", "INNER", "OUTER", "CROSS") or method not in ("", "NATURAL"):
            raise refuse(f"{method or kind} JOIN")
        if isinstance(node, exp.Lateral) and node.args.get("cross_apply") is False:
            side = "LEFT"  # OUTER APPLY
        if not side and _is_group(node) and not join.args.get("using") and not method:
            self._inner_group(node, scope, select)
        else:
            source = self.source(node, scope)
            source.join = side.lower() if side else "inner"
            scope.sources.append(source)
            using = [folded(u) for u in join.args.get("using") or []]
            if method == "NATURAL":
                using = _common_columns(source, scope.sources[:first])
            for name in using:
                self._merge(name, source, scope.sources[:first], scope)
        condition = join.args.get("on")
        if condition is not None:
            last = scope.sources[-1]
            last.on += ExpressionBinder(self.statement, scope).conditions(condition)
        nested = node.args.get("joins") if isinstance(node, exp.Table) else None
        for inner in nested or []:
            self.join(inner, scope, select)

    def _inner_group(self, node: Any, scope: Scope, select: Select) -> None:
        """… JOIN (a JOIN b …): the same as one item after the other."""
        first = len(scope.sources)
        left, table = scope.sources[:], node.this
        del scope.sources[:]
        self._group_items(table, scope, select)
        inside = scope.sources[:]
        scope.sources[:] = left + inside
        inside[0].join = "inner"
        if any(s.join in ("right", "full") for s in inside):
            del scope.sources[first:]
            source = self._join_group(node, scope)
            source.join = "inner"
            scope.sources.append(source)

    def _group_items(self, table: Any, scope: Scope, select: Select) -> None:
        joins = table.args.get("joins") or []
        alone = table.copy()
        alone.set("joins", None)
        if _is_group(alone):
            self._group_items(alone.this, scope, select)
        else:
            scope.sources.append(self.source(alone, scope))
        for join in joins:
            self.join(join, scope, select)

    def _merge(self, name: str, source: Source, left: list[Source], scope: Scope) -> None:
        """JOIN … USING (name): one column of the two."""
        holders = [s for s in left if name not in s.hidden and s.type_of(name) is not None]
        if len(holders) > 1 and name not in scope.merged:
            raise AmbiguousColumnError(f'column "{shown(name)}" is ambiguous')
        if not holders or source.type_of(name) is None:
            raise UnknownColumnError(f'column "{shown(name)}" of USING does not exist')
        a: Expr = scope.merged.get(name, column_of(holders[0], name))
        b = column_of(source, name)
        source.on.append(compare("=", a, b))
        source.hidden.add(name)
        if source.join == "right":
            scope.merged[name] = b
        elif source.join == "full":
            (one, other), type_ = unify([a, b])
            scope.merged[name] = call("coalesce({0}, {1})", one, other, type_=type_)
        else:
            scope.merged[name] = a

    def source(self, node: Any, scope: Scope) -> Source:
        """One item of FROM; `scope` holds what stands to the left of it."""
        if isinstance(node, exp.Lateral):
            return self._lateral(node, scope)
        if isinstance(node, exp.Subquery):
            if isinstance(node.this, exp.Table):
                return self._join_group(node, scope)
            return self._derived(node.this, node, None)
        if isinstance(node, exp.Values):
            return self._derived(node, node, None)
        if isinstance(node, exp.Unnest) or (
            isinstance(node, exp.Table) and isinstance(node.this, exp.Anonymous)
        ):
            return self._function(node, node, scope)
        if isinstance(node, exp.Table):
            return self._table(node)
        raise refuse(f"{type(node).__name__} in FROM", position_of(node))

    def _lateral(self, node: Any, scope: Scope) -> Source:
        """LATERAL (query), CROSS APPLY, OUTER APPLY: it sees what stands to the left of it."""
        inner = node.this
        if isinstance(inner, exp.Anonymous | exp.Unnest):
            return self._function(inner, node, scope)
        if isinstance(inner, exp.Table | exp.Identifier):
            return self._table(inner if isinstance(inner, exp.Table) else exp.Table(this=inner))
        if not isinstance(inner, exp.Subquery):
            raise refuse("LATERAL of anything but a query or function")
        return self._correlated(self._derived(inner.this, node, _left_of(scope)), scope)

    def _function(self, node: Any, named: Any, scope: Scope) -> Source:
        """A function that gives rows; its arguments may be columns to the left of it."""
        query, name, columns = function_query(node, named, lambda part: self._type(part, scope))
        alias, given = _alias_of(named)
        source = self._derived(query, exp.Subquery(), _left_of(scope))
        source.name = alias.removeprefix("TG_F_") or name
        if not given and alias and len(source.columns) == 1:
            given = [source.name]
        return self._correlated(self._named(source, given or columns), scope)

    def _type(self, node: Any, scope: Scope) -> SqlType:
        """Of an argument of a function in FROM."""
        inner = Scope(parent=_left_of(scope), ctes=self.ctes)
        return ExpressionBinder(self.statement, inner).bind(node).type

    def _correlated(self, source: Source, scope: Scope) -> Source:
        source.lateral = refers_outside(source)
        if source.lateral and any(s.join in ("right", "full") for s in scope.sources):
            raise refuse("LATERAL after RIGHT or FULL JOIN")
        return source

    def _join_group(self, node: Any, scope: Scope) -> Source:
        """( a JOIN b … ) behind an outer join: a derived table whose parts keep their names."""
        inner_scope = Scope(parent=self.parent, ctes=self.ctes)
        select = Select()
        self._group_items(node.this, inner_scope, select)
        inner_scope.sources[0].join = ""
        select.sources = inner_scope.sources
        columns = [(s, n) for s in inner_scope.sources for n, _ in s.columns]
        select.items = [Item(n, column_of(s, n)) for s, n in columns]
        alias, given = _alias_of(node)
        source = self._named(derived_source(self.statement, select, alias), given)
        if not alias:
            for (part, name), (unique, _) in zip(columns, source.columns, strict=True):
                group = scope.parts.setdefault(part.name, {})
                group[name] = (source, unique)
                if name in part.hidden:
                    source.hidden.add(unique)
        return source

    def _derived(self, query_tree: Any, node: Any, lateral: Scope | None) -> Source:
        if query_tree.args.get("with_") is None and isinstance(query_tree, exp.Values):
            query_tree = query_tree.copy()
            query_tree.set("alias", None)
        child = self.child(self.ctes)
        child.parent = lateral if lateral is not None else self.parent
        query = child.bind(query_tree)
        alias, columns = _alias_of(node)
        return self._named(derived_source(self.statement, query, alias), columns)

    def _named(self, source: Source, columns: list[str]) -> Source:
        """Column aliases of a table alias; then unique names."""
        if columns:
            if len(columns) > len(source.columns):
                raise SqlSyntaxError(f'"{shown(source.name)}" has fewer columns than its alias')
            renamed = [
                (columns[i] if i < len(columns) else n, t)
                for i, (n, t) in enumerate(source.columns)
            ]
            source.columns = renamed
        return source

    def _table(self, node: Any) -> Source:
        for clause in ("pivots", "sample", "when", "only", "partition", "version", "laterals"):
            if node.args.get(clause):
                raise refuse(f"{clause.upper().rstrip('S')} of a table", position_of(node))
        if not isinstance(node.this, exp.Identifier):
            raise refuse("a function in FROM", position_of(node))
        parts = tuple(
            folded(p) for p in (node.args.get("catalog"), node.args.get("db"), node.this) if p
        )
        alias, columns = _alias_of(node)
        name = alias or parts[-1]
        if len(parts) == 1 and parts[0] in self.ctes:
            return self._cte_source(self.ctes[parts[0]], name, columns)
        if parts[-1] == "DUAL" and (len(parts) == 1 or parts[-2] == "SYS"):
            dummy = ("DUMMY", SqlType(Kind.VARCHAR, length=1))
            return Source(self.statement.new_alias(), name, "dual", [dummy])
        relation = self.statement.catalog.resolve(self.statement.schema, parts, position_of(node))
        if isinstance(relation, Sequence):
            raise refuse(f'selecting from sequence "{shown(relation.name)}"', position_of(node))
        self.statement.check_privilege(relation, "SELECT", position_of(node))
        if isinstance(relation, View):
            return self._view(relation, name, columns)
        source = table_source(self.statement, relation, name)
        return self._renamed(source, columns) if columns else source

    def _renamed(self, table: Source, columns: list[str]) -> Source:
        """A base table whose columns are called otherwise."""
        select = Select(sources=[table])
        select.items = [Item(n, column_of(table, n)) for n, _ in table.columns]
        return self._named(derived_source(self.statement, select, table.name), columns)

    def _cte_source(self, definition: CteDefinition, name: str, columns: list[str]) -> Source:
        if definition.recursive is not None:
            cte = definition.recursive
            alias = self.statement.new_alias()
            return Source(alias, name, "cte", list(cte.columns), cte=cte)
        query = self.child(definition.environment).bind(definition.tree)
        source = derived_source(self.statement, query, name)
        return self._named(source, columns or definition.columns)

    def _view(self, view: View, name: str, columns: list[str]) -> Source:
        statement = self.statement
        if view.id in statement.views_open or len(statement.views_open) > VIEW_DEPTH_MAX:
            raise DefinitionError(f'view "{shown(view.name)}" refers to itself')
        schema, statement.schema = statement.schema, view.schema
        user = statement.user
        statement.user = user and view.schema  # the owner's rights hold inside
        statement.views_open.append(view.id)
        statement.views_used[view.id] = None
        try:
            query = type(self)(statement, None).bind(parse_query(view.sql).tree)
        finally:
            statement.schema, statement.user = schema, user
            statement.views_open.pop()
        source = derived_source(statement, query, name)
        if view.columns and len(view.columns) < len(source.columns):
            source = self._as_made(view, source, name)
        if view.columns and len(view.columns) == len(source.columns):
            columns = columns or [c.name for c in view.columns]
        source.schema = view.schema
        return self._named(source, columns)

    def _as_made(self, view: View, source: Source, name: str) -> Source:
        """A view of SELECT * whose tables have more columns now: it shows those it was made for."""
        types = dict(source.columns)
        names = [c.name for c in view.columns]
        if not all(n in types for n in names):  # it names its columns itself
            names = [n for n, _ in source.columns[: len(names)]]
        items = [Item(n, ColumnExpr(source, n, types[n])) for n in names]
        source.used.update(names)
        return derived_source(self.statement, Select(sources=[source], items=items), name)


def table_source(statement: Statement, table: Table, name: str) -> Source:
    """A base table as a source."""
    statement.tables[table.id] = None
    columns = [(c.name, c.type) for c in table.columns]
    return Source(statement.new_alias(), name, "table", columns, table=table, schema=table.schema)


def _alias_of(node: Any) -> tuple[str, list[str]]:
    alias = node.args.get("alias")
    if alias is None:
        return "", []
    name = folded(alias.this) if alias.this is not None else ""
    return name, [folded(c) for c in alias.args.get("columns") or []]


def _is_group(node: Any) -> bool:
    """( a JOIN b … ) without a name of its own."""
    return (
        isinstance(node, exp.Subquery)
        and isinstance(node.this, exp.Table)
        and not node.args.get("alias")
    )


def _common_columns(source: Source, left: list[Source]) -> list[str]:
    own = {n for n, _ in source.columns}
    using = [n for s in left for n, _ in s.columns if n in own and n not in s.hidden]
    return list(dict.fromkeys(using))


def _left_of(scope: Scope) -> Scope:
    """What a lateral item sees: the items before it, and what the whole block sees."""
    return Scope(
        sources=list(scope.sources),
        parent=scope.parent,
        merged=dict(scope.merged),
        ctes=scope.ctes,
        parts=scope.parts,
    )


def refers_outside(source: Source) -> bool:
    """Does a derived table refer to sources that are not its own?"""
    assert source.query is not None
    inside = {id(s) for s in all_sources(source.query)}
    return any(
        isinstance(e, ColumnExpr) and id(e.source) not in inside for e in deep_exprs(source.query)
    )
