"""The planner's statistics as rows of SYS.TBL_STATS, COL_STATS, DBA_TAB_COL_STATISTICS. Pure."""

from __future__ import annotations

from collections.abc import Callable

from data.catalog.catalog import Catalog
from data.catalog.objects import Table


def add_statistics(add: Callable[..., None], catalog: Catalog, table: Table) -> None:
    """What is known of one table; nothing if no statistics were taken."""
    stats = catalog.stats.get(table.id)
    if stats is None:
        return
    add("tbl_stats", tblid=table.id, numtups=stats.rows, taken=stats.taken_us)
    for number, column in enumerate(table.columns, 1):
        known = stats.column(column.name)
        if known is None:
            continue
        low, high = known.low_shown or None, known.high_shown or None
        nulls = round(known.null_share * stats.rows)
        add(
            "col_stats",
            tblid=table.id,
            colnum=number,
            uniq=known.distinct,
            nulls=nulls,
            minval=low,
            maxval=high,
        )
        add(
            "dba_tab_col_statistics",
            owner=table.schema,
            table_name=table.name,
            column_name=column.name,
            num_distinct=known.distinct,
            low_value=low,
            high_value=high,
            num_nulls=nulls,
            last_analyzed=stats.taken_us,
        )
