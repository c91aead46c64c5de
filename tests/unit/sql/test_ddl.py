"""What DDL statements do to the catalog, what they ask to be checked, and what they refuse."""

from __future__ import annotations

import pytest

from data.catalog.catalog import Catalog, DropTable, RebuildTable
from data.catalog.objects import Distribution, Sequence, View
from protocol.errors import (
    DefinitionError,
    DependentObjectsError,
    DuplicateObjectError,
    NotSupportedError,
    PrivilegeError,
    ReferenceNullableError,
    ReferenceParentDuplicateError,
    ReferenceParentKeyError,
    TypeMismatchError,
    UnknownColumnError,
    UnknownObjectError,
    UnknownTableError,
)
from protocol.sqltypes import Kind
from tests.support.catalogs import Dictionary, sample


@pytest.fixture
def grid() -> Dictionary:
    return sample()


# -- where rows are --------------------------------------------------------------------------------
def test_the_sample_is_placed_as_documented(grid: Dictionary) -> None:
    customers, accounts = grid.table("CUSTOMERS"), grid.table("ACCOUNTS")
    transactions = grid.table("TRANSACTIONS")
    assert grid.table("ACCOUNT_TYPE").distribution is Distribution.DUPLICATE
    assert customers.distribution_key == ("CUST_ID",)
    assert (accounts.distribution, accounts.reference_key) == (
        Distribution.REFERENCE,
        "FK_CUSTOMER",
    )
    assert transactions.reference is not None
    assert transactions.reference.parent_id == accounts.id


def test_only_keys_that_do_not_fix_the_bucket_are_global(grid: Dictionary) -> None:
    def global_keys(name: str) -> set[tuple[str, ...]]:
        return {i.columns for i in grid.table(name).indexes if i.is_global}

    assert global_keys("CUSTOMERS") == set()
    assert global_keys("ACCOUNTS") == {("ACCOUNT_ID",)}  # its bucket follows from CUST_ID
    assert global_keys("TRANSACTIONS") == set()  # ACCOUNT_ID, the reference, is part of the key
    grid.run("create table t (a int primary key, b int unique, c int) distribute by hash (c)")
    assert global_keys("T") == {("A",), ("B",)}
    grid.run("create table d (a int primary key, b int unique) duplicate")
    assert global_keys("D") == set()


def test_default_distribution_is_hash_of_the_primary_key_or_of_a_hidden_one(
    grid: Dictionary,
) -> None:
    grid.run("create table k (a int, b int, primary key (b, a))")
    grid.run("create table n (a int, b int)")
    assert grid.table("K").distribution_key == ("B", "A")
    assert (grid.table("N").distribution_key, grid.table("N").row_key) == ((), True)


def test_a_primary_key_added_later_leaves_the_rows_where_they_are(grid: Dictionary) -> None:
    grid.run("create table mytable (col1 number not null, col2 varchar2 (32))")
    plan = grid.run("alter table mytable add constraint c1 primary key (col1)")
    table = grid.table("MYTABLE")
    assert (table.primary_key, table.distribution_key, table.row_key) == (("COL1",), (), True)
    assert table.indexes[0].is_global
    assert [b.target.name for b in plan.backfills] == [str(table.indexes[0].id)]
    assert "HAVING COUNT(*) > 1" in plan.checks[0].sql


def test_reference_rules_1066_1068(grid: Dictionary) -> None:
    with pytest.raises(ReferenceNullableError) as nullable:
        grid.run(
            "create table c1 (a int primary key, f number(10), "
            "constraint fk foreign key (f) references customers) distribute by reference (fk)"
        )
    assert nullable.value.tt_number == 1068
    with pytest.raises(ReferenceParentDuplicateError) as duplicate:
        grid.run(
            "create table c2 (a int primary key, f number(2) not null references account_status) "
            "distribute by reference"
        )
    assert duplicate.value.tt_number == 1066


