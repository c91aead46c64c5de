"""DDL text → statement: a recursive-descent parser on the token list. Pure.

Takes TimesTen's spellings and those PostgreSQL's tools send. What is refused is refused by name.
"""

from __future__ import annotations

import re

from data.sql.ddl_access_parse import parse_grant, parse_profile, parse_user
from data.sql.ddl_ast import (
    AlterSequenceStatement,
    CommentStatement,
    CreateIndexStatement,
    CreateSequenceStatement,
    CreateSynonymStatement,
    CreateViewStatement,
    DropStatement,
    ProfileStatement,
    RenameStatement,
    Statement,
    TruncateStatement,
)
from data.sql.ddl_lexer import Cursor, TokenKind
from data.sql.ddl_materialized import parse_materialized
from data.sql.ddl_sequences import parse_sequence_options
from data.sql.ddl_table_parse import parse_alter_table, parse_create_table, parse_name
from data.sql.ddl_temporary import take_temporary
from protocol.errors import NotSupportedError

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
    "CACHE": "cache groups are not part of a grid",
    "SYNCHRONOUS": "cache groups are not part of a grid",
    "HYBRID": "cache groups are not part of a grid",
    "CLUSTER": "",
    "OUTLINE": "",
    "JAVA": "",
    "DIMENSION": "",
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


_CACHE_HINT = "cache groups are not part of a grid"
_REFUSED_PHRASES: dict[tuple[str, ...], str] = {
    ("DATABASE", "LINK"): "a grid holds its data itself",
    ("CACHE", "GROUP"): _CACHE_HINT,
    ("READONLY", "CACHE", "GROUP"): _CACHE_HINT,
    ("USERMANAGED", "CACHE", "GROUP"): _CACHE_HINT,
    ("ASYNCHRONOUS", "WRITETHROUGH", "CACHE", "GROUP"): _CACHE_HINT,
    ("SYNCHRONOUS", "WRITETHROUGH", "CACHE", "GROUP"): _CACHE_HINT,
    ("DYNAMIC", "READONLY", "CACHE", "GROUP"): _CACHE_HINT,
    ("HYBRID", "READONLY", "CACHE", "GROUP"): _CACHE_HINT,
    ("ACTIVE", "STANDBY", "PAIR"): "replication schemes are replaced by K-safety",
    ("PACKAGE", "BODY"): "",
    ("TYPE", "BODY"): "",
}


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
            statement = parse_grant(cursor, grant=True)
        case "REVOKE":
            statement = parse_grant(cursor, grant=False)
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
    for words, why in _REFUSED_PHRASES.items():
        if cursor.at_word(*words):
            word, hint = " ".join(words), why
            break
    return NotSupportedError(f"{verb} {word} is not supported", hint=hint, position=cursor.position)


# -- CREATE ----------------------------------------------------------------------------------------
def _create(cursor: Cursor) -> Statement:
    replace = cursor.take_word("OR", "REPLACE")
    at = cursor.position
    cursor.take_any("FORCE", "NOFORCE", "EDITIONABLE", "NONEDITIONABLE")
    if cursor.take_any("USER", "ROLE"):
        return parse_user(cursor, create=True)
    if cursor.take_word("PROFILE"):
        return parse_profile(cursor, "CREATE")
    if take_temporary(cursor):
        cursor.need_word("TABLE")
        return parse_create_table(cursor, temporary=True)
    cursor.take_word("UNLOGGED")
    if cursor.take_word("TABLE"):
        return parse_create_table(cursor)
    if cursor.take_word("VIEW"):
        return _view(cursor, replace)
    if cursor.at_word("RECURSIVE", "VIEW"):
        raise NotSupportedError("recursive views are not supported", position=at)
    if cursor.take_word("MATERIALIZED", "VIEW"):
        return parse_materialized(cursor)
    if cursor.take_word("SEQUENCE"):
        if_not_exists = cursor.take_word("IF", "NOT", "EXISTS")
        name = parse_name(cursor)
        return CreateSequenceStatement(name, parse_sequence_options(cursor), if_not_exists)
    if cursor.take_word("PUBLIC", "SYNONYM"):
        return _synonym(cursor, replace, public=True)
    if cursor.take_word("SYNONYM"):
        return _synonym(cursor, replace, public=False)
    if cursor.at_word("BITMAP"):
        raise NotSupportedError("bitmap indexes are not supported", position=at)
    if cursor.token.value in ("UNIQUE", "HASH", "GLOBAL", "LOCAL", "INDEX"):
        return _index(cursor)
    raise _refuse(cursor, "CREATE")


