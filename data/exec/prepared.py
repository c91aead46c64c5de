"""Compiled statements as sessions hold them, and which of them may take a fast path."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from data.catalog.objects import Distribution, Table
from data.distribution.route import Const, Route, fast_bucket
from data.exec import row_procedures
from data.exec.placement import HashRule
from data.plsql.compiler import CompiledBlock
from data.sql.convert import adapt
from data.sql.plan_types import (
    BlockPlan,
    CatalogQuery,
    CompiledStatement,
    CopyPlan,
    DeletePlan,
    ExplainPlan,
    Gather,
    InsertPlan,
    MergePlan,
    NextVal,
    ParamValue,
    Plan,
    QueryPlan,
    SpecialValue,
    UpdatePlan,
    UtilityPlan,
)
from data.sql.text import is_several, normalise
from data.txn.facts import TableFacts
from protocol import trace
from protocol.errors import GridError, LoginRefusedError, SqlSyntaxError
from protocol.metrics import DatabaseMeters
from protocol.pgwire.copy_rows import CopyFormat
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import VARCHAR, Kind, SqlType, StorageValue

if TYPE_CHECKING:
    from data.exec.coordination import Coordination

_WHOLE = (Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT)
BucketOfValues = Callable[[tuple[StorageValue, ...]], int]


class PreparedStatement:
    """One compiled statement; shared by sessions, immutable."""

    __slots__ = (
        "block",
        "bucket",
        "columns",
        "compiled",
        "copy",
        "declared",
        "fast",
        "fast_in_txn",
        "literals",
        "param_types",
        "read_indexes",
        "read_sql",
        "schema",
        "sql",
        "stats",
        "tag_kind",
        "user",
    )

    def __init__(
        self,
        sql: str,
        declared: tuple[SqlType | None, ...],
        schema: str,
        user: str,
        compiled: CompiledStatement,
        columns: tuple[ResultColumn, ...] | None,
        meters: DatabaseMeters,
    ) -> None:
        self.sql = sql
        self.declared = declared
        self.schema = schema
        self.user = user
        self.compiled = compiled
        self.param_types = compiled.param_types
        self.columns = columns
        self.tag_kind = compiled.tag or "EMPTY"
        self.stats = meters.new_statement(compiled.tag, plan_kind(compiled.plan))
        self.copy: CopyFormat | None = None
        self.block: CompiledBlock | None = None
        self.literals: tuple[StorageValue, ...] | None = None
        self.fast_in_txn = False  # inside a transaction too
        self.fast = ""  # "read" | "write" | "insert": one replica set, nothing elsewhere
        self.bucket: BucketOfValues | None = None
        self.read_sql = ""  # of a fast read: SQLite's text
        self.read_indexes: tuple[int, ...] | None = None  # its parameters; None: all, in order

    def with_literals(self, literals: tuple[StorageValue, ...]) -> PreparedStatement:
        """The same plan for a text whose literals were taken out: no parameters from outside."""
        bound = PreparedStatement.__new__(PreparedStatement)
        bound.block = self.block
        bound.bucket = self.bucket
        bound.columns = self.columns
        bound.compiled = self.compiled
        bound.copy = self.copy
        bound.declared = self.declared
        bound.fast = self.fast
        bound.fast_in_txn = self.fast_in_txn
        bound.schema = self.schema
        bound.sql = self.sql
        bound.stats = self.stats
        bound.tag_kind = self.tag_kind
        bound.user = self.user
        bound.literals = literals
        bound.param_types = ()
        bound.read_indexes = self.read_indexes
        bound.read_sql = self.read_sql
        return bound


Key = tuple[str, tuple[SqlType | None, ...], str]  # of a statement in the cache


def cache_key(sql: str, types: tuple[SqlType | None, ...], schema: str, user: str) -> Key:
    """Plans are checked for their user's privileges: they serve this user in this schema alone."""
    return (sql, types, user if schema == user else f"{user}\0{schema}")


