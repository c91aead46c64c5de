"""Users, profiles and privileges: what their statements do to the catalog (a part of ddl.py). Pure.

A password is checked and made a verifier here; nothing else ever sees it.
"""

from __future__ import annotations

import hmac

from msgspec.structs import replace

from data.access import profiles
from data.access.privileges import (
    CREATE_SESSION,
    MATERIALIZED_PRIVILEGES,
    SEQUENCE_PRIVILEGES,
    SYSTEM_PRIVILEGES,
    TABLE_PRIVILEGES,
    UNIT_PRIVILEGES,
    VIEW_PRIVILEGES,
)
from data.catalog.catalog import PUBLIC, SYS, Relation, shown
from data.catalog.objects import Grant, Profile, Sequence, StoredUnit, User, View
from data.sql.ddl_ast import GrantStatement, Name, ProfileStatement, UserStatement
from data.sql.ddl_build import Builder, check_name, relation_kind
from protocol.errors import (
    DefinitionError,
    DependentObjectsError,
    DuplicateObjectError,
    NotSupportedError,
    ParameterError,
    PasswordRuleError,
    UnknownObjectError,
)
from protocol.pgwire.scram import ITERATIONS, Verifier, derive, make_verifier

_RESERVED_USERS = frozenset({PUBLIC, SYS, "GI", "SYSTEM", "TTREP", "GRID"})
_PASSWORD_BYTES_MAX = 1000
_ITERATIONS_MAX = 100_000  # of a verifier a client made: what its next login costs it


# -- users -----------------------------------------------------------------------------------------
def plan_user(builder: Builder, statement: UserStatement) -> None:
    """CREATE USER, ALTER USER. Raises PrivilegeError, PasswordRuleError, …."""
    position = statement.position
    name = statement.name.upper()  # users match whatever the case
    if statement.create:
        builder.need_admin(position)
        if builder.catalog.user(name) is not None:
            if statement.if_not_exists:
                builder.notice(f'user "{shown(name)}" already exists, skipping')
                return
            raise DuplicateObjectError(f'user "{shown(name)}" already exists', position=position)
        if name in _RESERVED_USERS:
            raise DefinitionError(f'user name "{shown(name)}" is reserved', position=position)
        check_name(name, position)
        user = User(builder.new_id(), name, created_us=builder.hooks.now_us())
    else:
        user = builder.catalog.need_user(name, position)
        if user.name != builder.user or not _is_own_password(statement):
            builder.need_admin(position)
    user = _with_options(builder, user, statement)
    builder.put(_with_password(builder, user, statement))


def _is_own_password(statement: UserStatement) -> bool:
    """True: nothing but the password changes."""
    others = (statement.profile, statement.lock, statement.admin, statement.login)
    return (
        statement.password is not None
        and not statement.external
        and not statement.expire
        and all(value is None for value in others)
    )


def _with_options(builder: Builder, user: User, statement: UserStatement) -> User:
    if statement.profile is not None:
        name = statement.profile
        if name != profiles.DEFAULT and name not in builder.catalog.profiles:
            message = f'profile "{shown(name)}" does not exist'
            raise UnknownObjectError(message, position=statement.position)
        user = replace(user, profile="" if name == profiles.DEFAULT else name)
    if statement.lock is not None:
        locked_us = builder.hooks.now_us() if statement.lock else 0
        user = replace(user, locked=statement.lock, locked_us=locked_us, unlocks=user.unlocks + 1)
    if statement.admin is not None:
        user = replace(user, admin=statement.admin)
    if statement.login is not None:
        held = set(user.privileges) - {CREATE_SESSION}
        wanted = held | {CREATE_SESSION} if statement.login else held
        user = replace(user, privileges=tuple(sorted(wanted)))
    return user


