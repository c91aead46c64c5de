"""Text → statements about users, profiles and privileges (a part of ddl_parse.py). Pure.

TimesTen's forms, and PostgreSQL's CREATE ROLE … PASSWORD as its tools send it.
"""

from __future__ import annotations

from data.access import profiles
from data.access.privileges import (
    OBJECT_PRIVILEGES,
    POSTGRES_PRIVILEGES,
    SYSTEM_PRIVILEGES,
    TABLE_PRIVILEGES,
)
from data.sql.ddl_ast import GrantStatement, Name, ProfileStatement, UserStatement
from data.sql.ddl_lexer import Cursor, TokenKind
from data.sql.ddl_table_parse import parse_name
from protocol.errors import DefinitionError, NotSupportedError

_NO_EFFECT = frozenset(
    {
        "WITH",
        "NOSUPERUSER",
        "INHERIT",
        "NOINHERIT",
        "NOCREATEDB",
        "NOCREATEROLE",
        "NOREPLICATION",
        "NOBYPASSRLS",
    }
)
_REFUSED_OPTIONS = {
    "VALID": "a profile with PASSWORD_LIFE_TIME limits how long a password lives",
    "CONNECTION": "Connections of the database definition limits all users together",
    "IN": "there are no roles: grant each privilege to the user",
    "ROLE": "there are no roles: grant each privilege to the user",
    "ADMIN": "GRANT ADMIN TO the user",
    "CREATEDB": "databases are made with ttGridAdmin dbCreate",
    "CREATEROLE": "GRANT ADMIN TO the user",
    "REPLICATION": "",
    "BYPASSRLS": "",
    "DEFAULT": "there are no tablespaces",
    "QUOTA": "there are no tablespaces",
}


# -- users -----------------------------------------------------------------------------------------
def parse_user(cursor: Cursor, *, create: bool) -> UserStatement:
    """After CREATE USER, ALTER USER (or ROLE)."""
    if_not_exists = create and cursor.take_word("IF", "NOT", "EXISTS")
    position = cursor.position
    name = cursor.name()
    found: dict[str, str | bool] = {}
    while cursor.token.kind is TokenKind.WORD:
        _user_option(cursor, found)
    if not create and not found:
        raise cursor.error("IDENTIFIED, PROFILE, ACCOUNT or PASSWORD EXPIRE")
    if found.get("external") and ("password" in found or found.get("expire")):
        message = "an external user has no password here"
        raise DefinitionError(message, position=position)
    return UserStatement(
        create,
        name,
        if_not_exists=if_not_exists,
        position=position,
        **found,  # type: ignore[arg-type]
    )


def _user_option(cursor: Cursor, found: dict[str, str | bool]) -> None:
    at = cursor.position
    match cursor.next().value:
        case word if word in _NO_EFFECT:
            pass
        case "SUPERUSER":
            found["admin"] = True
        case "LOGIN" | "NOLOGIN" as word:
            found["login"] = word == "LOGIN"
        case "IDENTIFIED":
            if cursor.take_word("EXTERNALLY"):
                found["external"] = True
            else:
                cursor.need_word("BY")
                found["password"] = _password(cursor)
        case "ENCRYPTED" if cursor.at_word("PASSWORD"):
            pass
        case "PASSWORD":
            if cursor.take_word("EXPIRE"):
                found["expire"] = True
            else:
                found["password"] = "" if cursor.take_word("NULL") else cursor.string()
                found["postgres"] = True
        case "PROFILE":
            found["profile"] = cursor.name()
        case "ACCOUNT":
            word = cursor.take_any("LOCK", "UNLOCK")
            if not word:
                raise cursor.error("LOCK or UNLOCK")
            found["lock"] = word == "LOCK"
        case word:
            hint = _REFUSED_OPTIONS.get(word, "")
            message = f"user option {word} is not supported"
            raise NotSupportedError(message, hint=hint, position=at)


def _password(cursor: Cursor) -> str:
    """'text' or an identifier, whose case counts as it was written."""
    token = cursor.token
    if token.kind is TokenKind.STRING:
        return cursor.string()
    if token.kind is TokenKind.WORD:
        cursor.next()
        return cursor.text[token.start : token.end]
    cursor.name()  # raises if it is none
    return cursor.text[token.start + 1 : token.end - 1].replace('""', '"')