def compile_statement(
    space: Coordination,
    sql: str,
    declared: tuple[SqlType | None, ...],
    schema: str,
    user: str,
    compiled: CompiledStatement | None = None,
) -> PreparedStatement:
    """Compile a text against the present catalog, if it is not yet. Raises GridError."""
    if trace.steps.listener is not None:
        trace.step("data/exec/prepared.py")
    if user not in space.catalog.users:
        raise LoginRefusedError(f"user {user} was dropped", hint="Connect again.")
    space.counts.prepares += 1
    if is_several(sql):
        raise SqlSyntaxError("cannot insert multiple commands into a prepared statement")
    if compiled is None:
        text = row_procedures.as_query(sql) or sql
        compiled = space.compiler.compile(text, declared, schema, user)
    if isinstance(compiled.plan, CatalogQuery):
        shown, param_types = space.catalog_queries.describe(compiled.plan.text, user, schema)
        statement = PreparedStatement(sql, declared, schema, user, compiled, shown, space.meters)
        statement.param_types = _as_declared(declared, param_types)
        return statement
    if isinstance(compiled.plan, BlockPlan):
        return _block(space, compiled.plan, sql, declared, schema, user, compiled)
    columns = _columns(compiled)
    statement = PreparedStatement(sql, declared, schema, user, compiled, columns, space.meters)
    if isinstance(compiled.plan, CopyPlan):
        statement.copy = _copy_format(space, compiled.plan)
    _choose_fast_path(space, statement)
    hints = statement.compiled.hints
    statement.fast_in_txn = "TT_COMMITDMLONSUCCESS" not in hints
    return statement


def _as_declared(
    declared: tuple[SqlType | None, ...], found: tuple[SqlType, ...]
) -> tuple[SqlType, ...]:
    """What a catalog query takes: where nothing tells, the whole numbers that the client sends."""
    return tuple(
        given if kind == VARCHAR and given is not None and given.kind in _WHOLE else kind
        for kind, given in zip(found, [*declared, *([None] * len(found))], strict=False)
    )


def _block(
    space: Coordination,
    plan: BlockPlan,
    sql: str,
    declared: tuple[SqlType | None, ...],
    schema: str,
    user: str,
    compiled: CompiledStatement,
) -> PreparedStatement:
    try:
        block = space.compile_block(plan.text, schema, user, plan.is_call)
    except GridError as error:
        if error.position and plan.shift:
            error.position = max(error.position - plan.shift, 1)  # a new error: nobody has it yet
        raise
    columns = tuple(ResultColumn(_shown(out.name), out.type) for out in block.outs) or None
    statement = PreparedStatement(sql, declared, schema, user, compiled, columns, space.meters)
    statement.block = block
    known = [*declared, *([None] * len(block.binds))][: len(block.binds)]
    statement.param_types = tuple(
        given if given is not None and given.kind is not Kind.UNKNOWN else found or VARCHAR
        for given, found in zip(known, block.types, strict=True)
    )
    return statement


def normalised_statement(
    space: Coordination, sql: str, schema: str, user: str
) -> PreparedStatement | None:
    """The plan of the text without its literals; None if that is not to be had for this text."""
    text, values, types = normalise(sql)
    if not values:
        return None
    key = cache_key(text, types, schema, user)
    statement = space.cached(key)
    try:
        if statement is None:
            statement = compile_statement(space, text, types, schema, user)
            space.remember(key, statement)
        if statement.block is not None:
            return None  # a call: its arguments stay as they are
        return statement.with_literals(adapt(values, types, statement.param_types))
    except GridError:
        return None  # compiled as it was written: the error then tells the right position


def plan_kind(plan: Plan | None) -> str:
    """single, co-located or general; "" for what is no plan over rows."""
    match plan:
        case QueryPlan() | UpdatePlan() | DeletePlan():
            return plan.kind
        case MergePlan():
            return plan.rows_query.kind
        case InsertPlan(source=None):
            return "single" if len(plan.rows) == 1 else "co-located"
        case InsertPlan():
            return plan.source.kind if plan.source is not None else ""
        case ExplainPlan():
            return plan_kind(plan.plan)
    return ""


def _columns(compiled: CompiledStatement) -> tuple[ResultColumn, ...] | None:
    plan = compiled.plan
    if isinstance(plan, ExplainPlan):
        return (ResultColumn("QUERY PLAN", VARCHAR),)
    if isinstance(plan, UtilityPlan) and plan.kind == "show":
        return (ResultColumn(str(plan.arguments["name"]).lower(), VARCHAR),)
    if compiled.columns is None:
        return None
    return tuple(
        ResultColumn(_shown(c.name), c.type, c.table_id, c.column_number) for c in compiled.columns
    )


def _shown(name: str) -> str:
    """All-upper-case names are shown in lower case, others as they are (contracts)."""
    return name.lower() if name == name.upper() else name