def test_a_parent_key_without_the_distribution_key_is_1067(grid: Dictionary) -> None:
    grid.run("create table p (a int primary key, u int not null unique)")
    with pytest.raises(ReferenceParentKeyError) as refused:
        grid.run(
            "create table c (x int primary key, f int not null references p (u)) "
            "distribute by reference"
        )
    assert refused.value.tt_number == 1067
    grid.run("create table hidden (u int not null unique)")
    with pytest.raises(ReferenceParentKeyError):
        grid.run(
            "create table c (x int primary key, f int not null references hidden (u)) "
            "distribute by reference"
        )


def test_another_distribution_moves_the_rows_and_those_that_follow_them(grid: Dictionary) -> None:
    grid.run("create table t (a int primary key, b int)")
    plan = grid.run("alter table t distribute by hash (b)")
    assert [c.sql for c in plan.checks] == [
        'SELECT 1 FROM "TERRY"."T" WHERE "B" IS NULL FETCH FIRST 1 ROWS ONLY'
    ]
    assert plan.online is not None
    assert [(r.table.name, r.placed_by) for r in plan.refills] == [("T", None)]
    assert grid.table("T").distribution_key == ("B",)
    assert grid.table("T").indexes[0].is_global
    assert plan.locks == (grid.table("T").id,)
    assert grid.run("alter table t distribute by hash (b)").change is None
    grid.run("alter table accounts add constraint other unique (account_id, cust_id)")
    plan = grid.run("alter table accounts distribute by hash (account_id)")
    assert [(r.table.name, r.placed_by is None) for r in plan.refills] == [
        ("ACCOUNTS", True),
        ("TRANSACTIONS", False),
    ]
    assert 'JOIN "TERRY.ACCOUNTS" AS t1 ON t0."ACCOUNT_ID" = t1."ACCOUNT_ID"' in (
        plan.refills[1].source_sql
    )


def test_a_parent_of_reference_tables_stays_one(grid: Dictionary) -> None:
    with pytest.raises(ReferenceParentDuplicateError):
        grid.run("alter table customers duplicate")
    with pytest.raises(ReferenceParentKeyError):
        grid.run("alter table customers distribute by hash (last_name)")


# -- constraints -----------------------------------------------------------------------------------
def test_the_followed_foreign_key_and_primary_keys_cannot_be_dropped(grid: Dictionary) -> None:
    for name in ("fk_customer", "accounts_pkey"):
        with pytest.raises(DefinitionError):
            grid.run(f"alter table accounts drop constraint {name}")
    grid.run("alter table accounts drop constraint fk_acct_type")
    assert [k.name for k in grid.table("ACCOUNTS").foreign_keys] == [
        "FK_CUSTOMER",
        "FK_ACCT_STATUS",
    ]


def test_a_foreign_key_gets_an_index_that_goes_with_it(grid: Dictionary) -> None:
    def names() -> set[str]:
        return {i.name for i in grid.table("ACCOUNTS").indexes}

    assert "FK_ACCT_TYPE" in names()
    grid.run("alter table accounts drop constraint fk_acct_type")
    assert "FK_ACCT_TYPE" not in names()
    assert not any(i.name == "FK_ACCOUNTS" for i in grid.table("TRANSACTIONS").indexes)


def test_foreign_key_definitions_are_checked(grid: Dictionary) -> None:
    with pytest.raises(TypeMismatchError):
        grid.run("create table f (a number(10,2) references customers)")
    with pytest.raises(DefinitionError):
        grid.run("create table f (a varchar2(30) references customers (first_name))")
    with pytest.raises(UnknownColumnError):
        grid.run("create table f (a number(10) references customers (nope))")
    with pytest.raises(DefinitionError):
        grid.run(
            "create table f (a number(10) not null, "
            "foreign key (a) references customers on delete set null)"
        )


def test_a_foreign_key_added_later_is_checked_on_the_rows(grid: Dictionary) -> None:
    grid.run("create table f (a number(10) primary key)")
    plan = grid.run("alter table f add constraint fk foreign key (a) references customers")
    assert "NOT EXISTS" in plan.checks[0].sql
    assert set(plan.locks) == {grid.table("F").id, grid.table("CUSTOMERS").id}


