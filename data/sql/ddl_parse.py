"""DDL text → statement: a recursive-descent parser on the token list. Pure.

Takes TimesTen's spellings and those PostgreSQL's tools send. What is refused is refused by name.
"""

from __future__ import annotations

import re

from data.sql.ddl_ast import (
    AlterSequenceStatement,
    CommentStatement,
    CreateIndexStatement,
    CreateSequenceStatement,
    CreateSynonymStatement,
    CreateViewStatement,
    DropStatement,
    GrantStatement,
    Name,
    RenameStatement,
    SequenceOptions,
    Statement,
    TruncateStatement,
    UserStatement,
)
from data.sql.ddl_lexer import Cursor, TokenKind
from data.sql.ddl_table_parse import parse_alter_table, parse_create_table, parse_name
from protocol.errors import DefinitionError, NotSupportedError

_FIRST_WORDS = frozenset(
    {"CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE", "RENAME", "REFRESH"}
)
_NOT_DDL = frozenset({("ALTER", "SESSION"), ("ALTER", "SYSTEM")})
_WORDS = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/)*(\w+)\s*(\w*)", re.DOTALL)

_REFUSED_OBJECTS: dict[str, str] = {
    "DATABASE": "create databases with ttGridAdmin dbCreate",
    "SCHEMA": "a schema is made with its user: CREATE USER",
    "FUNCTION": "",
    "PROCEDURE": "",
    "PACKAGE": "",
    "TRIGGER": "",
    "TYPE": "",
    "DOMAIN": "",
    "EXTENSION": "",
    "RULE": "",
    "POLICY": "",
    "PUBLICATION": "",
    "SUBSCRIPTION": "",
    "STATISTICS": "",
    "TABLESPACE": "",
    "PROFILE": "",
    "CACHE": "cache groups are not part of a grid",
    "ASYNCHRONOUS": "",
    "READONLY": "",
    "USERMANAGED": "",
    "DYNAMIC": "",
    "ACTIVE": "replication schemes are replaced by K-safety",
    "REPLICATION": "replication schemes are replaced by K-safety",
    "AGGREGATE": "",
    "OPERATOR": "",
    "COLLATION": "",
    "CAST": "",
    "CONVERSION": "",
    "LANGUAGE": "",
    "SERVER": "",
    "FOREIGN": "",
    "EVENT": "",
    "TEXT": "",
    "ACCESS": "",
    "TRANSFORM": "",
    "GROUP": "",
    "DEFAULT": "",
    "LARGE": "",
    "LIBRARY": "",
    "CONTEXT": "",
    "DIRECTORY": "",
}

_OBJECT_KINDS = (
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "SYNONYM",
    "PROCEDURE",
    "CACHE GROUP",
)
SYSTEM_PRIVILEGES = frozenset(
    {
        "ADMIN",
        "CREATE SESSION",
        "CACHE_MANAGER",
        "XLA",
        *(
            f"CREATE {kind}"
            for kind in (
                *_OBJECT_KINDS,
                "PUBLIC SYNONYM",
            )
        ),
        *(
            f"{verb} ANY {kind}"
            for verb in ("CREATE", "ALTER", "DROP")
            for kind in (
                *_OBJECT_KINDS,
                "INDEX",
            )
        ),
        "DROP PUBLIC SYNONYM",
        *(f"{verb} ANY TABLE" for verb in ("SELECT", "INSERT", "UPDATE", "DELETE")),
        "SELECT ANY SEQUENCE",
        "EXECUTE ANY PROCEDURE",
        *(f"{verb} ANY CACHE GROUP" for verb in ("LOAD", "UNLOAD", "REFRESH", "FLUSH")),
    }
)
OBJECT_PRIVILEGES = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "INDEX", "ALTER", "EXECUTE"}
)
_PG_OBJECT_PRIVILEGES = frozenset({"TRUNCATE", "TRIGGER", "USAGE"})


def is_ddl(text: str) -> bool:
    """Is the statement one for `parse_ddl`? Looks at its first two words only."""
    match = _WORDS.match(text)
    if match is None or match[1].upper() not in _FIRST_WORDS:
        return False
    return (match[1].upper(), match[2].upper()) not in _NOT_DDL


def parse_ddl(text: str) -> Statement:
    """One statement. Raises SqlSyntaxError, NotSupportedError, DefinitionError (types)."""
    cursor = Cursor(text)
    match cursor.next().value:
        case "CREATE":
            statement = _create(cursor)
        case "ALTER":
            statement = _alter(cursor)
        case "DROP":
            statement = _drop(cursor)
        case "TRUNCATE":
            statement = _truncate(cursor)
        case "COMMENT":
            statement = _comment(cursor)
        case "GRANT":
            statement = _grant(cursor, grant=True)
        case "REVOKE":
            statement = _grant(cursor, grant=False)
        case "RENAME":
            statement = _rename(cursor)
        case word:
            raise NotSupportedError(f"{word} is not supported", position=1)
    cursor.need_end()
    return statement


