"""Users, profiles, privileges: who may do which DDL, and what becomes of passwords."""

from __future__ import annotations

import pytest

from data.access.privileges import SYSTEM_PRIVILEGES, TABLE_PRIVILEGES
from data.access.profiles import DAY_US
from protocol.errors import (
    DefinitionError,
    DependentObjectsError,
    DuplicateObjectError,
    GridError,
    NotSupportedError,
    ParameterError,
    PasswordRuleError,
    PrivilegeError,
    UnknownObjectError,
)
from protocol.pgwire.scram import make_verifier
from tests.support.catalogs import Dictionary, sample


@pytest.fixture
def grid() -> Dictionary:
    made = sample()
    made.run("create user bob identified by x", "SYS")
    made.run("create view rich as select customers", "TERRY")
    return made


# -- who may do what: the least privilege that lets BOB do it --------------------------------------
GATES = [
    ("create table t (a int)", "CREATE TABLE"),
    ("create table terry.t (a int)", "CREATE ANY TABLE"),
    ("create view v as select 1 from dual", "CREATE VIEW"),
    ("create view terry.v as select 1 from dual", "CREATE ANY VIEW"),
    ("create sequence s", "CREATE SEQUENCE"),
    ("create sequence terry.s", "CREATE ANY SEQUENCE"),
    ("create synonym s for terry.customers", "CREATE SYNONYM"),
    ("create synonym terry.s for terry.customers", "CREATE ANY SYNONYM"),
    ("create public synonym s for terry.customers", "CREATE PUBLIC SYNONYM"),
    ("create index i on terry.customers (zipcode)", "CREATE ANY INDEX"),
    ("alter table terry.customers add x int", "ALTER ANY TABLE"),
    ("alter sequence terry.txn_seq cache 5", "ALTER ANY SEQUENCE"),
    ("alter view terry.rich rename to poor", "ALTER ANY VIEW"),
    ("drop table terry.transactions", "DROP ANY TABLE"),
    ("drop view terry.rich", "DROP ANY VIEW"),
    ("drop sequence terry.txn_seq", "DROP ANY SEQUENCE"),
    ("truncate table terry.transactions", "DELETE ANY TABLE"),
    ("create user eve identified by x", "ADMIN"),
    ("alter user terry identified by x", "ADMIN"),
    ("alter user bob account lock", "ADMIN"),
    ("drop user terry cascade", "ADMIN"),
    ("create profile p limit failed_login_attempts 3", "ADMIN"),
    ("alter profile default limit failed_login_attempts 3", "ADMIN"),
    ("grant create table to bob", "ADMIN"),
    ("grant select on terry.customers to bob", "ADMIN"),
    ("revoke select on terry.customers from public", "ADMIN"),
]


@pytest.mark.parametrize(("text", "privilege"), GATES)
def test_each_gate_opens_for_its_privilege(grid: Dictionary, text: str, privilege: str) -> None:
    with pytest.raises(PrivilegeError) as refused:
        grid.run(text, "BOB")
    assert (refused.value.sqlstate, refused.value.tt_number) == ("42501", 15100)
    before = grid.catalog
    others = ", ".join(SYSTEM_PRIVILEGES - {privilege, "ADMIN"} - {_wider(privilege)})
    grid.run(f"grant {others} to bob", "SYS")
    with pytest.raises(PrivilegeError) as refused:
        grid.run(text, "BOB")
    assert f"user BOB lacks privilege {privilege}" in refused.value.message or (
        privilege == "DELETE ANY TABLE" and "lacks privilege DELETE on" in refused.value.message
    )
    grid.catalog = before
    grid.run(f"grant {privilege} to bob", "SYS")
    grid.run(text, "BOB")


def _wider(privilege: str) -> str:
    return privilege.replace("CREATE ", "CREATE ANY ", 1)


@pytest.mark.parametrize("privilege", ["CREATE ANY TABLE", "ADMIN"])
def test_what_is_wider_contains_what_is_narrower(grid: Dictionary, privilege: str) -> None:
    grid.run(f"grant {privilege} to bob", "SYS")
    grid.run("create table t (a int)", "BOB")


OBJECT_GATES = [
    ("create index i on terry.customers (zipcode)", "INDEX"),
    ("alter table terry.customers add x int", "ALTER"),
    ("create table c (a number(10) references terry.customers)", "REFERENCES"),
    ("truncate table terry.transactions", "DELETE"),
]


