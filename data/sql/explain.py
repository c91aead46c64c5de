"""A plan in words: what EXPLAIN shows. Pure.

A tree of steps; each says where it runs (*local*: this data instance; *remote*: another one;
*global*: several), how many rows are expected and, after EXPLAIN ANALYZE, how many there were and
how many bytes came from other elements.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.catalog.catalog import Catalog
from data.catalog.objects import Table
from data.sql.plan_types import (
    CatalogQuery,
    CopyPlan,
    DdlText,
    DeletePlan,
    ExplainPlan,
    First,
    Fragment,
    Gather,
    InsertPlan,
    MergePlan,
    Plan,
    QueryPlan,
    Route,
    UpdatePlan,
    UtilityPlan,
)
from data.sql.scope import shown
from protocol.errors import NotSupportedError, SqlSyntaxError
from protocol.sqltypes import StorageRow


@dataclass(slots=True)
class Actual:
    """What one step did."""

    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    note: str = ""


@dataclass(slots=True)
class Step:
    """One line of EXPLAIN and those under it."""

    title: str
    facts: dict[str, Any] = field(default_factory=dict)
    children: list[Step] = field(default_factory=list)


Where = Callable[[Route], str]


def route_text(route: Route) -> str:
    """Where, in words."""
    if route.kind == "keys":
        count = len(route.keys)
        one, many = "the replica set of the key", f"the replica sets of {count} keys"
        return f"local or remote: {one}" if count == 1 else f"global: {many}"
    if route.many:
        return "global: the replica sets found through a global index"
    return {
        "global_index": "local or remote: the replica set found through a global index",
        "all": "global: every replica set",
        "local": "local: any one element",
        "here": "local: this element only (hint)",
        "session": "local: the session's temporary tables",
        "everywhere": "global: every element, all copies (hint)",
    }[route.kind]


class Explainer:
    """Makes the steps of one plan."""

    def __init__(
        self,
        catalog: Catalog,
        where: Where = route_text,
        actual: Mapping[int, Actual] | None = None,
        verbose: bool = False,
    ) -> None:
        """actual: by id() of the QueryPlan, First or Gather."""
        self._catalog = catalog
        self._where = where
        self._actual = actual
        self._verbose = verbose

    def step(self, plan: Plan | None) -> Step:
        """The tree of a plan."""
        if isinstance(plan, QueryPlan):
            return self._query(plan)
        if isinstance(plan, InsertPlan):
            title = f"Insert into {self._table(plan.table_id)}"
            if plan.source is None:
                return Step(f"{title}, {len(plan.rows)} row(s), each at the replica set of its key")
            return Step(title, children=[self._query(plan.source)])
        if isinstance(plan, MergePlan):
            merge = Step(f"Merge into {self._table(plan.table_id)}")
            merge.children = [Step(f"Action {n}: {a.kind}") for n, a in enumerate(plan.actions, 1)]
            merge.children.append(self._query(plan.rows_query))
            return merge
        if isinstance(plan, UpdatePlan | DeletePlan):
            return self._change(plan)
        if isinstance(plan, ExplainPlan):
            return self.step(plan.plan)
        if isinstance(plan, UtilityPlan):
            return Step(f"Utility statement: {plan.kind}")
        if isinstance(plan, DdlText):
            return Step(f"{plan.tag}, global: every replica set")
        if isinstance(plan, CatalogQuery):
            return Step("Catalog query, local: answered by this data instance")
        if isinstance(plan, CopyPlan):
            return Step(f"Copy {plan.direction}")
        return Step("Nothing")

    # -- queries -----------------------------------------------------------------------------------
    def _query(self, plan: QueryPlan) -> Step:
        query = Step(f"Query, {plan.kind} plan", self._facts(plan, -1.0))
        taken = query.facts.pop("Note", "")
        query.children += [self._first(f) for f in plan.firsts]
        for gather in plan.gathers:
            query.children.append(self._gather(gather, alone=plan.final is None))
        if plan.final is not None:
            final = Step("Finish, local: at the coordinator")
            query.children.append(self._with_sql(final, plan.final))
        if plan.locking is not None:
            locked = self._tables(tuple(t.table_id for t in plan.locking.tables))
            query.children.append(Step(f"Lock rows of {locked}"))
        query.children += [Step(f"Not more local because: {reason}") for reason in plan.reasons]
        if taken and plan.otherwise is not None:
            other = self._query(plan.otherwise)
            other.title = f"Taken instead, because {taken}: {other.title}"
            query.children.append(other)
        elif plan.otherwise is not None:
            kind = plan.otherwise.kind
            query.children.append(Step(f"If the rows to send are too many: {kind} plan"))
        return query

    def _first(self, first: First) -> Step:
        what = "its value is a parameter" if first.kind == "scalar" else "its rows are sent along"
        tables = f" (of {first.tables})" if first.tables else ""
        step = Step(f"First a query{tables}, {what}", self._facts(first, -1.0))
        step.children = [self._query(first.plan)]
        return step

    def _gather(self, gather: Gather, *, alone: bool) -> Step:
        name = "Run" if alone else f"Gather {gather.name}"
        tables = self._tables(gather.tables)
        if gather.route.kind == "keys" and gather.route.index_id:
            tables = f"entries of global indexes of {tables}"
        of = f": {tables}" if tables else ""
        facts = self._facts(gather, gather.rows)
        if gather.plan is not None:
            step = Step(f"{name}, the result of a query{of}", facts)
            step.children = [self._query(gather.plan)]
            return step
        step = Step(f"{name}, {self._where(gather.route)}{of}", facts)
        if gather.keys:
            keys = " and ".join(f"{k.gather}.{shown(k.column)}" for k in gather.keys)
            note = facts.pop("Note", "")
            step.children.append(Step(f"Only rows with keys of {keys}{f' ({note})' * bool(note)}"))
        return self._with_sql(step, gather.keyed or gather.fragment)

    def _change(self, plan: UpdatePlan | DeletePlan) -> Step:
        verb = "Update" if isinstance(plan, UpdatePlan) else "Delete from"
        step = Step(f"{verb} {self._table(plan.table_id)}, {plan.kind} plan")
        if plan.fragment is not None:
            run = Step(f"Run, {self._where(plan.route)}")
            step.children.append(self._with_sql(run, plan.fragment))
        if plan.rows_query is not None:
            step.children.append(self._query(plan.rows_query))
        if isinstance(plan, UpdatePlan) and plan.moves_rows:
            step.children.append(Step("Rows move to the replica set of their new key"))
        step.children += [Step(f"Not more local because: {r}") for r in plan.reasons]
        return step

    # -- facts -------------------------------------------------------------------------------------
    def _with_sql(self, step: Step, fragment: Fragment) -> Step:
        if self._verbose:
            step.children.append(Step(f"SQL: {fragment.sql}"))
        return step

    def _facts(self, of: object, expected: float) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if expected >= 0:
            facts["Expected Rows"] = round(expected)
        if self._actual is None:
            return facts
        actual = self._actual.get(id(of))
        if actual is None:
            return facts
        facts["Actual Rows"] = actual.rows
        if actual.bytes:
            facts["Bytes"] = actual.bytes
        facts["Milliseconds"] = round(actual.seconds * 1000, 1)
        if actual.note:
            facts["Note"] = actual.note
        return facts

    def _table(self, number: int) -> str:
        found = self._catalog.by_id.get(number)
        return shown(found.name) if isinstance(found, Table) else f"table {number}"

    def _tables(self, numbers: tuple[int, ...]) -> str:
        return ", ".join(self._table(n) for n in numbers)


_FACTS = {
    "Expected Rows": "about {} rows",
    "Actual Rows": "actual rows {}",
    "Bytes": "{} bytes",
    "Milliseconds": "{} ms",
}


def as_text(step: Step, indent: str = "") -> Iterator[str]:
    """One line per step."""
    known = [_FACTS[name].format(value) for name, value in step.facts.items() if name in _FACTS]
    yield f"{indent}{step.title}" + (f"  ({', '.join(known)})" if known else "")
    for child in step.children:
        yield from as_text(child, indent + "  ")


def plan_rows(top: Step | None) -> list[StorageRow]:
    """SYS.PLAN: a row per step, in EXPLAIN's order; what only TimesTen's steps have is NULL."""
    rows: list[StorageRow] = []

    def add(step: Step, level: int) -> None:
        rows.append((len(rows) + 1, level, step.title, None, None, None, None))
        for child in step.children:
            add(child, level + 1)

    if top is not None:
        add(top, 1)
    return rows


def as_json(step: Step) -> str:
    """In the shape of PostgreSQL's: a list of one plan."""

    def node(step: Step) -> dict[str, Any]:
        found: dict[str, Any] = {"Node Type": step.title, **step.facts}
        if step.children:
            found["Plans"] = [node(c) for c in step.children]
        return found

    return json.dumps([{"Plan": node(step)}], indent=2, ensure_ascii=False)


