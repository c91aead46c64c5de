"""Text → CompiledStatement: the one entry to the SQL compiler. Pure."""

from __future__ import annotations

import re

from data.catalog.catalog import Catalog
from data.sql.bind_query import bind_query, settle_items
from data.sql.builtin_calls import call_as_query
from data.sql.catalog_refs import asks_catalog
from data.sql.copying import plan_copy
from data.sql.dml import Dml
from data.sql.drawn import plan_drawn
from data.sql.explain import explain_options
from data.sql.ir import Query, Select
from data.sql.lacking import lacks
from data.sql.merge import MergeBinder
from data.sql.parse import Parsed, parse_statement, refuse
from data.sql.pauses import Pause, take_pauses
from data.sql.plan import Planner
from data.sql.plan_hints import apply_hints
from data.sql.plan_types import (
    BlockPlan,
    CatalogQuery,
    CompiledStatement,
    DdlText,
    DeletePlan,
    ExplainPlan,
    InsertPlan,
    MergePlan,
    Plan,
    QueryPlan,
    ResultColumn,
    UpdatePlan,
    UtilityPlan,
)
from data.sql.scope import Statement
from data.sql.utility import plan_utility
from protocol import trace
from protocol.errors import SqlSyntaxError, TooLargeError
from protocol.limits import STATEMENT_CHARS_MAX
from protocol.sqltypes import VARCHAR, Kind, SqlType

_EXPLAIN = re.compile(
    r"\s*explain\s+(?:\((?P<options>[^)]*)\)|"
    r"(?P<words>(?:(?:analy[sz]e|verbose|plan\s+for)\b\s*)*))\s*",
    re.IGNORECASE,
)
_DDL_TAG = re.compile(
    r"(?:\s+|--[^\n]*\n|/\*.*?\*/)*(?P<verb>\w+)\s+(?:(?:or\s+replace|global|local|temporary|temp|unique"
    r"|hash|materialized|public|private|bitmap|force|editionable)\s+)*(?P<object>\w+)?",
    re.IGNORECASE | re.DOTALL,
)


_BUILT_IN = re.compile(r"\s*tt\w+\s*(\(|;|$)", re.IGNORECASE)  # TimesTen's procedures


