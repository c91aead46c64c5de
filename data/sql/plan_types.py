"""What the compiler hands to the executor: plans as frozen values. Pure.

Positions. *Row positions* count a table's catalog columns from 0, without the hidden `_ROWKEY` and
`_BUCKET`. A *full row* is [_ROWKEY] + catalog columns + [_BUCKET], as in the element file.
Every SQL text here is SQLite's, written for an element (user tables) or for the coordinator's
scratch database (the temporary tables named by `Gather.name`); placeholders are ?1..?n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from data.distribution.route import ROUTE_ALL as ROUTE_ALL
from data.distribution.route import ROUTE_EVERYWHERE as ROUTE_EVERYWHERE
from data.distribution.route import ROUTE_HERE as ROUTE_HERE
from data.distribution.route import ROUTE_LOCAL as ROUTE_LOCAL
from data.distribution.route import ROUTE_SESSION as ROUTE_SESSION
from data.distribution.route import Const as Const
from data.distribution.route import Fragment as Fragment
from data.distribution.route import Param as Param
from data.distribution.route import ParamSource as ParamSource
from data.distribution.route import Route as Route
from data.distribution.route import RouteValue as RouteValue
from data.distribution.route import Special as Special
from data.distribution.route import SpecialValues as SpecialValues
from data.distribution.route import make_fragment as make_fragment
from data.distribution.route import source_value as source_value
from protocol.sqltypes import SqlType, StorageRow, StorageValue


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result. `column_number` from 1, 0 if it is not a plain table column."""

    name: str
    type: SqlType
    table_id: int = 0
    column_number: int = 0


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Special("rows", number): the different values of a column of a table gathered before."""

    number: int
    gather: str
    column: str


@dataclass(frozen=True, slots=True)
class Gather:
    """Rows brought to the coordinator, into temporary table `name` if there is a final.

    `columns` name and type the fragment's result columns in order, all of them.
    `indexes`: column name tuples worth an index on the temporary table.
    `ordered_limit`: the fragment's own rows are ordered and cut already (for EXPLAIN).
    `keys`: semi-join: `keyed` asks only for rows whose keys are among those of tables gathered
    before; `fragment` is run instead if these keys are too many to send.
    `plan`: the rows are those of this query; then `fragment` and `route` mean nothing.
    """

    name: str
    fragment: Fragment
    route: Route
    columns: tuple[tuple[str, SqlType], ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    tables: tuple[int, ...] = ()  # ids of the tables it reads
    ordered_limit: bool = False
    keys: tuple[KeyFilter, ...] = ()
    keyed: Fragment | None = None
    plan: QueryPlan | None = None
    rows: float = -1.0  # how many are expected; -1: nobody knows


LockStrength = Literal["update", "no key update", "share", "key share"]


@dataclass(frozen=True, slots=True)
class LockTable:
    """Rows of `table_id` to lock: their keys (primary key or `_ROWKEY`, then `_BUCKET` if the table
    has one) stand in each row of the result from `first_column` on (`key_columns` without bucket).
    """

    table_id: int
    first_column: int
    key_columns: int
    has_bucket: bool


@dataclass(frozen=True, slots=True)
class Locking:
    """SELECT … FOR UPDATE. The hidden columns follow the `visible` result columns in every row.

    `cut`: only with "skip", a SELECT of two numbers without tables: how many rows are wanted (-1:
    all), how many to leave out before them. Rows that are skipped do not count.
    """

    tables: tuple[LockTable, ...]
    visible: int
    wait: Literal["wait", "nowait", "skip"] = "wait"
    wait_s: float = 0.0  # 0: the session's LockWait
    strength: LockStrength = "update"
    cut: Fragment | None = None


PlanKind = Literal["single", "co-located", "general"]


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query.

    `final` None: exactly one gather; its rows, concatenated in any order, are the answer (columns
    as in `columns`, then the hidden ones of `locking`). Otherwise all gathers are filled into the
    scratch database and `final` runs there. `firsts`: queries to run before.
    `otherwise`: the plan to take when the rows of one of `firsts` are too many to send.
    `made`: if not (), the result's rows are made of the query's, as those of INSERT … SELECT are.
    """

    kind: PlanKind
    gathers: tuple[Gather, ...]
    final: Fragment | None
    columns: tuple[ResultColumn, ...]
    locking: Locking | None = None
    tables: tuple[int, ...] = ()  # ids of all tables read
    reasons: tuple[str, ...] = ()  # for EXPLAIN: why not more local
    firsts: tuple[First, ...] = ()
    otherwise: QueryPlan | None = None
    made: tuple[ValueSource, ...] = ()


@dataclass(frozen=True, slots=True)
class First:
    """A query that runs before the plan it belongs to.

    kind "scalar": its one value is Special("scalar", number), NULL if there is no row (more than
    one row: CardinalityError). kind "rows": its rows, as JSON, are Special("rows", number).
    """

    number: int
    plan: QueryPlan
    kind: Literal["scalar", "rows"]
    tables: str = ""  # their names, for EXPLAIN