def _copy_format(space: Coordination, plan: CopyPlan) -> CopyFormat:
    if plan.query is not None:
        names = tuple(_shown(c.name) for c in plan.query.columns)
        types = tuple(c.type for c in plan.query.columns)
    else:
        table = space.catalog.table_by_id(plan.table_id)
        names = tuple(_shown(table.columns[i].name) for i in plan.columns)
        types = tuple(table.columns[i].type for i in plan.columns)
    return CopyFormat(
        format=plan.format,
        names=names,
        types=types,
        delimiter=plan.delimiter,
        null=plan.null,
        header=plan.header,
        quote=plan.quote,
        escape=plan.escape,
        header_names=plan.header_names,
        force_quote=frozenset(plan.force_quote),
        force_null=frozenset(plan.force_null),
        force_not_null=frozenset(plan.force_not_null),
    )


# -- fast paths ----------------------------------------------------------------------------------
def _choose_fast_path(space: Coordination, statement: PreparedStatement) -> None:
    plan = statement.compiled.plan
    if wants_table_lock(statement.compiled.hints) or statement.compiled.pauses:
        return
    if isinstance(plan, QueryPlan):
        plain = plan.final is None and plan.locking is None
        if plain and not plan.firsts and not plan.made:
            _fast_read(statement, plan.gathers[0])
    elif isinstance(plan, UpdatePlan | DeletePlan):
        if plan.rows_query is None and plan.returning is None and plan.fragment is not None:
            assigned = plan.assigned if isinstance(plan, UpdatePlan) else None
            facts = space.facts.by_id(plan.table_id)
            if plan.fragment.plain is not None and not may_reach_elsewhere(facts, assigned, space):
                statement.bucket = _bucket(plan.route)
                statement.fast = "write" if statement.bucket else ""
    elif isinstance(plan, InsertPlan):
        _fast_insert(space, statement, plan)


def _fast_read(statement: PreparedStatement, gather: Gather) -> None:
    indexes = gather.fragment.plain
    if indexes is None:
        return
    statement.bucket = _bucket(gather.route)
    statement.fast = "read" if statement.bucket else ""
    statement.read_sql = gather.fragment.sql
    if indexes != tuple(range(len(statement.compiled.param_types))):
        statement.read_indexes = indexes


def wants_table_lock(hints: dict[str, str]) -> bool:
    """True for TT_TblLock(1) and for TT_RowLock(0): the tables are locked instead of rows."""
    return hints.get("TT_TBLLOCK") == "1" or hints.get("TT_ROWLOCK") == "0"


def _bucket(route: Route) -> BucketOfValues | None:
    return fast_bucket(route) if route.kind == "keys" else None


def _fast_insert(space: Coordination, statement: PreparedStatement, plan: InsertPlan) -> None:
    if plan.source is not None or plan.returning is not None or plan.on_conflict is not None:
        return
    table = space.catalog.table_by_id(plan.table_id)
    facts = space.facts.by_id(table.id)
    simple = ParamValue | Const | NextVal | SpecialValue
    if (
        len(plan.rows) == 1
        and all(isinstance(source, simple) for source in plan.rows[0])
        and isinstance(space.placement.rule(table), HashRule)
        and not inserts_reach_elsewhere(facts)
    ):
        statement.fast = "insert"


def inserts_reach_elsewhere(facts: TableFacts) -> bool:
    """True if a new row may need something of another replica set."""
    return (
        bool(facts.global_keys or facts.views)
        or facts.table.distribution is Distribution.DUPLICATE
        or any(not link.is_local for link in facts.parents)
    )


def may_reach_elsewhere(
    facts: TableFacts, assigned: tuple[int, ...] | None, space: Coordination
) -> bool:
    """True if an UPDATE of these columns (None: a DELETE) may touch another replica set."""
    table: Table = facts.table
    if assigned is None:
        return _delete_reaches_elsewhere(facts, space, set())
    offset = 1 if table.row_key else 0
    touched = {offset + i for i in assigned}
    return (
        table.distribution is Distribution.DUPLICATE
        or any(touched & {*g.positions, *g.include} for g in facts.global_keys)
        or any(touched & v.watched for v in facts.views)
        or any(touched & set(p.positions) and not p.is_local for p in facts.parents)
        or any(touched & set(c.positions) for c in facts.children)
    )


def _delete_reaches_elsewhere(facts: TableFacts, space: Coordination, seen: set[int]) -> bool:
    """`seen`: tables already looked at, for foreign keys may go round in a circle."""
    seen.add(facts.table.id)
    if facts.global_keys or facts.views or facts.table.distribution is Distribution.DUPLICATE:
        return True
    for link in facts.children:
        if not link.is_local:
            return True
        if link.key.on_delete != "restrict" and link.child.id not in seen:
            child = space.facts.by_id(link.child.id)
            if _delete_reaches_elsewhere(child, space, seen):
                return True
    return False