def test_made_up_names_are_those_of_postgresql_and_never_clash(grid: Dictionary) -> None:
    grid.run("create table t (a int primary key, b int unique, c int check (c > 0))")
    table = grid.table("T")
    assert [i.name for i in table.indexes] == ["T_PKEY", "T_B_KEY"]
    assert [c.name for c in table.checks] == ["T_C_CHECK"]
    grid.run("create table t_b (key int)")
    grid.run("create index t2_a_idx on t (a)")
    grid.run("create table t2 (a int)")
    grid.run("create index on t2 (a)")
    assert [i.name for i in grid.table("T2").indexes] == ["T2_A_IDX1"]


# -- columns ---------------------------------------------------------------------------------------
def test_new_columns_take_their_default(grid: Dictionary) -> None:
    plan = grid.run("alter table customers add (tier int default 3 not null, note varchar2(5))")
    assert plan.change is not None
    rebuilds = [a for a in plan.change.actions if isinstance(a, RebuildTable)]
    assert [dict(zip(_names(r), r.values, strict=True))["TIER"] for r in rebuilds] == [
        "3",
        '"TIER"',
    ]
    assert plan.checks == ()
    plan = grid.run("alter table customers add must int not null")
    assert len(plan.checks) == 1


def _names(action: RebuildTable) -> list[str]:
    return [*(c.name for c in action.after.columns), "_BUCKET"]


def test_columns_in_use_are_not_dropped(grid: Dictionary) -> None:
    with pytest.raises(DependentObjectsError):
        grid.run("alter table customers drop cust_id")
    grid.run("create view v as select cust_id, 1 from customers")
    with pytest.raises(DependentObjectsError):
        grid.run("alter table customers drop zipcode")
    grid.run("drop view v")
    grid.run("alter table customers drop zipcode")
    assert grid.table("CUSTOMERS").column("ZIPCODE") is None


def test_renaming_a_column_reaches_keys_children_and_checks(grid: Dictionary) -> None:
    grid.run("alter table customers add constraint ck check (CUST_ID > 0)")
    grid.run("alter table customers rename column cust_id to id")
    customers = grid.table("CUSTOMERS")
    assert (customers.distribution_key, customers.primary_key) == (("ID",), ("ID",))
    assert customers.checks[0].sql == '"ID" > 0'
    reference = grid.table("ACCOUNTS").reference
    assert reference is not None
    assert reference.parent_columns == ("ID",)


def test_columns_grow_in_place_and_are_converted_otherwise(grid: Dictionary) -> None:
    grid.run("alter table customers modify (zipcode varchar2(10))")
    column = grid.table("CUSTOMERS").column("ZIPCODE")
    assert column is not None
    assert column.type.length == 10
    for kind in ("varchar2(3)", "int"):
        plan = grid.run(f"alter table customers modify zipcode {kind}")
        assert [r.table.name for r in plan.refills] == ["CUSTOMERS"]
    with pytest.raises(DependentObjectsError):
        grid.run("alter table customers modify cust_id varchar2(10)")


def test_a_default_is_no_query_and_must_fit_its_column(grid: Dictionary) -> None:
    with pytest.raises(NotSupportedError):
        grid.run("create table t (a int default (select 1 from dual))")
    plan = grid.run("create table t (a int default txn_seq.nextval)")  # not drawn to be looked at
    assert plan.change is not None


def test_reserved_and_repeated_column_names_are_refused(grid: Dictionary) -> None:
    for columns in ('"_BUCKET" int', "a int, A int"):
        with pytest.raises(DefinitionError):
            grid.run(f"create table t ({columns})")


# -- dropping --------------------------------------------------------------------------------------
def test_parents_are_dropped_with_their_children_or_not_at_all(grid: Dictionary) -> None:
    with pytest.raises(DependentObjectsError):
        grid.run("drop table customers")
    with pytest.raises(DependentObjectsError):
        grid.run("drop table customers cascade")  # the rows of accounts are placed by it
    plan = grid.run("drop table transactions, accounts, customers")
    assert plan.change is not None
    assert sum(isinstance(a, DropTable) for a in plan.change.actions) == 3