def inner_plans(plan: QueryPlan) -> Iterator[QueryPlan]:
    """The plan and all plans in it, those it may fall back to too."""
    yield plan
    for first in plan.firsts:
        yield from inner_plans(first.plan)
    for gather in plan.gathers:
        if gather.plan is not None:
            yield from inner_plans(gather.plan)
    if plan.otherwise is not None:
        yield from inner_plans(plan.otherwise)


@dataclass(frozen=True, slots=True)
class ParamValue:
    """Parameter `index`, converted from `from_type` to the column's type (data/sql/convert.py).

    `convert` None: stored as it is.
    """

    index: int
    from_type: SqlType
    convert: Callable[[StorageValue], StorageValue] | None = None


@dataclass(frozen=True, slots=True)
class NextVal:
    """The next value of a sequence; one per row, however often the row names it."""

    sequence_id: int
    convert: Callable[[StorageValue], StorageValue] | None = None  # from BIGINT to the column


@dataclass(frozen=True, slots=True)
class CurrVal:
    """The session's current value of a sequence."""

    sequence_id: int
    convert: Callable[[StorageValue], StorageValue] | None = None


@dataclass(frozen=True, slots=True)
class SpecialValue:
    """A Special, converted to the column's type."""

    special: Special
    convert: Callable[[StorageValue], StorageValue] | None = None


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """Column `position` of the current row of `InsertPlan.source`; already of the column's type."""

    position: int


@dataclass(frozen=True, slots=True)
class SqlValue:
    """`fragment` (a SELECT of one value, no tables) evaluated in the scratch database."""

    fragment: Fragment


@dataclass(frozen=True, slots=True)
class RowValue:
    """`fragment` evaluated for each row of the source: ?1..?n are its columns `positions`."""

    fragment: Fragment
    positions: tuple[int, ...]


ValueSource = (
    ParamValue | Const | NextVal | CurrVal | SpecialValue | SourceColumn | SqlValue | RowValue
)


@dataclass(frozen=True, slots=True)
class Returning:
    """RETURNING, computed at the coordinator from each changed row.

    `positions` (row positions) when every item is a plain column, else None; then `fragment` is a
    SELECT giving the items of one row: ?1..?n are the row's catalog columns, the next three where
    the row is (scope.PSEUDO_COLUMNS), then what stands at `extras` in the row of the query that
    found it (columns of other tables), further ones `params`.
    """

    columns: tuple[ResultColumn, ...]
    positions: tuple[int, ...] | None
    fragment: Fragment
    extras: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OnConflict:
    """ON CONFLICT. `index_ids`: the unique indexes whose violation is forgiven (() all).

    action "update": `fragment` is a SELECT giving the new values of row positions `assigned`, and
    as last column 1 or 0: whether to update at all. ?1..?n: the old row's catalog columns,
    ?n+1..?2n: those of the row proposed for insertion, then further parameters.
    """

    action: Literal["nothing", "update"]
    index_ids: tuple[int, ...] = ()
    assigned: tuple[int, ...] = ()
    fragment: Fragment | None = None
    moves_rows: bool = False  # the distribution or reference key is assigned


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """Rows to insert. Every row of `rows` has a ValueSource for each catalog column, in order.

    VALUES: `source` None. INSERT … SELECT: `source` gives rows and `rows` has one row, applied to
    each of them (mostly SourceColumns). Values come out as storage values of the columns' types,
    range- and length-checked; NOT NULL, CHECK, keys are checked by the element.
    """

    table_id: int
    rows: tuple[tuple[ValueSource, ...], ...]
    source: QueryPlan | None = None
    returning: Returning | None = None
    on_conflict: OnConflict | None = None
    tables: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """UPDATE.

    `rows_query` None: `fragment` (UPDATE text) runs at `route` by itself, and `match` there selects
    the keys (primary key or `_ROWKEY`) of the rows it would touch. `key`: not None when the WHERE
    is exactly "primary key = these values".
    `rows_query` not None ("general", or `moves_rows`): its rows are the full old row of each row to
    change, then the new values of row positions `assigned`. DUPLICATE tables: route "local".
    `keyed`: `fragment` for one of those rows, whose key follows the parameters; "" if the rows can
    not be changed one after the other, or are few. `found`: with subqueries, the query that gives
    what follows the parameters instead of `match` (data/sql/found_values.py). `made`: if not (),
    the new values are made of the query's rows (numbers of sequences).
    `look`: a SELECT with the parameters of `fragment` that tells what it would do to the row of
    this key: full row, then the values of `assigned`. "" if nobody can tell without doing it.
    """

    table_id: int
    kind: PlanKind
    route: Route
    fragment: Fragment | None
    match: Fragment | None
    assigned: tuple[int, ...]
    key: tuple[RouteValue, ...] | None = None
    moves_rows: bool = False  # the distribution or reference key is assigned
    returning: Returning | None = None
    rows_query: QueryPlan | None = None
    tables: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()
    keyed: str = ""
    made: tuple[ValueSource, ...] = ()
    found: Fragment | None = None
    look: str = ""


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """DELETE; as UpdatePlan. rows_query gives full old rows."""

    table_id: int
    kind: PlanKind
    route: Route
    fragment: Fragment | None
    match: Fragment | None
    key: tuple[RouteValue, ...] | None = None
    returning: Returning | None = None
    rows_query: QueryPlan | None = None
    tables: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()
    keyed: str = ""
    found: Fragment | None = None


