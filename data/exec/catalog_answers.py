"""Queries of pg_catalog, information_schema and SYS views, with what is alive filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.catalog.pg_catalog import CatalogQueries
from data.catalog.pg_functions import SessionFacts
from data.exec import settings
from data.exec.transactions import TransactionViews
from data.storage.scratch import connect_plain
from protocol.ids import TxnId
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import SqlType, StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.coordination import Coordination
    from data.exec.session import Session


class CatalogAnswers:
    """The catalog queries of one database."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self.transactions = TransactionViews(space)
        self._mine: TxnId | None = None  # the transaction of the session that asks
        self._queries = CatalogQueries(connect_plain, self._live)

    def describe(
        self, sql: str, user: str, schema: str
    ) -> tuple[tuple[ResultColumn, ...], tuple[SqlType, ...]]:
        """Columns and parameter types."""
        facts = SessionFacts(user=user, database=self._space.name, schema=schema)
        columns, params = self._queries.describe(sql, self._space.catalog, facts)
        return tuple(ResultColumn(name, kind) for name, kind in columns), params

    def run(self, sql: str, values: Sequence[StorageValue], session: Session) -> list[StorageRow]:
        """Rows, as storage values of the columns' types."""

        def set_setting(name: str, value: str, is_local: bool) -> None:
            local = is_local and (session.explicit or session.implicit)
            settings.change(session, name, value, local=local)

        facts = SessionFacts(
            user=session.user,
            database=self._space.name,
            schema=session.schema,
            settings={
                **session.settings,
                "transaction_isolation": session.isolation.sql_name,
                "default_transaction_isolation": session.default_isolation.sql_name,
            },
            backend_pid=session.session_id,
            set_setting=set_setting,
        )
        self._mine = session.txn.id if session.txn is not None else None
        _columns, rows = self._queries.run(sql, values, self._space.catalog, facts)
        return rows

    def _live(self, view: str, session: SessionFacts) -> Sequence[StorageRow] | None:
        """Rows of a V$ view; None: nothing is known of it."""
        return self.transactions.rows(view, self._mine)

    def close(self) -> None:
        """Give the private database up."""
        self._queries.close()
