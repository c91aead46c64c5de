"""MERGE: Oracle's form and PostgreSQL's, as one query over source and target. Pure.

The query is source LEFT JOIN target ON (…): it says for each row which WHEN clause it falls under,
and brings the values of that clause; only those of the clause taken are computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from data.catalog.element_ddl import full_row_columns, key_columns
from data.catalog.objects import Table
from data.sql.bind_expr import ExpressionBinder
from data.sql.bind_from import table_source
from data.sql.bind_query import QueryBinder
from data.sql.dml import Dml, is_default, moves, parameter_type, position_in
from data.sql.drawn import Drawn, draws
from data.sql.ir import (
    Call,
    ColumnExpr,
    Expr,
    Item,
    ParamExpr,
    Select,
    Source,
    SubqueryExpr,
    transform,
    walk,
)
from data.sql.merge_tokens import DELETE_MARK
from data.sql.operators import call, cast, is_unknown, settle
from data.sql.parse import refuse
from data.sql.plan_types import MergeAction, MergePlan, ValueSource
from data.sql.scope import Scope, folded
from protocol.errors import DuplicateObjectError, SqlSyntaxError
from protocol.sqltypes import BIGINT, BOOLEAN


@dataclass
class _Merge:
    """What the clauses are bound against."""

    table: Table
    target: Source
    both: Scope
    of_source: Scope
    matched: Expr
    items: list[Item]  # of the query, behind the full row and the number of the action
    offset: int
    tests: list[Expr] = field(default_factory=list)


class MergeBinder(Dml):
    """Compiles one MERGE."""

    def merge(self) -> MergePlan:
        """MERGE INTO t USING s ON (…) WHEN …"""
        table, alias = self.target(self.tree.this, "SELECT")
        nodes = list(self.tree.args["whens"].expressions)
        select, merge = self._sources(table, alias, nodes)
        actions = tuple(self._action(node, merge) for node in nodes)
        number = "CASE" + "".join(f" WHEN {{{n}}} THEN {n + 1}" for n in range(len(nodes)))
        which = Call(number + " ELSE 0 END", tuple(merge.tests), BIGINT)
        types = {c.name: c.type for c in table.columns}
        for name in full_row_columns(table):
            merge.target.used.add(name)
            column = ColumnExpr(merge.target, name, types.get(name, BIGINT))
            select.items.append(Item(name, column))
        select.items += [Item("WHICH", which), *merge.items]
        select.where = [call("({0} > 0)", which, type_=BOOLEAN)]
        source = merge.both.sources[0]
        returning = self._returning(table, alias, select, others=[source])
        plan = self.planner.plan(select)
        return MergePlan(
            table.id,
            plan,
            actions,
            returning=returning,
            tables=tuple(dict.fromkeys((table.id, *plan.tables))),
            reasons=plan.reasons,
        )

    def _sources(self, table: Table, alias: str, nodes: list[Any]) -> tuple[Select, _Merge]:
        queries = QueryBinder(self.statement, None)
        queries.read_ctes(self.tree)
        scope = Scope(ctes=queries.ctes)
        select = Select(ctes=queries.recursive)
        source = queries.source(self.tree.args["using"], scope)
        scope.sources.append(source)
        target = table_source(self.statement, table, alias)
        target.join = "left" if any(not n.args.get("matched") for n in nodes) else "inner"
        scope.sources.append(target)
        if source.name == target.name:
            raise DuplicateObjectError("source and target of MERGE have the same name")
        target.on = ExpressionBinder(self.statement, scope).conditions(self.tree.args["on"])
        select.sources = scope.sources
        of_source = Scope(sources=[source], ctes=queries.ctes)
        key = key_columns(table)[0]
        target.used.add(key)
        type_ = next((c.type for c in table.columns if c.name == key), BIGINT)
        matched = call("({0} IS NOT NULL)", ColumnExpr(target, key, type_), type_=BOOLEAN)
        offset = len(full_row_columns(table)) + 1
        return select, _Merge(table, target, scope, of_source, matched, [], offset)

    def _action(self, node: Any, merge: _Merge) -> MergeAction:
        if node.args.get("source"):
            raise refuse("WHEN NOT MATCHED BY SOURCE")
        matched = bool(node.args.get("matched"))
        binder = ExpressionBinder(self.statement, merge.both if matched else merge.of_source)
        test = merge.matched if matched else call("(NOT {0})", merge.matched, type_=BOOLEAN)
        condition = node.args.get("condition")
        if condition is not None:
            test = call("({0} AND {1})", test, binder.condition(condition), type_=BOOLEAN)
        merge.tests.append(test)
        then = node.args["then"]
        if isinstance(then, exp.Update) and matched:
            self.statement.check_privilege(merge.table, "UPDATE")
            return self._update(then, merge, test, binder)
        if isinstance(then, exp.Insert) and not matched:
            self.statement.check_privilege(merge.table, "INSERT")
            return self._insert(then, merge, test, binder)
        word = str(getattr(then, "name", "")).upper()
        if word == "DELETE" and matched:
            self.statement.check_privilege(merge.table, "DELETE")
            return MergeAction("delete")
        if word == "DO NOTHING":
            return MergeAction("nothing")
        what = "MATCHED" if matched else "NOT MATCHED"
        raise SqlSyntaxError(f"MERGE: this cannot be done WHEN {what}")

    def _update(
        self, then: Any, merge: _Merge, test: Expr, binder: ExpressionBinder
    ) -> MergeAction:
        table, drawn = merge.table, Drawn(merge.items, merge.offset)
        nodes = [n for n in then.expressions if str(n.this.name).upper() != DELETE_MARK]
        marks = [n for n in then.expressions if str(n.this.name).upper() == DELETE_MARK]
        assigned, exprs = self._assignments(table, nodes, binder)
        for expr in exprs:
            self._no_sequences(expr)
        values = tuple(drawn.keep(_if(test, e)) for e in exprs)
        delete_at = -1
        if marks:
            condition = binder.condition(marks[0].expression)
            new = {table.columns[p].name: e for p, e in zip(assigned, exprs, strict=True)}
            if any(isinstance(e, SubqueryExpr) for e in walk(condition)):
                raise refuse("a subquery in DELETE WHERE of MERGE")

            def updated(part: Expr) -> Expr | None:
                own = isinstance(part, ColumnExpr) and part.source is merge.target
                return new.get(part.name) if own and isinstance(part, ColumnExpr) else None

            self.statement.check_privilege(table, "DELETE")
            delete_at = drawn.keep(_if(test, transform(condition, updated)))
        return MergeAction(
            "update",
            tuple(assigned),
            values,
            delete_at,
            moves_rows=moves(table, assigned),
        )

    def _insert(
        self, then: Any, merge: _Merge, test: Expr, binder: ExpressionBinder
    ) -> MergeAction:
        table, drawn = merge.table, Drawn(merge.items, merge.offset)
        names = list(then.this.expressions) if then.this is not None else []
        body = then.expression
        if body is None:
            if len(names) != 1 or not is_default(names[0]):
                raise SqlSyntaxError("MERGE: INSERT without VALUES")
            return MergeAction("insert", row=self._row(table, {}))
        nodes = list(body.expressions) if isinstance(body, exp.Tuple) else [body]
        positions = [position_in(table, folded(n.this), n) for n in names]
        positions = positions or list(range(len(table.columns)))
        if len(nodes) != len(positions) or len(set(positions)) != len(positions):
            raise SqlSyntaxError("MERGE: INSERT and VALUES differ in their number of columns")
        given: dict[int, ValueSource] = {}
        for position, value in zip(positions, nodes, strict=True):
            if is_default(value):
                continue
            column = table.columns[position]
            expr = binder.bind(value)
            if is_unknown(expr) and isinstance(expr, ParamExpr):
                expr = settle(expr, parameter_type(column.type))
            if not draws(expr):
                expr = _if(test, cast(expr, column.type))
            given[position] = drawn.source(expr, column.type)
        return MergeAction("insert", row=self._row(table, given))


def _if(test: Expr, value: Expr) -> Expr:
    """The value where the clause is taken; elsewhere it is not computed."""
    return call("CASE WHEN {0} THEN {1} END", test, value, type_=value.type)


__all__ = ["MergeBinder"]