_OPTIONS = frozenset(
    ["ANALYZE", "VERBOSE", "FORMAT", "COSTS", "SETTINGS", "BUFFERS", "WAL", "TIMING", "SUMMARY"]
)
_OFF = frozenset(["OFF", "FALSE", "0"])


def explain_options(options: str, words: str) -> dict[str, str]:
    """Those that are on, with their values, of EXPLAIN (…) or EXPLAIN ANALYZE VERBOSE.

    Raises SqlSyntaxError, NotSupportedError.
    """
    found: dict[str, str] = dict.fromkeys(words.upper().replace("ANALYSE", "ANALYZE").split(), "")
    for option in filter(str.strip, options.split(",")):
        name, _, value = option.strip().upper().replace("ANALYSE", "ANALYZE").partition(" ")
        if name not in _OPTIONS:
            raise SqlSyntaxError(f'unrecognized EXPLAIN option "{name.lower()}"')
        value = value.strip().strip("'")
        if name == "FORMAT" and value not in ("TEXT", "JSON"):
            raise NotSupportedError(
                f"EXPLAIN in the format {value.lower()} is not supported",
                hint="FORMAT TEXT and FORMAT JSON are.",
            )
        if value not in _OFF:
            found[name] = value
    return found


def lines(plan: Plan | None, catalog: Catalog, *, verbose: bool = False) -> list[str]:
    """EXPLAIN without a grid: where and why."""
    return list(as_text(Explainer(catalog, verbose=verbose).step(plan)))