@pytest.mark.parametrize(("text", "privilege"), OBJECT_GATES)
def test_each_gate_opens_for_its_object_privilege(
    grid: Dictionary, text: str, privilege: str
) -> None:
    grid.run("grant create table to bob", "SYS")
    table = "transactions" if "transactions" in text else "customers"
    others = ", ".join(TABLE_PRIVILEGES - {privilege})
    grid.run(f"grant {others} on {table} to bob")
    with pytest.raises(PrivilegeError):
        grid.run(text, "BOB")
    grid.run(f"grant {privilege} on {table} to bob")
    grid.run(text, "BOB")


# -- privileges ------------------------------------------------------------------------------------
def test_public_may_what_it_was_granted(grid: Dictionary) -> None:
    grid.run("grant create session, create table to public", "SYS")
    assert grid.catalog.has_system_privilege("BOB", "CREATE SESSION")
    assert not grid.catalog.has_system_privilege("NOBODY", "CREATE SESSION")
    grid.run("create table t (a int)", "BOB")
    grid.run("revoke all from public", "SYS")
    assert not grid.catalog.has_system_privilege("BOB", "CREATE TABLE")
    with pytest.raises(NotSupportedError):
        grid.run("grant admin to public", "SYS")


def test_the_owner_keeps_all(grid: Dictionary) -> None:
    customers = grid.table("CUSTOMERS")
    grid.run("revoke all on customers from terry")
    grid.run("revoke all on terry.customers from terry", "SYS")
    assert all(grid.catalog.has_privilege("TERRY", customers, p) for p in TABLE_PRIVILEGES)
    grid.run("grant all on customers to terry")
    assert list(grid.catalog.grants()) == []


def test_synonyms_resolve_and_do_not_grant(grid: Dictionary) -> None:
    grid.run("create public synonym cust for terry.customers", "SYS")
    found = grid.catalog.resolve("BOB", ("CUST",))
    assert found is grid.table("CUSTOMERS")
    assert not grid.catalog.has_privilege("BOB", found, "SELECT")
    grid.run("grant select on cust to bob", "SYS")
    assert grid.catalog.has_privilege("BOB", found, "SELECT")


def test_a_view_and_a_sequence_have_select_alone(grid: Dictionary) -> None:
    grid.run("grant all on rich to bob")
    grid.run("grant all on txn_seq to bob")
    assert {g.privilege for g in grid.catalog.grants()} == {"SELECT"}
    for name in ("rich", "txn_seq"):
        with pytest.raises(NotSupportedError, match="UPDATE"):
            grid.run(f"grant update on {name} to bob")


@pytest.mark.parametrize(
    "text",
    [
        "grant select on customers to bob with grant option",
        "grant create table to bob with admin option",
        "revoke grant option for select on customers from bob",
        "grant select (cust_id) on customers to bob",
        "grant dba to bob",
        "grant select to bob",
        "grant select on all tables in schema terry to bob",
    ],
)
def test_what_there_is_not_is_refused_by_name(grid: Dictionary, text: str) -> None:
    with pytest.raises(NotSupportedError):
        grid.run(text, "SYS")


# -- users -----------------------------------------------------------------------------------------
def test_a_user_changes_its_own_password_and_nothing_else(grid: Dictionary) -> None:
    grid.run("alter user bob identified by 'new'", "BOB")
    for text in ("account unlock", "profile default", "password expire", "identified externally"):
        with pytest.raises(PrivilegeError):
            grid.run(f"alter user bob {text}", "BOB")
    with pytest.raises(PrivilegeError):
        grid.run("alter user bob identified by x account unlock", "BOB")


def test_accounts_are_locked_expired_and_opened(grid: Dictionary) -> None:
    grid.run("alter user bob account lock password expire", "SYS")
    bob = grid.catalog.users["BOB"]
    assert (bob.locked, bob.expired, bob.locked_us) == (True, True, grid.hooks.time_us)
    grid.run("alter user bob account unlock identified by y", "SYS")
    bob = grid.catalog.users["BOB"]
    assert (bob.locked, bob.expired, bob.password_us) == (False, False, grid.hooks.time_us)
    grid.run("alter user bob identified externally", "SYS")
    assert grid.catalog.users["BOB"].external
    assert grid.catalog.users["BOB"].verifier == ""