def _refuse(cursor: Cursor, verb: str) -> NotSupportedError:
    word = cursor.token.value
    if word not in _REFUSED_OBJECTS:
        raise cursor.error("a kind of object")
    hint = _REFUSED_OBJECTS[word]
    return NotSupportedError(f"{verb} {word} is not supported", hint=hint, position=cursor.position)


# -- CREATE ----------------------------------------------------------------------------------------
def _create(cursor: Cursor) -> Statement:
    replace = cursor.take_word("OR", "REPLACE")
    at = cursor.position
    cursor.take_any("FORCE", "NOFORCE", "EDITIONABLE", "NONEDITIONABLE")
    if cursor.take_any("USER", "ROLE"):
        return _user(cursor, create=True)
    if cursor.at_word("GLOBAL", "TEMPORARY") or cursor.at_word("LOCAL", "TEMPORARY"):
        raise NotSupportedError("temporary tables are not supported", position=at)
    if cursor.token.value in ("TEMP", "TEMPORARY") and cursor.token.kind is TokenKind.WORD:
        raise NotSupportedError("temporary objects are not supported", position=at)
    cursor.take_word("UNLOGGED")
    if cursor.take_word("TABLE"):
        return parse_create_table(cursor)
    if cursor.take_word("VIEW"):
        return _view(cursor, replace)
    if cursor.at_word("RECURSIVE", "VIEW"):
        raise NotSupportedError("recursive views are not supported", position=at)
    if cursor.take_word("MATERIALIZED", "VIEW"):
        raise _refuse_materialized(cursor, at)
    if cursor.take_word("SEQUENCE"):
        if_not_exists = cursor.take_word("IF", "NOT", "EXISTS")
        name = parse_name(cursor)
        return CreateSequenceStatement(name, _sequence_options(cursor), if_not_exists)
    if cursor.take_word("PUBLIC", "SYNONYM"):
        return _synonym(cursor, replace, public=True)
    if cursor.take_word("SYNONYM"):
        return _synonym(cursor, replace, public=False)
    if cursor.at_word("BITMAP"):
        raise NotSupportedError("bitmap indexes are not supported", position=at)
    if cursor.token.value in ("UNIQUE", "HASH", "GLOBAL", "LOCAL", "INDEX"):
        return _index(cursor)
    raise _refuse(cursor, "CREATE")


def _refuse_materialized(cursor: Cursor, at: int) -> NotSupportedError | DefinitionError:
    words = [t.value for t in cursor.tokens if t.kind is TokenKind.WORD]
    if "DISTRIBUTE" not in words:
        return DefinitionError(
            "a materialized view needs the clause DISTRIBUTE BY HASH", position=at
        )
    return NotSupportedError("materialized views are not supported", position=at)


def _view(cursor: Cursor, replace: bool) -> CreateViewStatement:
    name = parse_name(cursor)
    columns = cursor.names_in_parens() if cursor.at_op("(") else ()
    cursor.need_word("AS")
    position = cursor.position
    query = cursor.rest()
    if not query:
        raise cursor.error("a query")
    return CreateViewStatement(name, columns, query, position, replace)


def _sequence_options(cursor: Cursor) -> SequenceOptions:
    found: dict[str, int | str | bool | None] = {}
    while cursor.token.kind is TokenKind.WORD:
        word = cursor.next().value
        match word:
            case "START":
                cursor.take_word("WITH")
                found["start"] = cursor.integer()
            case "INCREMENT":
                cursor.take_word("BY")
                found["increment"] = cursor.integer()
            case "MINVALUE" | "MAXVALUE":
                found[word[:3].lower() + "imum"] = cursor.integer()
            case "NOMINVALUE" | "NOMAXVALUE":
                found[word[2:5].lower() + "imum"] = "no"
            case "NO":
                what = cursor.take_any("MINVALUE", "MAXVALUE", "CYCLE", "CACHE")
                if not what:
                    raise cursor.error("MINVALUE, MAXVALUE, CYCLE or CACHE")
                if what in ("MINVALUE", "MAXVALUE"):
                    found[what[:3].lower() + "imum"] = "no"
                elif what == "CYCLE":
                    found["cycle"] = False
                else:
                    found["cache"] = 1
            case "CYCLE":
                found["cycle"] = True
            case "NOCYCLE":
                found["cycle"] = False
            case "CACHE":
                found["cache"] = cursor.integer()
            case "NOCACHE":
                found["cache"] = 1
            case "BATCH":
                found["batch"] = cursor.integer()
            case "ORDER" | "NOORDER":
                pass
            case "AS":
                cursor.name()
            case "OWNED":
                cursor.need_word("BY")
                cursor.name_parts()
            case _:
                cursor.at -= 1
                raise cursor.error()
    return SequenceOptions(**found)  # type: ignore[arg-type]


