"""Catalog queries of psql, pgbench and drivers are answered from our catalog."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import pytest

from data.catalog.pg_catalog import CatalogQueries
from data.catalog.pg_functions import SessionFacts, array_literal, like, to_list
from data.catalog.pg_schema import is_catalog_relation
from data.sql.catalog_rewrite import edit_tokens
from protocol.errors import (
    CatalogQueryLateError,
    GridError,
    InvalidTextError,
    NotSupportedError,
    SqlSyntaxError,
    UnknownColumnError,
    UnknownFunctionError,
    UnknownTableError,
)
from protocol.sqltypes import Kind, StorageRow, StorageValue
from tests.support.catalogs import Dictionary, sample

SESSION = SessionFacts("TERRY", "database1", backend_pid=42, settings={"jit": "on"})


def live(view: str, session: SessionFacts) -> Iterable[Sequence[StorageValue]] | None:
    """Live rows of one view."""
    return [(3, 1, 148)] if view == "v$xact_id" else None


class Asker:
    """A session that asks catalog queries."""

    def __init__(self) -> None:
        self.dictionary: Dictionary = sample()
        self.dictionary.run("create index by_name on customers (last_name desc, first_name)")
        self.dictionary.run("comment on column customers.zipcode is 'five digits'")
        self.dictionary.run("grant select on customers to public")
        self.queries = CatalogQueries(lambda: apsw.Connection(":memory:"), live)
        self.session = SESSION

    def rows(self, sql: str, *params: StorageValue) -> list[StorageRow]:
        return self.queries.run(sql, params, self.dictionary.catalog, self.session)[1]

    def types(self, sql: str) -> list[tuple[str, str]]:
        """Names and kinds of the columns, the same described as run."""
        described, _params = self.queries.describe(sql, self.dictionary.catalog, self.session)
        run, _rows = self.queries.run(sql, (None,) * 9, self.dictionary.catalog, self.session)
        assert described == run
        return [(name, kind.kind.name) for name, kind in described]

    def id(self, name: str) -> int:
        return self.dictionary.table(name).id


@pytest.fixture(scope="module")
def asker() -> Asker:
    return Asker()


LIST = """SELECT n.nspname as "Schema", c.relname as "Name",
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'i' THEN 'index'
    WHEN 'S' THEN 'sequence' END as "Type",
  pg_catalog.pg_get_userbyid(c.relowner) as "Owner"
FROM pg_catalog.pg_class c
     LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ({kinds})
      AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast'
      AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