# -- profiles --------------------------------------------------------------------------------------
def parse_profile(cursor: Cursor, verb: str) -> ProfileStatement:
    """After CREATE, ALTER or DROP PROFILE."""
    if_exists = verb == "DROP" and cursor.take_word("IF", "EXISTS")
    position = cursor.position
    name = cursor.name()
    if verb == "DROP":
        cascade = cursor.take_word("CASCADE")
        return ProfileStatement(verb, name, (), if_exists, cascade, position)
    cursor.need_word("LIMIT")
    limits: dict[str, str] = {}
    while cursor.token.kind is TokenKind.WORD:
        at = cursor.position
        word = cursor.next().value
        limit = profiles.ALIASES.get(word, word)
        if limit not in profiles.DEFAULT_LIMITS:
            known = ", ".join(profiles.DEFAULT_LIMITS)
            message = f"{word} is not a limit of profiles here"
            raise NotSupportedError(message, hint=f"Limits: {known}.", position=at)
        value_at = cursor.position
        if cursor.token.kind not in (TokenKind.NUMBER, TokenKind.WORD):
            raise cursor.error("a number, UNLIMITED or DEFAULT")
        limits[limit] = profiles.checked(limit, cursor.next().value, value_at)
    return ProfileStatement(verb, name, tuple(limits.items()), position=position)


# -- privileges ------------------------------------------------------------------------------------
def parse_grant(cursor: Cursor, *, grant: bool) -> GrantStatement:
    """After GRANT or REVOKE."""
    position = cursor.position
    if not grant and cursor.at_word("GRANT", "OPTION"):
        raise _no_option(cursor, "GRANT OPTION")
    privileges = [_privilege(cursor)]
    while cursor.take_op(","):
        privileges.append(_privilege(cursor))
    on: tuple[Name, ...] | None = None
    if cursor.take_word("ON"):
        if cursor.take_any("ALL", "DATABASE", "SCHEMA", "FUNCTION", "LANGUAGE"):
            raise NotSupportedError(
                "GRANT here takes tables, views and sequences one by one", position=position
            )
        cursor.take_any("TABLE", "SEQUENCE", "VIEW")
        names = [parse_name(cursor)]
        while cursor.take_op(","):
            names.append(parse_name(cursor))
        on = tuple(names)
    cursor.need_word("TO" if grant else "FROM")
    grantees = [cursor.name()]
    while cursor.take_op(","):
        grantees.append(cursor.name())
    if grant and cursor.take_word("WITH"):
        raise _no_option(cursor, f"WITH {cursor.take_any('GRANT', 'ADMIN', 'HIERARCHY')} OPTION")
    cursor.take_any("CASCADE", "RESTRICT")
    _check_privileges(privileges, on is not None, position)
    cleaned = tuple("ALL" if p == "ALL PRIVILEGES" else p for p in privileges)
    return GrantStatement(grant, cleaned, on, tuple(grantees), position)


def _no_option(cursor: Cursor, what: str) -> NotSupportedError:
    return NotSupportedError(
        f"{what} is not supported",
        hint="Privileges on an object are granted by its owner or a user with ADMIN, "
        "system privileges by a user with ADMIN.",
        position=cursor.position,
    )


def _privilege(cursor: Cursor) -> str:
    """One privilege: the words up to a comma, ON, TO, FROM or a column list."""
    words: list[str] = []
    position = cursor.position
    while cursor.token.kind is TokenKind.WORD and cursor.token.value not in ("ON", "TO", "FROM"):
        words.append(cursor.next().value)
    if not words:
        raise cursor.error("a privilege")
    if cursor.at_op("("):
        raise NotSupportedError("privileges on columns are not supported", position=position)
    return " ".join(words)


def _check_privileges(privileges: list[str], on_object: bool, position: int) -> None:
    for privilege in privileges:
        if privilege in ("ALL", "ALL PRIVILEGES"):
            continue
        known = OBJECT_PRIVILEGES | POSTGRES_PRIVILEGES if on_object else SYSTEM_PRIVILEGES
        if privilege in known:
            continue
        kind = "an object" if on_object else "a system"
        hint = ""
        if not on_object and privilege in TABLE_PRIVILEGES:
            hint = f"GRANT {privilege} ON table TO user, or {privilege} ANY TABLE."
        elif not on_object and len(privilege.split()) == 1:
            hint = "There are no roles: grant each privilege to the user."
        message = f"{privilege} is not {kind} privilege here"
        raise NotSupportedError(message, hint=hint, position=position)