@dataclass(frozen=True, slots=True)
class MergeAction:
    """What one WHEN clause does with a row of the query.

    update: `values` are positions in the row of the new values of row positions `assigned`;
    `delete_at`: position of 1 if the row so changed is to go (Oracle's DELETE WHERE), -1: no.
    insert: `row` as in InsertPlan, over the row.
    """

    kind: Literal["update", "delete", "insert", "nothing"]
    assigned: tuple[int, ...] = ()
    values: tuple[int, ...] = ()
    delete_at: int = -1
    moves_rows: bool = False
    row: tuple[ValueSource, ...] = ()


@dataclass(frozen=True, slots=True)
class MergePlan:
    """MERGE. The rows of `rows_query`: the full row of the target (NULLs: there is none), the
    number of the action to take from 1 (0: none), then what the actions need.
    """

    table_id: int
    rows_query: QueryPlan
    actions: tuple[MergeAction, ...]
    returning: Returning | None = None
    tables: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()


CHANGES = (InsertPlan, UpdatePlan, DeletePlan, MergePlan)  # plans that change rows


@dataclass(frozen=True, slots=True)
class UtilityPlan:
    """A statement that is not about rows.

    kind and arguments: "begin" (isolation, read_only), "commit", "rollback", "savepoint" (name),
    "release" (name), "rollback_to" (name), "set" (name, value, local: bool), "show" (name),
    "reset" (name or "ALL"), "discard" (what), "deallocate" (name or "ALL"), "lock_table"
    (table_id, mode, nowait), "call" (name, arguments), "prepare_transaction"…,
    "set_transaction" (isolation, read_only), "set_schema" (name), "prepare" (name, types, text),
    "execute" (name, arguments), "declare" (name, query text), "fetch" (name, count),
    "close" (name); no-ops: "listen", "unlisten", "notify", "vacuum", "analyze", "do_nothing".
    """

    kind: str
    arguments: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExplainPlan:
    """EXPLAIN: `plan` is shown (data/sql/explain.py), not run, but for ANALYZE of a query.

    `notes`: further lines; what became of hints.
    """

    plan: Plan
    analyze: bool = False
    verbose: bool = False
    as_json: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DdlText:
    """A DDL statement for data/sql/ddl.py. `tree`: as parsed by data/sql/parse.py."""

    text: str
    tree: object
    tag: str


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """A query of pg_catalog, information_schema, SYS, …: for data/catalog/pg_catalog.py."""

    text: str
    tree: object


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """A PL/SQL block, or CALL of a stored procedure made one: for data/plsql."""

    text: str
    tag: str
    is_call: bool = False
    shift: int = 0  # how much further on things stand in `text` than in the statement


@dataclass(frozen=True, slots=True)
class CursorPlan:
    """The rest of a cursor that a block opened: `fetch` gives its next rows, none at its end. Only
    on a greenlet of data/exec/blocks.py."""

    fetch: Callable[[], list[StorageRow]]


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """COPY table FROM STDIN / TO STDOUT, COPY (query) TO STDOUT.

    FROM: `columns` are row positions in the order of the data; `row` as in InsertPlan with
    SourceColumn(i) for the i-th data column (its storage value of the table column's type).
    `header_names`: the header must name the columns. `force_…`: positions in the data.
    """

    direction: Literal["in", "out"]
    table_id: int
    columns: tuple[int, ...]
    row: tuple[ValueSource, ...] = ()
    query: QueryPlan | None = None
    format: Literal["text", "csv", "binary"] = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    header: bool = False
    header_names: bool = False
    quote: str = '"'
    escape: str = '"'
    force_quote: tuple[int, ...] = ()
    force_null: tuple[int, ...] = ()
    force_not_null: tuple[int, ...] = ()


Plan = (
    QueryPlan
    | InsertPlan
    | UpdatePlan
    | DeletePlan
    | MergePlan
    | UtilityPlan
    | ExplainPlan
    | DdlText
    | CatalogQuery
    | CopyPlan
    | BlockPlan
    | CursorPlan
)


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """A statement ready to run, valid for one schema version.

    `columns` None: no rows come back (utility and DDL statements, DML without RETURNING).
    `tag`: "SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "CREATE TABLE", "COPY_IN", "EMPTY", …
    `hints`: upper-case hint name → argument text, e.g. {"TT_COMMITDMLONSUCCESS": "1"}.
    """

    plan: Plan | None  # None: an empty statement
    param_types: tuple[SqlType, ...]
    columns: tuple[ResultColumn, ...] | None
    tag: str
    read_only: bool
    schema_version: int
    hints: dict[str, str] = field(default_factory=dict)
    pauses: tuple[float | int, ...] = ()  # pg_sleep: seconds, or places of parameters with them
