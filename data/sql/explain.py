"""A plan in words: what EXPLAIN shows. Pure."""

from __future__ import annotations

from data.catalog.catalog import Catalog
from data.catalog.objects import Table
from data.sql.plan_types import (
    CatalogQuery,
    CopyPlan,
    DdlText,
    DeletePlan,
    ExplainPlan,
    InsertPlan,
    MergePlan,
    Plan,
    QueryPlan,
    Route,
    UpdatePlan,
    UtilityPlan,
)
from data.sql.scope import shown


def _table(catalog: Catalog, number: int) -> str:
    found = catalog.by_id.get(number)
    return shown(found.name) if isinstance(found, Table) else f"table {number}"


def _tables(catalog: Catalog, numbers: tuple[int, ...]) -> str:
    return ", ".join(_table(catalog, n) for n in numbers)


def route_text(route: Route) -> str:
    """Where, in words."""
    if route.kind == "keys":
        count = len(route.keys)
        return "the replica set of the key" if count == 1 else f"the replica sets of {count} keys"
    return {
        "global_index": "the replica set found through a global index",
        "all": "every replica set",
        "local": "any one element",
        "here": "this element only (hint)",
        "session": "the session's temporary tables",
        "everywhere": "every element, all copies (hint)",
    }[route.kind]


def _query(plan: QueryPlan, catalog: Catalog, indent: str) -> list[str]:
    lines = [f"{indent}Query, {plan.kind} plan"]
    for gather in plan.gathers:
        what = "Run" if plan.final is None else f"Gather {gather.name}"
        tables = _tables(catalog, gather.tables)
        lines.append(
            f"{indent}  {what} at {route_text(gather.route)}" + (f": {tables}" if tables else "")
        )
        lines.append(f"{indent}    {gather.fragment.sql}")
    if plan.final is not None:
        lines.append(f"{indent}  Finish at the coordinator")
        lines.append(f"{indent}    {plan.final.sql}")
    if plan.locking is not None:
        locked = _tables(catalog, tuple(t.table_id for t in plan.locking.tables))
        lines.append(f"{indent}  Lock rows of {locked}")
    lines += [f"{indent}  Not more local because: {reason}" for reason in plan.reasons]
    return lines


def lines(plan: Plan | None, catalog: Catalog) -> list[str]:
    """The lines of EXPLAIN."""
    if isinstance(plan, QueryPlan):
        return _query(plan, catalog, "")
    if isinstance(plan, InsertPlan):
        text = f"Insert into {_table(catalog, plan.table_id)}"
        if plan.source is None:
            return [f"{text}, {len(plan.rows)} row(s), each at the replica set of its key"]
        return [text, *_query(plan.source, catalog, "  ")]
    if isinstance(plan, MergePlan):
        out = [f"Merge into {_table(catalog, plan.table_id)}"]
        out += [f"  Action {n}: {a.kind}" for n, a in enumerate(plan.actions, 1)]
        return [*out, *_query(plan.rows_query, catalog, "  ")]
    if isinstance(plan, UpdatePlan | DeletePlan):
        verb = "Update" if isinstance(plan, UpdatePlan) else "Delete from"
        out = [f"{verb} {_table(catalog, plan.table_id)}, {plan.kind} plan"]
        if plan.fragment is not None:
            out.append(f"  Run at {route_text(plan.route)}")
            out.append(f"    {plan.fragment.sql}")
        if plan.rows_query is not None:
            out += _query(plan.rows_query, catalog, "  ")
        if isinstance(plan, UpdatePlan) and plan.moves_rows:
            out.append("  Rows move to the replica set of their new key")
        return out + [f"  Not more local because: {r}" for r in plan.reasons]
    if isinstance(plan, ExplainPlan):
        return lines(plan.plan, catalog)
    if isinstance(plan, UtilityPlan):
        return [f"Utility statement: {plan.kind}"]
    if isinstance(plan, DdlText):
        return [f"{plan.tag}, at every replica set"]
    if isinstance(plan, CatalogQuery):
        return ["Catalog query, answered by this instance"]
    if isinstance(plan, CopyPlan):
        return [f"Copy {plan.direction}"]
    return ["Nothing"]