def test_cascade_takes_foreign_keys_and_views(grid: Dictionary) -> None:
    grid.run("create view v as select type, 1 from account_type")
    plan = grid.run("drop table account_type cascade")
    assert {k.name for k in grid.table("ACCOUNTS").foreign_keys} == {
        "FK_CUSTOMER",
        "FK_ACCT_STATUS",
    }
    assert grid.catalog.find("TERRY", "V") is None
    assert len(plan.notices) == 2


def test_if_exists_gives_a_notice_instead_of_an_error(grid: Dictionary) -> None:
    plan = grid.run("drop table if exists nope, nope2")
    assert plan.change is None
    assert [n.severity for n in plan.notices] == ["NOTICE", "NOTICE"]
    with pytest.raises(UnknownTableError) as caught:
        grid.run("drop table nope")
    assert caught.value.position == 12


def test_an_index_of_a_constraint_goes_only_with_it(grid: Dictionary) -> None:
    with pytest.raises(DependentObjectsError):
        grid.run("drop index accounts_pkey")
    grid.run("create index by_phone on accounts (phone)")
    grid.run("drop index by_phone")
    assert grid.catalog.find_index("TERRY", "BY_PHONE") is None


def test_truncating_a_parent_needs_its_children(grid: Dictionary) -> None:
    plan = grid.run("truncate table accounts")
    assert [c.sql for c in plan.checks] == [
        'SELECT 1 FROM "TERRY"."TRANSACTIONS" FETCH FIRST 1 ROWS ONLY'
    ]
    plan = grid.run("truncate table accounts cascade")
    assert plan.change is not None
    assert len(plan.change.actions) == 2


# -- views, sequences, synonyms --------------------------------------------------------------------
def test_a_view_keeps_its_id_when_replaced(grid: Dictionary) -> None:
    grid.run("create view v (a, b) as select cust_id, 1 from customers")
    old = grid.catalog.find("TERRY", "V")
    assert isinstance(old, View)
    assert [c.name for c in old.columns] == ["A", "B"]
    with pytest.raises(DuplicateObjectError):
        grid.run("create view v as select 1, 2 from dual")
    grid.run("create or replace view v as select 1, 2 from dual")
    new = grid.catalog.find("TERRY", "V")
    assert isinstance(new, View)
    assert (new.id, new.sql) == (old.id, "select 1, 2 from dual")


def test_sequences_have_sound_bounds(grid: Dictionary) -> None:
    grid.run("create sequence down increment by -1 cache 5")
    found = grid.catalog.find("TERRY", "DOWN")
    assert isinstance(found, Sequence)
    assert (found.start, found.maximum, found.cache) == (-1, -1, 5)
    grid.run("alter sequence txn_seq batch 50")
    changed = grid.catalog.find("TERRY", "TXN_SEQ")
    assert isinstance(changed, Sequence)
    assert (changed.batch, changed.cache) == (50, 50)
    for options in ("increment by 0", "start with 0", "minvalue 5 maxvalue 4", "cache 0"):
        with pytest.raises(DefinitionError):
            grid.run(f"create sequence bad {options}")


def test_public_synonyms_serve_everybody(grid: Dictionary) -> None:
    grid.run("create public synonym cust for terry.customers", "SYS")
    assert grid.catalog.resolve("ANYBODY", ("CUST",)) is grid.table("CUSTOMERS")
    with pytest.raises(PrivilegeError):
        grid.run("create public synonym c2 for customers")