def _view(cursor: Cursor, replace: bool) -> CreateViewStatement:
    name = parse_name(cursor)
    columns = cursor.names_in_parens() if cursor.at_op("(") else ()
    cursor.need_word("AS")
    position = cursor.position
    query = cursor.rest()
    if not query:
        raise cursor.error("a query")
    return CreateViewStatement(name, columns, query, position, replace)


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


# -- ALTER, DROP and the rest ----------------------------------------------------------------------
def _alter(cursor: Cursor) -> Statement:
    if cursor.take_word("TABLE"):
        return parse_alter_table(cursor)
    if cursor.take_any("USER", "ROLE"):
        return parse_user(cursor, create=False)
    if cursor.take_word("PROFILE"):
        return parse_profile(cursor, "ALTER")
    kind = cursor.take_any("SEQUENCE", "INDEX", "VIEW")
    if not kind:
        raise _refuse(cursor, "ALTER")
    cursor.take_word("IF", "EXISTS")
    name = parse_name(cursor)
    if cursor.take_word("RENAME"):
        cursor.need_word("TO")
        return RenameStatement(kind, name, cursor.name())
    if kind == "SEQUENCE":
        return AlterSequenceStatement(name, parse_sequence_options(cursor))
    raise NotSupportedError(
        f"ALTER {kind} can only RENAME here", hint="drop and create it", position=cursor.position
    )


def _drop(cursor: Cursor) -> DropStatement | ProfileStatement:
    if cursor.take_word("PROFILE"):
        return parse_profile(cursor, "DROP")
    public = cursor.take_word("PUBLIC")
    materialized = cursor.take_word("MATERIALIZED", "VIEW")
    kind = "MATERIALIZED VIEW" if materialized else ""
    kind = kind or cursor.take_any("TABLE", "INDEX", "SEQUENCE", "VIEW", "SYNONYM", "USER", "ROLE")
    if not kind:
        raise _refuse(cursor, "DROP")
    cursor.take_word("CONCURRENTLY")
    if_exists = cursor.take_word("IF", "EXISTS")
    names = [parse_name(cursor)]
    while cursor.take_op(","):
        names.append(parse_name(cursor))
    of_table = parse_name(cursor) if kind == "INDEX" and cursor.take_word("FROM") else None
    cascade = cursor.take_any("CASCADE", "RESTRICT") == "CASCADE"
    if cascade:
        cursor.take_word("CONSTRAINTS")
    cursor.take_word("PURGE")
    kind = "USER" if kind == "ROLE" else kind
    return DropStatement(kind, tuple(names), if_exists, cascade, public, of_table)


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
    kind = cursor.take_any("TABLE", "COLUMN", "VIEW", "CONSTRAINT")
    if not kind:
        raise NotSupportedError(
            f"COMMENT ON {cursor.token.value} is not supported", position=cursor.position
        )
    constraint = ""
    if kind == "CONSTRAINT":
        constraint = cursor.name()
        cursor.need_word("ON")
    name = parse_name(cursor)
    cursor.need_word("IS")
    text = "" if cursor.take_word("NULL") else cursor.string()
    return CommentStatement(kind, name, text, constraint)


def _rename(cursor: Cursor) -> RenameStatement:
    name = parse_name(cursor)
    cursor.need_word("TO")
    return RenameStatement("", name, cursor.name())
