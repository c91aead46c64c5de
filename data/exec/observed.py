"""What the steps of a plan did, for EXPLAIN ANALYZE; and where they run, seen from here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from data.distribution.route import Route, buckets_of
from data.exec.values import Specials
from data.sql.explain import Actual, Explainer, Step, as_json, as_text, route_text
from data.sql.plan_types import ExplainPlan, QueryPlan
from protocol.clock import boottime_s
from protocol.errors import GridError
from protocol.sqltypes import StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.queries import QueryRunner
    from data.exec.running import Running
    from data.exec.session import Session

Values = tuple[StorageValue, ...]


class Observed:
    """Rows, bytes and time of each step, by its id()."""

    def __init__(self) -> None:
        self._began_s = boottime_s()
        self.steps: dict[int, Actual] = {}
        self._kept: list[object] = []  # so that no id is used again

    def of(self, step: object) -> Actual:
        """What is known of a step."""
        found = self.steps.get(id(step))
        if found is None:
            self._kept.append(step)
            found = self.steps[id(step)] = Actual()
        return found

    def add(self, step: object, rows: int, size: int) -> None:
        """A batch of rows came. The time is that since the statement began."""
        actual = self.of(step)
        actual.rows += rows
        actual.bytes += size
        actual.seconds = boottime_s() - self._began_s


async def explained(
    session: Session, running: Running, explain: ExplainPlan, values: Values
) -> list[StorageRow]:
    """The rows of EXPLAIN; ANALYZE runs the query and throws its rows away."""
    observed: Observed | None = None
    if explain.analyze:
        assert isinstance(explain.plan, QueryPlan)
        runner = running.queries(Specials(session), session.txn)
        observed = runner.observed = Observed()
        observed.add(explain.plan, 0, 0)
        async for batch in _rows(runner, explain.plan, values):
            if explain.plan.final is None:
                observed.add(explain.plan, len(batch), 0)
        observed.add(explain.plan, 0, 0)
    explainer = Explainer(
        session.space.catalog,
        lambda route: _where(session, route, values),
        None if observed is None else observed.steps,
        explain.verbose,
    )
    top = explainer.step(explain.plan)
    top.children += [Step(note) for note in explain.notes]
    session.explained = top  # SYS.PLAN shows it
    if explain.as_json:
        return [(as_json(top),)]
    return [(line,) for line in as_text(top)]


def _rows(
    runner: QueryRunner, plan: QueryPlan, values: Values
) -> AsyncGenerator[list[StorageRow], None]:
    return runner.batches(plan, values)


def _where(session: Session, route: Route, values: Values) -> str:
    """The replica set and instance of a key, if it can be told without running anything."""
    text = route_text(route)
    if route.kind != "keys" or len(route.keys) != 1:
        return text
    router = session.space.router
    try:
        sets = {router.buckets[b] for b in buckets_of(route, values, Specials(session))}
    except (GridError, KeyError, IndexError):
        return text
    if len(sets) != 1:
        return text
    (rs,) = sets
    lead = router.leads.get(rs, "")
    where = "local" if lead == router.instance else "remote"
    return f"{where}: replica set {rs}" + (f", led by {lead}" if lead else "")