def _synonym(cursor: Cursor, replace: bool, *, public: bool) -> CreateSynonymStatement:
    name = parse_name(cursor)
    cursor.need_word("FOR")
    return CreateSynonymStatement(name, parse_name(cursor), public, replace)


def _index(cursor: Cursor) -> CreateIndexStatement:
    is_global: bool | None = None
    unique = is_hash = False
    while not cursor.take_word("INDEX"):
        match cursor.take_any("UNIQUE", "HASH", "GLOBAL", "LOCAL"):
            case "UNIQUE":
                unique = True
            case "HASH":
                is_hash = True
            case "GLOBAL":
                is_global = True
            case "LOCAL":
                is_global = False
            case _:
                raise cursor.error("INDEX")
    cursor.take_word("CONCURRENTLY")
    if_not_exists = cursor.take_word("IF", "NOT", "EXISTS")
    name = None if cursor.at_word("ON") else parse_name(cursor)
    cursor.need_word("ON")
    cursor.take_word("ONLY")
    table = parse_name(cursor)
    if cursor.take_word("USING"):
        position = cursor.position
        method = cursor.name().lower()
        if method not in ("btree", "hash"):
            raise NotSupportedError(f"index method {method} is not supported", position=position)
        is_hash = is_hash or method == "hash"
    columns, descending = _index_columns(cursor)
    include = cursor.names_in_parens() if cursor.take_word("INCLUDE") else ()
    _index_tail(cursor)
    return CreateIndexStatement(
        name, table, columns, descending, unique, is_hash, is_global, include, if_not_exists
    )


def _index_columns(cursor: Cursor) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    cursor.need_op("(")
    columns: list[str] = []
    descending: list[bool] = []
    while True:
        position = cursor.position
        if cursor.at_op("("):
            raise NotSupportedError("indexes on expressions are not supported", position=position)
        columns.append(cursor.name())
        if cursor.at_op("("):
            raise NotSupportedError("indexes on expressions are not supported", position=position)
        if cursor.token.kind is TokenKind.WORD and cursor.token.value.endswith("_OPS"):
            cursor.next()
        descending.append(cursor.take_any("ASC", "DESC") == "DESC")
        if cursor.take_word("NULLS") and not cursor.take_any("FIRST", "LAST"):
            raise cursor.error("FIRST or LAST")
        if not cursor.take_op(","):
            break
    cursor.need_op(")")
    return tuple(columns), tuple(descending)


def _index_tail(cursor: Cursor) -> None:
    """PAGES = n | CURRENT, DISTRIBUTE BY HASH [(…)], WITH (…), TABLESPACE: no effect here."""
    while True:
        if cursor.take_word("PAGES"):
            cursor.take_op("=")
            if not cursor.take_word("CURRENT"):
                cursor.integer()
        elif cursor.take_word("DISTRIBUTE", "BY", "HASH"):
            if cursor.at_op("("):
                cursor.skip_parens()
        elif cursor.take_word("WITH"):
            cursor.skip_parens()
        elif cursor.take_word("TABLESPACE"):
            cursor.name()
        elif cursor.at_word("WHERE"):
            raise NotSupportedError("partial indexes are not supported", position=cursor.position)
        else:
            return


def _user(cursor: Cursor, *, create: bool) -> UserStatement:
    if_not_exists = create and cursor.take_word("IF", "NOT", "EXISTS")
    position = cursor.position
    name = cursor.name()
    password: str | None = None
    external = False
    admin: bool | None = None
    while cursor.token.kind is TokenKind.WORD:
        at = cursor.position
        match cursor.next().value:
            case "WITH" | "LOGIN" | "NOSUPERUSER" | "INHERIT" | "NOCREATEDB" | "NOCREATEROLE":
                pass
            case "SUPERUSER":
                admin = True
            case "IDENTIFIED":
                external = cursor.take_word("EXTERNALLY")
                if not external:
                    cursor.need_word("BY")
                    password = _password(cursor)
            case "ENCRYPTED" if cursor.at_word("PASSWORD"):
                pass
            case "PASSWORD":
                password = None if cursor.take_word("NULL") else cursor.string()
            case "ACCOUNT" | "PROFILE" as word:
                raise NotSupportedError(f"{word} of a user is not supported", position=at)
            case word:
                raise NotSupportedError(f"user option {word} is not supported", position=at)
    return UserStatement(create, name, password, external, admin, if_not_exists, position)


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