# -- users and privileges --------------------------------------------------------------------------
def test_users_match_whatever_the_case_and_keep_only_a_verifier(grid: Dictionary) -> None:
    grid.run("create user \"bob\" identified by 'geheim'", "SYS")
    bob = grid.catalog.user("Bob")
    assert bob is not None
    assert bob.verifier.startswith("SCRAM-SHA-256$")
    assert "geheim" not in repr(bob)
    with pytest.raises(DuplicateObjectError):
        grid.run("create user BOB identified by x", "SYS")
    with pytest.raises(PrivilegeError):
        grid.run("create user eve identified by x")
    with pytest.raises(PrivilegeError):
        grid.run("alter user bob identified by x")
    before = grid.catalog.need_user("TERRY").verifier
    grid.run("alter user terry identified by new")
    assert grid.catalog.need_user("TERRY").verifier != before


def test_privileges_gate_ddl(grid: Dictionary) -> None:
    grid.run("create user bob identified by x", "SYS")
    with pytest.raises(PrivilegeError):
        grid.run("create table t (a int)", "BOB")
    grid.run("grant create table to bob", "SYS")
    grid.run("create table t (a int)", "BOB")
    for text in (
        "create table terry.t (a int)",
        "drop table terry.customers",
        "alter table terry.customers add x int",
        "create index i on terry.customers (zipcode)",
        "create table c (a number(10) references terry.customers)",
        "truncate table terry.transactions",
        "grant select on terry.customers to bob",
    ):
        with pytest.raises(PrivilegeError):
            grid.run(text, "BOB")
    grid.run("grant references on customers to bob")
    grid.run("create table c (a number(10) references terry.customers)", "BOB")


def test_object_privileges_come_and_go(grid: Dictionary) -> None:
    customers = grid.table("CUSTOMERS")
    grid.run("grant select, insert on customers to public")
    assert grid.catalog.has_privilege("ANYONE", customers, "SELECT")
    assert not grid.catalog.has_privilege("ANYONE", customers, "DELETE")
    grid.run("revoke all on customers from public")
    assert not grid.catalog.has_privilege("ANYONE", customers, "SELECT")
    assert list(grid.catalog.grants()) == []


def test_a_user_with_objects_is_dropped_only_by_cascade(grid: Dictionary) -> None:
    with pytest.raises(DependentObjectsError):
        grid.run("drop user terry", "SYS")
    grid.run("drop user terry cascade", "SYS")
    assert grid.catalog.user("TERRY") is None
    assert [t.name for t in grid.catalog.tables()] == ["SEQUENCE_STATE"]


# -- the change itself -----------------------------------------------------------------------------
def test_ids_are_never_used_twice(grid: Dictionary) -> None:
    before = grid.catalog
    grid.run("create table t (a int primary key)")
    first = grid.table("T").id
    grid.run("drop table t")
    grid.run("create table t (a int primary key)")
    assert grid.table("T").id > first >= before.next_id
    assert grid.catalog.next_id > max(grid.catalog.by_id)


def test_schema_version_goes_up_by_one_per_statement(grid: Dictionary) -> None:
    version = grid.catalog.version
    grid.run("comment on table customers is 'ours'")
    assert grid.catalog.version == version + 1
    assert grid.table("CUSTOMERS").comment == "ours"


def test_the_catalog_stored_is_the_catalog_loaded(grid: Dictionary) -> None:
    loaded = Catalog.load(grid.catalog.version, grid.catalog.rows())
    assert loaded.by_id == grid.catalog.by_id
    assert (loaded.version, loaded.next_id) == (grid.catalog.version, grid.catalog.next_id)


def test_create_table_as_takes_its_columns_from_the_query(grid: Dictionary) -> None:
    plan = grid.run("create table t (a, b) as select cust_id, sum(1) from accounts group by 1")
    assert [(c.name, c.type.kind) for c in grid.table("T").columns] == [
        ("A", Kind.NUMBER),
        ("B", Kind.NUMBER),
    ]
    assert plan.fill.startswith('INSERT INTO "TERRY"."T" select')


def test_unknown_schemas_and_names_are_said(grid: Dictionary) -> None:
    with pytest.raises(UnknownObjectError):
        grid.run("create table nobody.t (a int)")
    with pytest.raises(DuplicateObjectError):
        grid.run("create table customers (a int)")
    with pytest.raises(UnknownTableError):
        grid.run("create index i on nope (a)")