ORDER BY 1,2"""


# -- psql ------------------------------------------------------------------------------------------
def test_psql_dt_lists_the_tables_in_lower_case(asker: Asker) -> None:
    assert asker.rows(LIST.format(kinds="'r','p',''")) == [
        ("terry", name, "table", "terry")
        for name in ("account_status", "account_type", "accounts", "customers", "transactions")
    ]


def test_psql_ds_and_di(asker: Asker) -> None:
    assert asker.rows(LIST.format(kinds="'S',''")) == [("terry", "txn_seq", "sequence", "terry")]
    names = [row[1] for row in asker.rows(LIST.format(kinds="'i','I',''"))]
    assert "by_name" in names
    assert "customers_pkey" in names


def test_psql_d_finds_a_table_by_its_name(asker: Asker) -> None:
    found = asker.rows(
        """SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
        LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname OPERATOR(pg_catalog.~) '^(customers)$' COLLATE pg_catalog.default
        AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3"""
    )
    assert found == [(asker.id("CUSTOMERS"), "terry", "customers")]


def test_psql_d_shows_columns(asker: Asker) -> None:
    rows = asker.rows(
        f"""SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
        (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
         WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
        a.attnotnull,
        (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
         WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation)
          AS attcollation,
        a.attidentity, a.attgenerated
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = '{asker.id("CUSTOMERS")}' AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum"""
    )
    assert (
        rows
        == [
            ("cust_id", "numeric(10,0)", None, 1, None, "", ""),
            ("first_name", "character varying(30)", None, 1, None, "", ""),
            ("last_name", "character varying(30)", None, 1, None, "", ""),
            ("zipcode", "character varying(5)", None, 0, None, "", ""),
            ("member_since", "timestamp without time zone", None, 1, None, "", ""),
        ]
        or rows[4][1] == "timestamp(0) without time zone"
    )


def test_psql_d_shows_indexes_and_foreign_keys(asker: Asker) -> None:
    indexes = asker.rows(
        f"""SELECT c2.relname, i.indisprimary, i.indisunique,
          pg_catalog.pg_get_indexdef(i.indexrelid, 0, true),
          pg_catalog.pg_get_constraintdef(con.oid, true), contype
        FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i
          LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid
            AND conindid = i.indexrelid AND contype IN ('p','u','x'))
        WHERE c.oid = '{asker.id("CUSTOMERS")}' AND c.oid = i.indrelid AND i.indexrelid = c2.oid
        ORDER BY i.indisprimary DESC, c2.relname"""
    )
    assert indexes == [
        (
            "customers_pkey",
            1,
            1,
            "CREATE UNIQUE INDEX customers_pkey ON customers USING btree (cust_id)",
            "PRIMARY KEY (cust_id)",
            "p",
        ),
        (
            "by_name",
            0,
            0,
            "CREATE INDEX by_name ON customers USING btree (last_name DESC, first_name)",
            None,
            None,
        ),
    ]
    referring = asker.rows(
        f"""SELECT conname, conrelid::pg_catalog.regclass AS ontable,
          pg_catalog.pg_get_constraintdef(oid, true) AS condef
        FROM pg_catalog.pg_constraint c
        WHERE confrelid IN (SELECT pg_catalog.pg_partition_ancestors('{asker.id("CUSTOMERS")}')
          UNION ALL VALUES ('{asker.id("CUSTOMERS")}'::pg_catalog.regclass))
        AND contype = 'f' AND conparentid = 0 ORDER BY conname"""
    )
    assert referring == [
        (
            "fk_customer",
            "accounts",
            "FOREIGN KEY (cust_id) REFERENCES customers(cust_id)",
        )
    ]


def test_psql_looks_for_foreign_keys_where_it_is_told_of_triggers(asker: Asker) -> None:
    sql = "select relname from pg_class where relkind = 'r' and relhastriggers order by 1"
    names = [row[0] for row in asker.rows(sql)]
    assert names == ["account_status", "account_type", "accounts", "customers", "transactions"]
    asker.dictionary.run("create table lonely (a int)")
    assert [row[0] for row in asker.rows(sql)] == names
    asker.dictionary.run("drop table lonely")


def test_psql_l_du_dn_dp(asker: Asker) -> None:
    assert asker.rows(
        """SELECT d.datname as "Name", pg_catalog.pg_get_userbyid(d.datdba) as "Owner",
        pg_catalog.pg_encoding_to_char(d.encoding) as "Encoding",
        CASE d.datlocprovider WHEN 'c' THEN 'libc' END AS "Locale Provider",
        pg_catalog.array_to_string(d.datacl, E'\\n') AS "Access privileges"
        FROM pg_catalog.pg_database d ORDER BY 1"""
    ) == [("database1", "sys", "UTF8", "libc", None)]
    roles = asker.rows(
        """SELECT r.rolname, r.rolsuper, r.rolcanlogin, ARRAY(SELECT b.rolname
            FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid)
            WHERE m.member = r.oid) as memberof
        FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1"""
    )
    assert roles == [("sys", 1, 1, "[]"), ("terry", 0, 1, "[]")]
    assert asker.rows(
        """SELECT n.nspname AS "Name" FROM pg_catalog.pg_namespace n
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1"""
    ) == [("terry",)]
    assert asker.rows(
        """SELECT c.relname, pg_catalog.array_to_string(c.relacl, E'\\n') FROM pg_catalog.pg_class c
        WHERE c.relname = 'customers'"""
    ) == [("customers", "terry=arwdDxt/terry\n=r/terry")]


# -- other clients ---------------------------------------------------------------------------------
def test_pgbench_asks_how_its_table_is_partitioned(asker: Asker) -> None:
    sql = """select o.n, p.partstrat, pg_catalog.count(i.inhparent)
      from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on (n.oid = c.relnamespace)
      cross join lateral (select pg_catalog.array_position(pg_catalog.current_schemas(true),
        n.nspname)) as o(n)
      left join pg_catalog.pg_partitioned_table as p on (p.partrelid = c.oid)
      left join pg_catalog.pg_inherits as i on (c.oid = i.inhparent)
      where c.relname = 'accounts' and o.n is not null
      group by 1, 2 order by 1 asc limit 1"""
    assert asker.rows(sql) == [(2, None, 0)]
    assert asker.types(sql) == [("n", "INTEGER"), ("partstrat", "VARCHAR"), ("count", "BIGINT")]


def test_the_primary_key_as_jdbc_reads_it(asker: Asker) -> None:
    assert asker.rows(
        """SELECT result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM
        (SELECT ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME,
          (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME,
          information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM
        FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid)
          JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid)
          JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid)
        WHERE ct.relname = 'transactions' AND i.indisprimary) result
        where result.A_ATTNUM = (result.KEYS).x ORDER BY result.key_seq"""
    ) == [
        ("transactions", "account_id", 1, "transactions_pkey"),
        ("transactions", "transaction_id", 2, "transactions_pkey"),
        ("transactions", "transaction_ts", 3, "transactions_pkey"),
    ]


def test_key_columns_as_sqlalchemy_reads_them(asker: Asker) -> None:
    rows = asker.rows(
        f"""SELECT attr.conrelid, array_agg(CAST(attr.attname AS TEXT) ORDER BY attr.ord) AS cols,
          attr.conname FROM (SELECT con.conrelid AS conrelid, con.conname AS conname,
            con.ord AS ord, pg_catalog.pg_attribute.attname AS attname
          FROM pg_catalog.pg_attribute JOIN (SELECT pg_catalog.pg_constraint.conrelid AS conrelid,
              pg_catalog.pg_constraint.conname AS conname,
              unnest(pg_catalog.pg_index.indkey) AS attnum,
              generate_subscripts(pg_catalog.pg_index.indkey, '1'::INTEGER) AS ord
            FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_index
              ON pg_catalog.pg_constraint.conindid = pg_catalog.pg_index.indexrelid
            WHERE pg_catalog.pg_constraint.contype = 'p'::CHAR) AS con
          ON pg_catalog.pg_attribute.attnum = con.attnum
            AND pg_catalog.pg_attribute.attrelid = con.conrelid
          WHERE con.conrelid IN ('{asker.id("TRANSACTIONS")}'::OID)) AS attr
        GROUP BY attr.conrelid, attr.conname"""
    )
    columns = '["account_id", "transaction_id", "transaction_ts"]'  # stored: JSON
    assert rows == [(asker.id("TRANSACTIONS"), columns, "transactions_pkey")]


def test_asyncpg_type_lookup_walks_to_the_element_type(asker: Asker) -> None:
    rows = asker.rows(
        """WITH RECURSIVE typeinfo_tree(oid, name, elemtype, depth) AS (
          SELECT ti.oid, ti.typname, ti.typelem, 0 FROM pg_catalog.pg_type AS ti
          WHERE ti.oid = any('{1007}'::oid[])
          UNION ALL
          SELECT ti.oid, ti.typname, ti.typelem, tt.depth + 1
          FROM pg_catalog.pg_type ti, typeinfo_tree tt
          WHERE tt.elemtype IS NOT NULL AND ti.oid = tt.elemtype)
        SELECT DISTINCT name, elemtype::regtype::text AS elemtype_name, depth
        FROM typeinfo_tree ORDER BY depth DESC"""
    )
    assert rows[0][0] == "int4"
    assert rows[1][:2] == ("_int4", "integer")


def test_parameters_take_the_type_of_what_they_are_compared_with(asker: Asker) -> None:
    sql = "select relname from pg_class where oid = $1 and relkind = any($2) and relname like $3"
    _columns, types = asker.queries.describe(sql, asker.dictionary.catalog, SESSION)
    assert [t.kind for t in types] == [Kind.BIGINT, Kind.VARCHAR, Kind.VARCHAR]
    assert asker.rows(sql, asker.id("CUSTOMERS"), "{r,v}", "cust%") == [("customers",)]
    assert asker.rows(sql, asker.id("CUSTOMERS"), "{r,v}", "CUST%") == []


# -- session information ---------------------------------------------------------------------------
def test_who_where_and_what(asker: Asker) -> None:
    sql = """select current_user, session_user, current_schema(), pg_catalog.current_database(),
      current_setting('jit'), current_setting('datestyle'), pg_backend_pid(), version()"""
    (row,) = asker.rows(sql)
    assert row[:7] == ("terry", "terry", "terry", "database1", "on", "ISO, MDY", 42)
    assert str(row[7]).startswith("PostgreSQL 15.")
    names = [name for name, _kind in asker.types(sql)]
    assert names[:4] == ["current_user", "session_user", "current_schema", "current_database"]
    assert names[4:] == ["current_setting", "current_setting", "pg_backend_pid", "version"]


def test_oids_may_come_as_numbers_or_as_text(asker: Asker) -> None:
    names = "SELECT pg_get_userbyid($1), format_type($2, $3), col_description($4, $5)"
    described = asker.queries.describe(names, asker.dictionary.catalog, asker.session)
    assert [kind.kind.name for kind in described[1]] == ["BIGINT"] * 5
    table = asker.id("CUSTOMERS")
    assert asker.rows(names, 10, 1043, 24, table, 4) == [
        ("sys", "character varying(20)", "five digits")
    ]
    assert asker.rows("SELECT pg_get_userbyid('10'), format_type('23', NULL)") == [
        ("sys", "integer")
    ]
    with pytest.raises(InvalidTextError):
        asker.rows("SELECT pg_get_userbyid('me')")


def test_booleans_in_json_are_booleans(asker: Asker) -> None:
    found = asker.rows(
        f"""SELECT json_build_object('always', a.attidentity = 'a', 'n', a.attnum, 'x',
        a.atthasdef, 'y', NOT a.atthasdef, 'z', null = 1, 'is', 'false')
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = '{asker.id("CUSTOMERS")}' AND a.attnum = 1"""
    )
    assert found == [('{"always":false,"n":1,"x":false,"y":true,"z":null,"is":"false"}',)]


def test_set_config_reaches_the_session(asker: Asker) -> None:
    seen: list[tuple[str, str, bool]] = []
    asker.session = SessionFacts(
        "TERRY",
        "database1",
        set_setting=lambda name, value, local: seen.append((name, value, local)),
    )
    assert asker.rows("select set_config('jit', 'off', false) as new") == [("off",)]
    asker.session = SESSION
    assert seen == [("jit", "off", False)]


def test_reg_types_are_names_or_numbers_as_wanted(asker: Asker) -> None:
    oid = asker.id("CUSTOMERS")
    assert asker.rows(
        "select 'customers'::regclass, 'customers'::regclass::oid, 'TERRY.accounts'::regclass, "
        "to_regclass('nope'), 1043::regtype::text, 'pg_class'::regclass::oid"
    ) == [("customers", oid, "accounts", None, "character varying", 1259)]
    with pytest.raises(UnknownTableError):
        asker.rows("select 'nope'::regclass")


# -- SYS and information_schema --------------------------------------------------------------------
def test_sys_views_show_names_as_stored(asker: Asker) -> None:
    assert asker.rows(
        "SELECT table_name, distribution, distribution_columns FROM user_tables ORDER BY 1"
    ) == [
        ("ACCOUNTS", "REFERENCE", "FK_CUSTOMER"),
        ("ACCOUNT_STATUS", "DUPLICATE", None),
        ("ACCOUNT_TYPE", "DUPLICATE", None),
        ("CUSTOMERS", "HASH", "CUST_ID"),
        ("TRANSACTIONS", "REFERENCE", "FK_ACCOUNTS"),
    ]
    assert asker.rows("SELECT name, cachesize, batchsize FROM sys.sequences") == [
        ("TXN_SEQ", 100, 1000000)
    ]
    assert asker.rows(
        "select column_name, data_type, data_precision, data_scale from all_tab_columns "
        "where table_name = 'ACCOUNTS' and column_id = 5 and rownum <= 5"
    ) == [("CURRENT_BALANCE", "NUMBER", 10, 2)]
    lengths = dict(
        asker.rows(
            "SELECT data_type, MAX(data_length) FROM all_tab_columns "
            "WHERE table_name IN ('CUSTOMERS', 'ACCOUNTS') GROUP BY data_type"
        )
    )
    assert (lengths["NUMBER"], lengths["DATE"]) == (22, 7)


def test_all_views_show_what_one_may_see(asker: Asker) -> None:
    asker.session = SessionFacts("BOB", "database1")
    assert asker.rows("select table_name from all_tables") == [("CUSTOMERS",)]
    assert asker.rows("select table_name from user_tables") == []
    asker.session = SESSION


def test_live_views_ask_the_instance(asker: Asker) -> None:
    assert asker.rows("SELECT elementId, xactId, counter FROM sys.v$xact_id") == [(3, 1, 148)]
    assert asker.rows("SELECT * FROM v$distribution_current") == []


def test_information_schema(asker: Asker) -> None:
    assert asker.rows(
        "select column_name, data_type, numeric_precision, numeric_scale, is_nullable "
        "from information_schema.columns "
        "where table_schema = 'terry' and table_name = 'account_status' order by ordinal_position"
    ) == [
        ("status", "numeric", 2, 0, "NO"),
        ("description", "character varying", None, None, "YES"),
    ]
    assert asker.rows(
        "select constraint_name from information_schema.table_constraints "
        "where table_name = 'accounts' and constraint_type = 'FOREIGN KEY' order by 1"
    ) == [("fk_acct_status",), ("fk_acct_type",), ("fk_customer",)]


# -- shape and robustness --------------------------------------------------------------------------
def test_columns_have_the_names_and_types_postgresql_gives_them(asker: Asker) -> None:
    assert asker.types(
        "select c.oid, relname, relkind as k, relhasindex, c.oid = 1, 'x', 1 as one, count(*), "
        "case when true then 1 else 2 end, lower(relname), relname::text, reltuples "
        "from pg_class c group by 1"
    ) == [
        ("oid", "BIGINT"),
        ("relname", "VARCHAR"),
        ("k", "VARCHAR"),
        ("relhasindex", "BOOLEAN"),
        ("?column?", "BOOLEAN"),
        ("?column?", "VARCHAR"),
        ("one", "INTEGER"),
        ("count", "BIGINT"),
        ("case", "INTEGER"),
        ("lower", "VARCHAR"),
        ("relname", "VARCHAR"),
        ("reltuples", "BINARY_FLOAT"),
    ]


def test_a_star_is_described_from_the_tables(asker: Asker) -> None:
    columns = asker.types("select * from pg_namespace where oid = -1")
    assert columns[:2] == [("oid", "BIGINT"), ("nspname", "VARCHAR")]


def test_ddl_shows_at_once(asker: Asker) -> None:
    dictionary = sample()
    queries = CatalogQueries(lambda: apsw.Connection(":memory:"))
    sql = "select count(*) from pg_tables"
    before = queries.run(sql, (), dictionary.catalog, SESSION)[1]
    dictionary.run("create table one_more (a int)")
    after = queries.run(sql, (), dictionary.catalog, SESSION)[1]
    assert (before, after) == ([(5,)], [(6,)])


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("select nope from pg_class", UnknownColumnError),
        ("select nope(1) from pg_class", UnknownFunctionError),
        ("select 1 from pg_nope", UnknownTableError),
        ("select from where pg_class", SqlSyntaxError),
        ("select 'unfinished from pg_class", SqlSyntaxError),
        ("update pg_class set relname = 'x'", NotSupportedError),
        ("drop table pg_class", NotSupportedError),
        ("select relname ~ '(' from pg_class", GridError),
        ("select * from generate_series(1, 1000000000)", GridError),
    ],
)
def test_bad_queries_are_clear_errors(asker: Asker, sql: str, error: type[GridError]) -> None:
    with pytest.raises(error):
        asker.rows(sql)
    assert asker.rows("select count(*) from pg_am") == [(3,)]


def test_an_endless_query_is_stopped(asker: Asker) -> None:
    with pytest.raises(CatalogQueryLateError, match="too long"):
        asker.rows(
            "with recursive t(a) as (select 1 union all select 1 from t) "
            "select count(*) from t, pg_class"
        )


def test_a_query_that_is_stopped_leaves_whole_tables(asker: Asker) -> None:
    hurried = CatalogQueries(lambda: apsw.Connection(":memory:"), seconds_max=-1.0)
    for _ in range(2):
        with pytest.raises(CatalogQueryLateError, match="too long"):
            hurried.run(
                "with recursive t(a) as (select 1 union all select a + 1 from t where a < 99999) "
                "select max(a) from t, pg_database", (), asker.dictionary.catalog, SESSION,
            )  # fmt: skip


def test_which_names_are_ours() -> None:
    assert is_catalog_relation("", "PG_CLASS")
    assert is_catalog_relation("SYS", "V$XACT_ID")
    assert is_catalog_relation("", "user_tables")
    assert is_catalog_relation("information_schema", "tables")
    assert not is_catalog_relation("", "tables")
    assert not is_catalog_relation("terry", "pg_class")
    assert not is_catalog_relation("", "customers")


def test_token_edits_leave_strings_alone() -> None:
    text = "select 'pg_catalog.x', a::pg_catalog.oid[], pg_catalog.f(b) collate \"C\""
    assert edit_tokens(text) == "select 'pg_catalog.x', a::int8[], f(b) "[:-1]


def test_the_one_byte_char_type_is_text(asker: Asker) -> None:
    assert edit_tokens("select 'a'::\"char\"") == "select 'a'::text"
    assert asker.rows("select relkind::\"char\" from pg_class where relname = 'customers'") == [
        ("r",)
    ]


def test_arrays_in_their_three_writings() -> None:
    assert to_list("[1, 2]") == [1, 2]
    assert to_list('{a,"b, c",NULL,3}') == ["a", "b, c", None, 3]
    assert to_list("1 2 3") == [1, 2, 3]
    assert array_literal('["a", "b c", null, "", 5]') == '{a,"b c",NULL,"",5}'


def test_like_is_case_sensitive_and_knows_escapes() -> None:
    assert like("cust%", "customers") == 1
    assert like("CUST%", "customers") == 0
    assert like("a/_b", "a_b", "/") == 1
    assert like("a/_b", "axb", "/") == 0
    assert like(None, "x") is None