# -- ALTER, DROP and the rest ----------------------------------------------------------------------
def _alter(cursor: Cursor) -> Statement:
    if cursor.take_word("TABLE"):
        return parse_alter_table(cursor)
    if cursor.take_any("USER", "ROLE"):
        return _user(cursor, create=False)
    kind = cursor.take_any("SEQUENCE", "INDEX", "VIEW")
    if not kind:
        raise _refuse(cursor, "ALTER")
    cursor.take_word("IF", "EXISTS")
    name = parse_name(cursor)
    if cursor.take_word("RENAME"):
        cursor.need_word("TO")
        return RenameStatement(kind, name, cursor.name())
    if kind == "SEQUENCE":
        return AlterSequenceStatement(name, _sequence_options(cursor))
    raise NotSupportedError(
        f"ALTER {kind} can only RENAME here", hint="drop and create it", position=cursor.position
    )


def _drop(cursor: Cursor) -> DropStatement:
    public = cursor.take_word("PUBLIC")
    if cursor.at_word("MATERIALIZED"):
        raise NotSupportedError("materialized views are not supported", position=cursor.position)
    kind = cursor.take_any("TABLE", "INDEX", "SEQUENCE", "VIEW", "SYNONYM", "USER", "ROLE")
    if not kind:
        raise _refuse(cursor, "DROP")
    cursor.take_word("CONCURRENTLY")
    if_exists = cursor.take_word("IF", "EXISTS")
    names = [parse_name(cursor)]
    while cursor.take_op(","):
        names.append(parse_name(cursor))
    cascade = cursor.take_any("CASCADE", "RESTRICT") == "CASCADE"
    if cascade:
        cursor.take_word("CONSTRAINTS")
    cursor.take_word("PURGE")
    kind = "USER" if kind == "ROLE" else kind
    return DropStatement(kind, tuple(names), if_exists, cascade, public)


def _truncate(cursor: Cursor) -> TruncateStatement:
    cursor.take_word("TABLE")
    cursor.take_word("ONLY")
    names = [parse_name(cursor)]
    while cursor.take_op(","):
        names.append(parse_name(cursor))
    if cursor.at_word("RESTART"):
        raise NotSupportedError("RESTART IDENTITY is not supported", position=cursor.position)
    cursor.take_word("CONTINUE", "IDENTITY")
    cascade = cursor.take_any("CASCADE", "RESTRICT") == "CASCADE"
    return TruncateStatement(tuple(names), cascade)


def _comment(cursor: Cursor) -> CommentStatement:
    cursor.need_word("ON")
    kind = cursor.take_any("TABLE", "COLUMN", "VIEW")
    if not kind:
        raise NotSupportedError(
            f"COMMENT ON {cursor.token.value} is not supported", position=cursor.position
        )
    name = parse_name(cursor)
    cursor.need_word("IS")
    text = "" if cursor.take_word("NULL") else cursor.string()
    return CommentStatement(kind, name, text)


def _rename(cursor: Cursor) -> RenameStatement:
    name = parse_name(cursor)
    cursor.need_word("TO")
    return RenameStatement("", name, cursor.name())


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


def _grant(cursor: Cursor, *, grant: bool) -> GrantStatement:
    position = cursor.position
    if not grant:
        cursor.take_word("GRANT", "OPTION", "FOR")
    privileges = [_privilege(cursor)]
    while cursor.take_op(","):
        privileges.append(_privilege(cursor))
    on: tuple[Name, ...] | None = None
    if cursor.take_word("ON"):
        if cursor.take_any("ALL", "DATABASE", "SCHEMA", "FUNCTION", "LANGUAGE"):
            raise NotSupportedError(
                "GRANT here takes tables, views and sequences one by one", position=position
            )
        cursor.take_any("TABLE", "SEQUENCE")
        names = [parse_name(cursor)]
        while cursor.take_op(","):
            names.append(parse_name(cursor))
        on = tuple(names)
    cursor.need_word("TO" if grant else "FROM")
    grantees = [cursor.name()]
    while cursor.take_op(","):
        grantees.append(cursor.name())
    if grant and cursor.at_word("WITH"):
        raise NotSupportedError("WITH GRANT OPTION is not supported", position=cursor.position)
    cursor.take_any("CASCADE", "RESTRICT")
    _check_privileges(privileges, on is not None, position)
    cleaned = tuple("ALL" if p == "ALL PRIVILEGES" else p for p in privileges)
    return GrantStatement(grant, cleaned, on, tuple(grantees), position)


def _check_privileges(privileges: list[str], on_object: bool, position: int) -> None:
    for privilege in privileges:
        if privilege in ("ALL", "ALL PRIVILEGES"):
            continue
        known = OBJECT_PRIVILEGES | _PG_OBJECT_PRIVILEGES if on_object else SYSTEM_PRIVILEGES
        if privilege not in known:
            kind = "an object" if on_object else "a system"
            raise NotSupportedError(f"{privilege} is not {kind} privilege here", position=position)