def _with_password(builder: Builder, user: User, statement: UserStatement) -> User:
    now_us = builder.hooks.now_us()
    if statement.external or (statement.password == "" and statement.postgres):
        user = _remembering(builder, user, now_us)
        return replace(user, verifier="", external=statement.external, expired=False, password_us=0)
    if statement.password is None:
        return replace(user, expired=user.expired or statement.expire)
    verifier = _verifier(builder, user, statement.password, statement)
    user = _remembering(builder, user, now_us)
    return replace(
        user,
        verifier=verifier,
        external=False,
        expired=statement.expire,
        password_us=now_us,
        unlocks=user.unlocks + 1,
    )


def _remembering(builder: Builder, user: User, now_us: int) -> User:
    """The user with its present verifier in the history, as far as its profile asks for one."""
    if not user.verifier:
        return user
    limits = builder.catalog.limits_of(user)
    history = ((user.verifier, now_us), *user.history)[: profiles.HISTORY_MAX]
    return replace(user, history=history if limits.remembers else ())


def _verifier(builder: Builder, user: User, password: str, statement: UserStatement) -> str:
    """The SCRAM verifier of a new password. Raises ParameterError, PasswordRuleError."""
    position = statement.position
    if len(password.encode()) > _PASSWORD_BYTES_MAX:
        message = f"a password has 1 to {_PASSWORD_BYTES_MAX} bytes"
        raise ParameterError(message, position=position)
    limits = builder.catalog.limits_of(user)
    if statement.postgres and (made := _made_by_client(password, position)):
        if limits.checker or limits.remembers:
            raise PasswordRuleError(
                "the user's profile has rules for passwords, which a verifier does not show",
                hint="ALTER USER … IDENTIFIED BY 'password'.",
                position=position,
            )
        return made
    if not password:
        raise ParameterError("a password is not empty", position=position)
    if limits.checker:
        database = builder.hooks.database
        profiles.check_password(limits.checker, password, user.name, database, position)
    now_us = builder.hooks.now_us()
    former = ((user.verifier, now_us), *user.history) if user.verifier else user.history
    for old in profiles.may_not_come_again(limits, former, now_us):
        if _fits(password, old):
            raise PasswordRuleError("the password cannot be reused yet", position=position)
    return make_verifier(password)


def _fits(password: str, verifier: str) -> bool:
    known = Verifier.from_text(verifier)
    tried = derive(password, known.salt, known.iterations)
    return hmac.compare_digest(tried.stored_key, known.stored_key)


def _made_by_client(text: str, position: int) -> str:
    """A verifier that psql's \\password and the like send instead of the password, else ""."""
    if text.startswith("md5") and len(text) == 35:
        raise NotSupportedError("MD5 passwords are not supported", position=position)
    try:
        verifier = Verifier.from_text(text)
    except ValueError:
        return ""
    if not ITERATIONS <= verifier.iterations <= _ITERATIONS_MAX:
        message = f"a verifier has {ITERATIONS} to {_ITERATIONS_MAX} iterations"
        raise ParameterError(message, position=position)
    return text


# -- profiles --------------------------------------------------------------------------------------
def plan_profile(builder: Builder, statement: ProfileStatement) -> None:
    """CREATE, ALTER, DROP PROFILE. Raises PrivilegeError, UnknownObjectError, …."""
    position, name = statement.position, statement.name
    builder.need_admin(position)
    known = builder.catalog.profiles.get(name)
    if statement.verb == "CREATE":
        if known is not None or name == profiles.DEFAULT:
            raise DuplicateObjectError(f'profile "{shown(name)}" already exists', position=position)
        check_name(name, position)
        builder.put(Profile(builder.new_id(), name, statement.limits))
        return
    if statement.verb == "DROP" and name == profiles.DEFAULT:
        raise DefinitionError("profile DEFAULT cannot be dropped", position=position)
    if known is None and name == profiles.DEFAULT:
        known = Profile(builder.new_id(), name)
    if known is None:
        message = f'profile "{shown(name)}" does not exist'
        if statement.if_exists:
            builder.notice(f"{message}, skipping")
            return
        raise UnknownObjectError(message, position=position)
    if statement.verb == "ALTER":
        limits = {**dict(known.limits), **dict(statement.limits)}
        if name == profiles.DEFAULT:  # DEFAULT there means: what it is without being altered
            limits = {k: v for k, v in limits.items() if v != profiles.DEFAULT}
        builder.put(replace(known, limits=tuple(limits.items())))
        return
    users = [user for user in builder.catalog.users.values() if user.profile == name]
    if users and not statement.cascade:
        raise DependentObjectsError(
            f'profile "{shown(name)}" is in use',
            detail=", ".join(shown(user.name) for user in users[:10]),
            hint="DROP PROFILE … CASCADE gives them profile DEFAULT.",
            position=position,
        )
    for user in users:
        builder.put(replace(user, profile=""))
    builder.delete(known)