def test_postgres_forms_of_users(grid: Dictionary) -> None:
    made = make_verifier("secret")
    grid.run(f"create role eve with login nosuperuser password '{made}'", "SYS")
    eve = grid.catalog.users["EVE"]
    assert (eve.verifier, eve.privileges) == (made, ("CREATE SESSION",))
    grid.run("alter role eve nologin password null", "SYS")
    assert (grid.catalog.users["EVE"].verifier, grid.catalog.users["EVE"].privileges) == ("", ())
    for option in ("password 'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "createdb", "in role bob"):
        with pytest.raises(NotSupportedError):
            grid.run(f"create user dan {option}", "SYS")
    with pytest.raises(ParameterError):
        grid.run(f"create user dan password '{made.replace('$4096:', '$1:')}'", "SYS")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("create user bob identified by x", DuplicateObjectError),
        ("create user system identified by x", DefinitionError),
        ("create user eve identified by ''", ParameterError),
        ("create user eve identified by x identified externally", DefinitionError),
        ("create user eve identified by x profile none", UnknownObjectError),
        ("alter user eve identified by x", UnknownObjectError),
        ("drop user terry", DependentObjectsError),
    ],
)
def test_statements_about_users_that_cannot_be(
    grid: Dictionary, text: str, error: type[GridError]
) -> None:
    with pytest.raises(error):
        grid.run(text, "SYS")


def test_drop_user_cascade_takes_all_along(grid: Dictionary) -> None:
    grid.run("grant select on customers to bob")
    grid.run("drop user terry cascade", "SYS")
    assert "TERRY" not in grid.catalog.users
    assert not [key for key in grid.catalog.relations if key[0] == "TERRY"]
    assert list(grid.catalog.grants()) == []


# -- profiles --------------------------------------------------------------------------------------
def test_profiles_are_made_altered_given_and_dropped(grid: Dictionary) -> None:
    grid.run(
        "create profile strict limit failed_login_attempts 3 password_lock_time unlimited", "SYS"
    )
    limits = grid.catalog.limits_of(grid.catalog.users["BOB"])
    assert limits.failed_logins == 10
    grid.run("alter user bob profile strict", "SYS")
    limits = grid.catalog.limits_of(grid.catalog.users["BOB"])
    assert (limits.failed_logins, limits.lock_us) == (3, None)
    grid.run("alter profile strict limit failed_login_attempts default", "SYS")
    grid.run("alter profile default limit failed_login_attempts 7 password_life_time 1", "SYS")
    limits = grid.catalog.limits_of(grid.catalog.users["BOB"])
    assert (limits.failed_logins, limits.life_us, limits.lock_us) == (7, DAY_US, None)
    with pytest.raises(DependentObjectsError):
        grid.run("drop profile strict", "SYS")
    grid.run("drop profile strict cascade", "SYS")
    assert grid.catalog.users["BOB"].profile == ""
    for text, error in (
        ("drop profile strict", UnknownObjectError),
        ("drop profile default", DefinitionError),
        ("create profile default limit failed_login_attempts 1", DuplicateObjectError),
        ("create profile p limit sessions_per_user 1", NotSupportedError),
    ):
        with pytest.raises(error):
            grid.run(text, "SYS")


def test_a_profile_asks_for_good_passwords_and_new_ones(grid: Dictionary) -> None:
    grid.run(
        "create profile p limit password_verify_function tt_verify_function "
        "password_reuse_max 1 password_reuse_time 1",
        "SYS",
    )
    grid.run("alter user bob profile p", "SYS")
    with pytest.raises(PasswordRuleError, match="TT_VERIFY_FUNCTION"):
        grid.run("alter user bob identified by 'short'", "BOB")
    with pytest.raises(PasswordRuleError, match="verifier"):
        grid.run(f"alter user bob password '{make_verifier('x')}'", "BOB")
    grid.run("alter user bob identified by 'good-pass-1'", "BOB")
    with pytest.raises(PasswordRuleError, match="reused"):
        grid.run("alter user bob identified by 'good-pass-1'", "BOB")
    grid.run("alter user bob identified by 'good-pass-2'", "BOB")
    with pytest.raises(PasswordRuleError, match="reused"):
        grid.run("alter user bob identified by 'good-pass-1'", "BOB")
    grid.hooks.time_us += DAY_US
    grid.run("alter user bob identified by 'good-pass-1'", "BOB")
