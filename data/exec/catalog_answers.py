"""Queries of pg_catalog, information_schema and SYS views, with what is alive filled in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from data.catalog.pg_catalog import CatalogQueries
from data.catalog.pg_functions import SessionFacts
from data.exec import settings
from data.exec.distribution_views import DistributionViews
from data.exec.instance_views import InstanceViews
from data.exec.transactions import TransactionViews
from data.sql.explain import Step, plan_rows
from data.storage.scratch import connect_plain
from protocol.errors import CatalogQueryLateError
from protocol.ids import TxnId
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import SqlType, StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.coordination import Coordination
    from data.exec.session import Session
INLINE_S = 0.03  # of the event loop, for a query of system tables


class Asking(NamedTuple):
    """What views show of the session that asks."""

    transaction: TxnId | None = None
    plan: Step | None = None  # of its last EXPLAIN


class CatalogAnswers:
    """The catalog queries of one database."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self.transactions = TransactionViews(space)
        self.distribution = DistributionViews(space)
        self.instance = InstanceViews(space)
        self._asking = Asking()
        self._shapes = CatalogQueries(connect_plain)  # stays empty
        self._queries = CatalogQueries(connect_plain, self._live, seconds_max=INLINE_S)
        self._filling = asyncio.Lock()  # held while a thread fills its tables
        self._turn = asyncio.Lock()  # of the long ones, which run on a thread
        self._long_asking = Asking()
        self._long = CatalogQueries(
            connect_plain, lambda view, _: self._rows(view, self._long_asking)
        )

    def describe(
        self, sql: str, user: str, schema: str
    ) -> tuple[tuple[ResultColumn, ...], tuple[SqlType, ...]]:
        """Columns and parameter types."""
        facts = SessionFacts(user=user, database=self._space.name, schema=schema)
        columns, params = self._shapes.describe(sql, self._space.catalog, facts)
        return tuple(ResultColumn(name, kind) for name, kind in columns), params

    async def run(
        self, sql: str, values: Sequence[StorageValue], session: Session
    ) -> list[StorageRow]:
        """Rows, as storage values of the columns' types; a query that is long moves to a thread."""

        def set_setting(name: str, value: str, is_local: bool) -> None:
            local = is_local and (session.explicit or session.implicit)
            settings.check(name)
            settings.change(session, name, value, local=local)

        facts = SessionFacts(
            user=session.user,
            database=self._space.name,
            schema=session.schema,
            settings={
                **session.settings,
                "transaction_isolation": session.isolation_name,
                "default_transaction_isolation": session.default_isolation_name,
                "transaction_read_only": settings.show(session, "transaction_read_only"),
                "transaction_deferrable": settings.show(session, "transaction_deferrable"),
            },
            backend_pid=session.session_id,
            set_setting=set_setting,
        )
        mine = session.txn.id if session.txn is not None else None
        asking = Asking(mine, session.explained)
        async with self._filling:
            catalog = self._space.catalog
            if not self._queries.is_filled(catalog, facts):
                await asyncio.to_thread(self._queries.fill, catalog, facts)
            self._asking = asking
            try:
                return self._queries.run(sql, values, catalog, facts)[1]
            except CatalogQueryLateError:
                pass

        def again() -> list[StorageRow]:
            self._long_asking = asking
            return self._long.run(sql, values, catalog, facts)[1]

        async with self._turn:
            return await asyncio.to_thread(again)

    def _live(self, view: str, session: SessionFacts) -> Sequence[StorageRow] | None:
        """Rows of a V$ view; None: nothing is known of it."""
        return self._rows(view, self._asking)

    def _rows(self, view: str, asking: Asking) -> Sequence[StorageRow] | None:
        rows = self.distribution.rows(view)
        if rows is None:
            rows = self.transactions.rows(view, asking.transaction)
        if view == "plan":
            rows = plan_rows(asking.plan)
        return rows if rows is not None else self.instance.rows(view)

    async def refresh(self, text: str, session: Session) -> str:
        """Ask other elements what the views named in a query want to know; returns a warning."""
        if self.distribution.is_named_in(text):
            await self.distribution.refresh(text)
        warnings = []
        if self.transactions.is_named_in(text):
            warnings.append(await self.transactions.refresh(text))
        if self.instance.is_named_in(text):
            warnings.append(await self.instance.refresh(text))
        if self.instance.names_sequences(text):
            warnings.append(await self.instance.ask_sequences(session))
        return "; ".join(warning for warning in warnings if warning)

    def close(self) -> None:
        """Give the private database up."""
        for queries in (self._shapes, self._queries, self._long):
            queries.close()