# -- privileges ------------------------------------------------------------------------------------
def plan_grant(builder: Builder, statement: GrantStatement) -> None:
    """GRANT, REVOKE. Raises PrivilegeError, UnknownObjectError, NotSupportedError."""
    grantees = []
    for grantee in statement.grantees:
        if grantee.upper() == PUBLIC:
            grantees.append(PUBLIC)
        else:
            grantees.append(builder.catalog.need_user(grantee, statement.position).name)
    if statement.on is None:
        _grant_system(builder, statement, grantees)
        return
    for name in statement.on:
        relation = _unit(builder, name) or builder.relation(name)
        if relation.schema != builder.user:
            builder.need_admin(name.position)
        for grantee in grantees:
            _grant_object(builder, statement, relation, grantee)


def _unit(builder: Builder, name: Name) -> StoredUnit | None:
    schema = builder.schema_of(name)
    return builder.catalog.find_unit(schema, name.parts[-1])


def _grant_system(builder: Builder, statement: GrantStatement, grantees: list[str]) -> None:
    builder.need_admin(statement.position)
    wanted = set(statement.privileges)
    if "ALL" in wanted:
        wanted = set(SYSTEM_PRIVILEGES)
    for grantee in grantees:
        if grantee == PUBLIC:
            if statement.grant and "ADMIN" in wanted:
                raise NotSupportedError(
                    "ADMIN is granted to users, not to PUBLIC", position=statement.position
                )
            _change_grants(builder, statement, 0, PUBLIC, wanted)
            continue
        user = builder.catalog.need_user(grantee)
        held = set(user.privileges)
        after = held | wanted if statement.grant else held - wanted
        builder.put(replace(user, privileges=tuple(sorted(after))))


def _grant_object(
    builder: Builder, statement: GrantStatement, relation: Relation | StoredUnit, grantee: str
) -> None:
    fitting = TABLE_PRIVILEGES
    if isinstance(relation, Sequence):
        fitting = SEQUENCE_PRIVILEGES
    elif isinstance(relation, View):
        fitting = VIEW_PRIVILEGES
    elif isinstance(relation, StoredUnit):
        fitting = UNIT_PRIVILEGES
    elif relation.materialized is not None:
        fitting = MATERIALIZED_PRIVILEGES
    wanted = set(statement.privileges)
    if "ALL" in wanted:
        wanted = set(fitting)
    if isinstance(relation, Sequence) and "USAGE" in wanted:
        wanted = (wanted - {"USAGE"}) | {"SELECT"}
    for privilege in sorted(wanted - fitting):
        kind = relation_kind(relation) if not isinstance(relation, StoredUnit) else "stored unit"
        message = f"{privilege} is no privilege on a {kind} here"
        raise NotSupportedError(message, position=statement.position)
    if grantee != relation.schema:  # the owner has them all, and keeps them
        _change_grants(builder, statement, relation.id, grantee, wanted)


def _change_grants(
    builder: Builder, statement: GrantStatement, object_id: int, grantee: str, wanted: set[str]
) -> None:
    held = {
        grant.privilege: grant
        for grant in builder.catalog.grants()
        if grant.object_id == object_id and grant.grantee == grantee
    }
    for privilege in sorted(wanted):
        if statement.grant and privilege not in held:
            builder.put(Grant(builder.new_id(), object_id, grantee, privilege))
        elif not statement.grant and privilege in held:
            builder.delete(held[privilege])