# how pgjdbc sends {call p(?, ?)} and {? = call f(?)}
_CALLED = re.compile(
    r"\s*select\s+\*\s+from\s+(?P<call>(?P<name>[\w$#.]+)\s*\(.*\))\s+as\s+result\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)


class Compiler:
    """Compiles statements against one version of the catalog. Make a new one per version."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        # names users gave that look like catalog views (USER_…, ALL_…): not for the catalog
        self._names = frozenset(name for _, name in catalog.relations)

    def compile(
        self,
        text: str,
        param_types: tuple[SqlType | None, ...] = (),
        schema: str = "",
        user: str = "",
    ) -> CompiledStatement:
        """Compile one statement. `param_types`: as declared by the client, None: infer.

        Raises SqlSyntaxError, UnknownTableError, UnknownColumnError, TypeMismatchError, … and
        NotSupportedError for what is refused by name.
        """
        if trace.steps.listener is not None:
            trace.step("data/sql/compiler.py")
        if len(text) > STATEMENT_CHARS_MAX:
            raise TooLargeError(
                f"a statement of {len(text)} characters, limit {STATEMENT_CHARS_MAX}",
                hint="Send values as parameters, many rows with COPY or as a batch.",
            )
        statement = Statement(self.catalog, schema or user, user, _declared(param_types))
        try:
            return self._compile(text, statement)
        except RecursionError:
            raise refuse("a statement nested so deeply") from None

    def _compile(self, text: str, statement: Statement) -> CompiledStatement:
        if asks_catalog(text, self._names.__contains__):
            return self._catalog_query(text, statement)
        built_in = call_as_query(text)
        if built_in is not None:
            return self._catalog_query(built_in, statement)
        called = _CALLED.fullmatch(text)
        if called is not None and self._is_unit(called["name"], statement.schema):
            call = BlockPlan(f"BEGIN {called['call']}; END;", "SELECT 1", True)
            return CompiledStatement(call, (), None, "SELECT", False, self.catalog.version)
        parsed = parse_statement(text)
        for _ in range(parsed.param_count):
            if len(statement.slots) < parsed.param_count:
                statement.slot(len(statement.slots) + 1)
        statement.hints = parsed.hints
        pauses: tuple[Pause, ...] = ()
        if parsed.kind == "query" and "PG_SLEEP" in text.upper():
            pauses = take_pauses(statement, parsed.tree)
        plan, tag, read_only = self._plan(parsed, statement)
        for slot in statement.slots:
            if slot.type.kind is Kind.UNKNOWN:
                slot.type = VARCHAR
        return CompiledStatement(
            plan=plan,
            param_types=tuple(s.type for s in statement.slots),
            columns=_columns_of(plan),
            tag=tag,
            read_only=read_only,
            schema_version=self.catalog.version,
            hints=statement.hints,
            pauses=pauses,
        )

    def _catalog_query(self, text: str, statement: Statement) -> CompiledStatement:
        numbers = [int(n) for n in re.findall(r"\$(\d+)", text)]
        count = max([*numbers, len(statement.slots), 0])
        types = [s.type for s in statement.slots] + [VARCHAR] * (count - len(statement.slots))
        known = tuple(VARCHAR if t.kind is Kind.UNKNOWN else t for t in types)
        return CompiledStatement(
            CatalogQuery(text, None), known, None, "SELECT", True, self.catalog.version
        )

    def _plan(self, parsed: Parsed, statement: Statement) -> tuple[Plan | None, str, bool]:
        """(plan, command tag, reads only)."""
        kind = parsed.kind
        if kind == "empty":
            return None, "EMPTY", True
        if kind == "query":
            plan = self._query(parsed, statement)
            return plan, "SELECT", plan.locking is None and not statement.draws_sequence
        if kind in ("insert", "update", "delete"):
            dml = Dml(self.catalog, statement, parsed)
            made = getattr(dml, kind)()
            return made, kind.upper(), False
        if kind == "explain":
            return self._explain(parsed, statement), "EXPLAIN", True
        if kind == "copy":
            copy = plan_copy(statement, parsed)
            return (
                copy,
                "COPY_IN" if copy.direction == "in" else "COPY_OUT",
                copy.direction == "out",
            )
        if kind == "ddl":
            return self._ddl(parsed, statement)
        if kind == "utility":
            utility, tag = plan_utility(parsed.text, self.catalog, statement.schema)
            if utility.kind == "call" and not _BUILT_IN.match(str(utility.arguments["text"])):
                called = str(utility.arguments["text"]).strip().rstrip(";")
                shift = len("BEGIN ") - parsed.text.find(called)
                return BlockPlan(f"BEGIN {called}; END;", "CALL", True, shift), "CALL", False
            if utility.kind == "lock_table":
                self._check_lock(statement, utility)
            return utility, tag, True
        if kind == "merge":
            return MergeBinder(self.catalog, statement, parsed).merge(), "MERGE", False
        return BlockPlan(parsed.text, "DO"), "DO", False

    def _is_unit(self, name: str, schema: str) -> bool:
        """A stored procedure or function, or one of a package."""
        parts = name.upper().split(".")
        of_schema = len(parts) > 1 and self.catalog.find_unit(parts[0], parts[1]) is not None
        return of_schema or self.catalog.find_unit(schema, parts[0]) is not None

    def _check_lock(self, statement: Statement, lock: UtilityPlan) -> None:
        """LOCK TABLE: who may change the table may lock it, who may read it may share it."""
        table = self.catalog.table_by_id(int(str(lock.arguments["table_id"])))
        wanted = ["UPDATE", "DELETE"]
        if lock.arguments["mode"] in ("ACCESS SHARE", "ROW SHARE", "SHARE"):
            wanted += ["SELECT", "INSERT"]
        if not any(self.catalog.has_privilege(statement.user, table, p) for p in wanted):
            raise lacks(statement.user, wanted[0], table)

    def _query(self, parsed: Parsed, statement: Statement) -> QueryPlan:
        query = bind_query(statement, parsed.tree)
        settle_items(query)
        statement.notes = apply_hints(query, statement.hints)
        planner = Planner(self.catalog, statement)
        if statement.draws_sequence and isinstance(query, Select):
            return plan_drawn(planner, query)
        return planner.plan(query, ships=True)

    def _ddl(self, parsed: Parsed, statement: Statement) -> tuple[Plan, str, bool]:
        if re.match(r"\s*alter\s+session\b", parsed.text, re.IGNORECASE):
            utility, tag = plan_utility(parsed.text, self.catalog, statement.schema)
            return utility, tag, True
        match = _DDL_TAG.match(parsed.text)
        verb = parsed.first_word
        thing = (match["object"] or "").upper() if match is not None else ""
        tag = verb if verb in ("GRANT", "REVOKE", "COMMENT") else f"{verb} {thing}".strip()
        return DdlText(parsed.text, None, tag), tag, False

    def _explain(self, parsed: Parsed, statement: Statement) -> ExplainPlan:
        match = _EXPLAIN.match(parsed.text)
        if match is None:
            raise SqlSyntaxError("EXPLAIN of what?", position=1)
        options = explain_options(match["options"] or "", match["words"] or "")
        inner = parse_statement(parsed.text[match.end() :])
        statement.hints = inner.hints
        plan, _, read_only = self._plan(inner, statement)
        if plan is None:
            raise SqlSyntaxError("EXPLAIN of what?", position=len(parsed.text))
        analyze = "ANALYZE" in options
        if analyze and not (isinstance(plan, QueryPlan) and read_only):
            raise refuse("EXPLAIN ANALYZE of statements that change something")
        notes = list(statement.notes)
        if not isinstance(plan, QueryPlan):
            notes = apply_hints(Query(), statement.hints)
        return ExplainPlan(
            plan, analyze, "VERBOSE" in options, options.get("FORMAT") == "JSON", tuple(notes)
        )


def _declared(types: tuple[SqlType | None, ...]) -> tuple[SqlType | None, ...]:
    return tuple(None if t is None or t.kind is Kind.UNKNOWN else t for t in types)


def _columns_of(plan: Plan | None) -> tuple[ResultColumn, ...] | None:
    if isinstance(plan, QueryPlan):
        return plan.columns
    if isinstance(plan, InsertPlan | UpdatePlan | DeletePlan | MergePlan):
        return plan.returning.columns if plan.returning is not None else None
    if isinstance(plan, ExplainPlan):
        return (ResultColumn("QUERY PLAN", VARCHAR),)
    return None
