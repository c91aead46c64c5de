"""The parser of CREATE TABLE and ALTER TABLE; see ddl_parse.py. Pure."""

from __future__ import annotations

from dataclasses import replace

from data.catalog.objects import Distribution
from data.sql.ddl_ast import (
    AlterAction,
    AlterTableStatement,
    ColumnDef,
    ConstraintDef,
    CreateTableStatement,
    DistributionDef,
    Name,
)
from data.sql.ddl_lexer import Cursor, TokenKind
from data.sql.ddl_sequences import parse_identity, take_serial
from data.sql.scope import PSEUDO_COLUMNS
from data.sql.type_names import TypeArg, type_from_name
from data.sql.words import NILADIC
from protocol.errors import DefinitionError, NotSupportedError, SqlSyntaxError
from protocol.sqltypes import SqlType

_CONSTRAINT_WORDS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE"})
_LONG_NAMES: tuple[tuple[str, ...], ...] = (
    ("DOUBLE", "PRECISION"),
    ("CHARACTER", "VARYING"),
    ("CHAR", "VARYING"),
    ("NATIONAL", "CHARACTER"),
    ("LONG", "RAW"),
)


def parse_name(cursor: Cursor) -> Name:
    """A perhaps qualified name."""
    position = cursor.position
    return Name(cursor.name_parts(), position)


def parse_type(cursor: Cursor) -> SqlType:
    """A type name with its arguments. Raises what type_from_name raises, SqlSyntaxError."""
    position = cursor.position
    name = ""
    for words in _LONG_NAMES:
        if cursor.take_word(*words):
            name = " ".join(words)
    if not name:
        parts = cursor.name_parts()
        name = parts[-1].upper()  # pg_catalog.int4, "bpchar"
    args: list[TypeArg] = []
    if cursor.take_op("("):
        while not cursor.take_op(")"):
            args.append(_type_argument(cursor))
            if not cursor.at_op(")"):
                cursor.take_op(",")
    if name in ("TIMESTAMP", "TIME"):
        if cursor.take_word("WITH", "TIME", "ZONE"):
            name += " WITH TIME ZONE"
        elif cursor.take_word("WITH", "LOCAL", "TIME", "ZONE"):
            name += " WITH LOCAL TIME ZONE"
        else:
            cursor.take_word("WITHOUT", "TIME", "ZONE")
    elif name == "INTERVAL":
        name = _interval(cursor)
    if cursor.at_op("["):
        raise NotSupportedError("array types are not supported in tables", position=position)
    return type_from_name(name, tuple(args), position)


def _type_argument(cursor: Cursor) -> TypeArg:
    if cursor.take_op("*"):
        return "*"
    word = cursor.take_any("BYTE", "CHAR")
    return word or cursor.integer()


def _interval(cursor: Cursor) -> str:
    for first, second in (("DAY", "SECOND"), ("YEAR", "MONTH")):
        if cursor.take_word(first):
            if cursor.at_op("("):
                cursor.skip_parens()
            cursor.need_word("TO", second)
            if cursor.at_op("("):
                cursor.skip_parens()
            return f"INTERVAL {first} TO {second}"
    return "INTERVAL"


# -- constraints -----------------------------------------------------------------------------------
def _is_constraint(cursor: Cursor) -> bool:
    return cursor.token.kind is TokenKind.WORD and cursor.token.value in _CONSTRAINT_WORDS


def _references(cursor: Cursor, made: ConstraintDef) -> ConstraintDef:
    """REFERENCES parent [(columns)] [ON DELETE …], the word REFERENCES taken already."""
    parent = parse_name(cursor)
    columns = cursor.names_in_parens() if cursor.at_op("(") else ()
    on_delete = "restrict"
    while True:
        position = cursor.position
        if cursor.take_word("ON", "DELETE"):
            if cursor.take_word("CASCADE"):
                on_delete = "cascade"
            elif cursor.take_word("SET", "NULL"):
                on_delete = "set null"
            elif cursor.take_word("SET", "DEFAULT"):
                raise NotSupportedError("ON DELETE SET DEFAULT is not supported", position=position)
            elif not (cursor.take_word("NO", "ACTION") or cursor.take_word("RESTRICT")):
                raise cursor.error("CASCADE, SET NULL, RESTRICT or NO ACTION")
        elif cursor.take_word("ON", "UPDATE"):
            if not (cursor.take_word("NO", "ACTION") or cursor.take_word("RESTRICT")):
                raise NotSupportedError("ON UPDATE actions are not supported", position=position)
        elif cursor.take_word("MATCH"):
            if cursor.name() != "SIMPLE":
                raise NotSupportedError("MATCH FULL is not supported", position=position)
        elif not _constraint_state(cursor):
            break
    return replace(made, kind="foreign", parent=parent, parent_columns=columns, on_delete=on_delete)


def _constraint_state(cursor: Cursor) -> bool:
    """NOT DEFERRABLE, INITIALLY IMMEDIATE, ENABLE, VALIDATE: as it is anyway."""
    position = cursor.position
    if cursor.at_word("DEFERRABLE") or cursor.at_word("INITIALLY", "DEFERRED"):
        raise NotSupportedError("deferrable constraints are not supported", position=position)
    return (
        cursor.take_word("NOT", "DEFERRABLE")
        or cursor.take_word("INITIALLY", "IMMEDIATE")
        or cursor.take_word("ENABLE")
        or cursor.take_word("VALIDATE")
        or cursor.take_word("NOT", "VALID")
    )


def _using_index(cursor: Cursor, made: ConstraintDef) -> ConstraintDef:
    """USING INDEX [GLOBAL | LOCAL] [name | (…)], USE HASH INDEX PAGES = n, WITH (…)."""
    while True:
        if cursor.take_word("USING", "INDEX"):
            if cursor.take_word("TABLESPACE"):
                cursor.name()
                continue
            where = cursor.take_any("GLOBAL", "LOCAL")
            if where:
                made = replace(made, is_global=where == "GLOBAL")
            elif cursor.token.kind in (TokenKind.WORD, TokenKind.QUOTED):
                made = replace(made, using_index=cursor.name())
        elif cursor.take_word("USE", "HASH", "INDEX"):
            cursor.take_word("PAGES")
            cursor.take_op("=")
            if not cursor.take_word("CURRENT"):
                cursor.integer()
        elif cursor.take_word("WITH"):
            cursor.skip_parens()
        elif not _constraint_state(cursor):
            return made


def parse_table_constraint(cursor: Cursor) -> ConstraintDef:
    """[CONSTRAINT name] PRIMARY KEY (…) | UNIQUE (…) | FOREIGN KEY (…) REFERENCES … | CHECK (…)"""
    position = cursor.position
    name = cursor.name() if cursor.take_word("CONSTRAINT") else ""
    made = ConstraintDef("", name, position=position)
    if cursor.take_word("PRIMARY", "KEY"):
        columns = cursor.names_in_parens() if cursor.at_op("(") else ()
        return _using_index(cursor, replace(made, kind="primary", columns=columns))
    if cursor.take_word("UNIQUE"):
        columns = cursor.names_in_parens() if cursor.at_op("(") else ()
        return _using_index(cursor, replace(made, kind="unique", columns=columns))
    if cursor.take_word("FOREIGN", "KEY"):
        columns = cursor.names_in_parens()
        cursor.need_word("REFERENCES")
        return _references(cursor, replace(made, columns=columns))
    if cursor.take_word("CHECK"):
        check = replace(made, kind="check", check_sql=cursor.skip_parens())
        while _constraint_state(cursor):
            pass
        return check
    if cursor.at_word("EXCLUDE"):
        raise NotSupportedError("EXCLUDE constraints are not supported", position=position)
    raise cursor.error("a constraint")


# -- columns ---------------------------------------------------------------------------------------
_END_OF_DEFAULT = frozenset(
    {
        "NOT",
        "NULL",
        "CONSTRAINT",
        "PRIMARY",
        "UNIQUE",
        "REFERENCES",
        "CHECK",
        "INLINE",
        "GENERATED",
        "COLLATE",
        "DEFAULT",
    }
)


def _default(cursor: Cursor) -> str:
    """The DEFAULT expression as text: ends at a comma, a closing bracket or the next clause."""
    if cursor.at_word("ON", "NULL"):
        raise NotSupportedError("DEFAULT ON NULL is not supported", position=cursor.position)
    start = cursor.at
    while cursor.token.kind is not TokenKind.END:
        if cursor.at_op("("):
            cursor.skip_parens()
            continue
        if cursor.at_op(",") or cursor.at_op(")") or cursor.at_op(";"):
            break
        first = cursor.at == start
        word = cursor.token.value if cursor.token.kind is TokenKind.WORD else ""
        if word in _END_OF_DEFAULT and not (first and word == "NULL"):
            break
        cursor.next()
    if cursor.at == start:
        raise cursor.error("an expression")
    return cursor.slice_from(start)


def column_name(cursor: Cursor) -> str:
    """Of a new column. Raises SqlSyntaxError for one that could not be asked for."""
    position, quoted = cursor.position, cursor.token.kind is TokenKind.QUOTED
    name = cursor.name()
    if name in NILADIC and not quoted:
        raise SqlSyntaxError(
            f"{name} is a reserved word", hint=f'Quote it, always: "{name}".', position=position
        )
    if name in PSEUDO_COLUMNS:
        raise SqlSyntaxError(f"{name} is a pseudo-column of every table", position=position)
    return name


def parse_column(cursor: Cursor) -> tuple[ColumnDef, list[ConstraintDef]]:
    """name type [DEFAULT …] [[NOT] NULL] [PRIMARY KEY] [UNIQUE] [REFERENCES …] [CHECK (…)] …"""
    position = cursor.position
    name = column_name(cursor)
    if cursor.at_op(",") or cursor.at_op(")"):
        return ColumnDef(name, None, position=position), []  # CREATE TABLE t (a, b) AS SELECT
    if _is_column_clause(cursor):
        return _column_clauses(cursor, ColumnDef(name, None, position=position))
    serial = take_serial(cursor)
    column = ColumnDef(name, serial or parse_type(cursor), position=position)
    if serial is not None:
        column = replace(column, nullable=False, identity="default")
    return _column_clauses(cursor, column)


def _is_column_clause(cursor: Cursor) -> bool:
    """A column without a type, as CREATE TABLE … AS SELECT takes: does a clause of it follow?"""
    words: list[tuple[str, ...]] = [("NOT", "NULL"), ("PRIMARY", "KEY")]
    words += [(w,) for w in ("NULL", "UNIQUE", "DEFAULT", "CONSTRAINT", "CHECK", "REFERENCES")]
    return any(cursor.at_word(*some) for some in words)


def _column_clauses(cursor: Cursor, column: ColumnDef) -> tuple[ColumnDef, list[ConstraintDef]]:
    """What follows name and type."""
    name = column.name
    constraints: list[ConstraintDef] = []
    while True:
        at = cursor.position
        constraint_name = cursor.name() if cursor.take_word("CONSTRAINT") else ""
        made = ConstraintDef("", constraint_name, (name,), position=at)
        if cursor.take_word("NOT", "NULL"):
            column = replace(column, nullable=False)
        elif cursor.take_word("NULL"):
            column = replace(column, nullable=True)
        elif cursor.take_word("DEFAULT"):
            column = replace(column, default_sql=_default(cursor))
        elif cursor.take_word("NOT", "INLINE"):
            column = replace(column, inline=False)
        elif cursor.take_word("INLINE"):
            column = replace(column, inline=True)
        elif cursor.take_word("PRIMARY", "KEY"):
            constraints.append(_using_index(cursor, replace(made, kind="primary")))
        elif cursor.take_word("UNIQUE"):
            constraints.append(_using_index(cursor, replace(made, kind="unique")))
        elif cursor.take_word("REFERENCES"):
            constraints.append(_references(cursor, made))
        elif cursor.take_word("CHECK"):
            check = cursor.skip_parens()
            constraints.append(replace(made, kind="check", columns=(name,), check_sql=check))
        elif cursor.at_word("GENERATED"):
            identity, options = parse_identity(cursor)
            column = replace(column, nullable=False, identity=identity, identity_options=options)
        elif cursor.take_word("COLLATE"):
            _collation(cursor)
        elif constraint_name:
            raise cursor.error("a constraint")
        elif not _constraint_state(cursor):
            return column, constraints


def _collation(cursor: Cursor) -> None:
    position = cursor.position
    name = cursor.name_parts()[-1]
    if name.upper() not in ("C", "POSIX", "DEFAULT", "BINARY"):
        raise NotSupportedError(f'collation "{name}" is not supported', position=position)


# -- CREATE TABLE ----------------------------------------------------------------------------------
def parse_distribution(cursor: Cursor) -> DistributionDef | None:
    """DISTRIBUTE BY HASH [(…)] | DISTRIBUTE BY REFERENCE [(name)] | DUPLICATE, None if none."""
    position = cursor.position
    if cursor.take_word("DUPLICATE"):
        return DistributionDef(Distribution.DUPLICATE, position=position)
    if not cursor.take_word("DISTRIBUTE", "BY"):
        return None
    if cursor.take_word("HASH"):
        columns = cursor.names_in_parens() if cursor.at_op("(") else ()
        return DistributionDef(Distribution.HASH, columns, position=position)
    cursor.need_word("REFERENCE")
    reference = ""
    if cursor.take_op("("):
        reference = cursor.name()
        cursor.need_op(")")
    return DistributionDef(Distribution.REFERENCE, (), reference, position)


def _table_elements(cursor: Cursor) -> tuple[list[ColumnDef], list[ConstraintDef]]:
    columns: list[ColumnDef] = []
    constraints: list[ConstraintDef] = []
    cursor.need_op("(")
    while True:
        if cursor.at_word("LIKE"):
            raise NotSupportedError(
                "LIKE in CREATE TABLE is not supported", position=cursor.position
            )
        if _is_constraint(cursor):
            constraints.append(parse_table_constraint(cursor))
        else:
            column, of_column = parse_column(cursor)
            columns.append(column)
            constraints += of_column
        if not cursor.take_op(","):
            break
    cursor.need_op(")")
    return columns, constraints


def parse_create_table(cursor: Cursor, *, temporary: bool = False) -> CreateTableStatement:
    """After CREATE [GLOBAL TEMPORARY] TABLE."""
    if_not_exists = cursor.take_word("IF", "NOT", "EXISTS")
    name = parse_name(cursor)
    columns: list[ColumnDef] = []
    constraints: list[ConstraintDef] = []
    if cursor.at_op("("):
        columns, constraints = _table_elements(cursor)
    distribution: DistributionDef | None = None
    hash_columns: tuple[str, ...] = ()
    query, query_position, with_data = "", 0, True
    on_commit = ""
    while not query:
        position = cursor.position
        if temporary and not on_commit:
            on_commit = _on_commit(cursor)
        found = parse_distribution(cursor)
        if found is not None:
            if distribution is not None:
                raise DefinitionError("two distribution clauses", position=position)
            distribution = found
        elif cursor.take_word("UNIQUE", "HASH", "ON"):
            hash_columns = cursor.names_in_parens()
            cursor.need_word("PAGES")
            cursor.need_op("=")
            if not cursor.take_word("CURRENT"):
                cursor.integer()
        elif cursor.take_word("AS"):
            query_position = cursor.position
            query, with_data = _query(cursor)
        elif not _table_tail(cursor):
            break
    if not columns and not query:
        raise cursor.error("columns")
    return CreateTableStatement(
        name, tuple(columns), tuple(constraints), distribution, if_not_exists, hash_columns,
        query, query_position, with_data, temporary, on_commit,
    )  # fmt: skip


def _on_commit(cursor: Cursor) -> str:
    """ON COMMIT DELETE | PRESERVE ROWS; "" if it does not stand ahead."""
    if not cursor.take_word("ON", "COMMIT"):
        return ""
    what = cursor.take_any("DELETE", "PRESERVE")
    if not what:
        raise cursor.error("DELETE ROWS or PRESERVE ROWS")
    cursor.need_word("ROWS")
    return what.lower()


def _query(cursor: Cursor) -> tuple[str, bool]:
    text = cursor.rest()
    upper = " ".join(text.upper().split())
    if upper.endswith(" WITH NO DATA"):
        return text[: text.upper().rindex("WITH")], False
    if upper.endswith(" WITH DATA"):
        return text[: text.upper().rindex("WITH")], True
    return text, True


def _table_tail(cursor: Cursor) -> bool:
    """Clauses without effect here (WITH (fillfactor=…), TABLESPACE); others refused by name."""
    position = cursor.position
    if cursor.take_word("WITHOUT", "OIDS"):
        return True
    if cursor.take_word("WITH"):
        cursor.skip_parens()
        return True
    if cursor.take_word("TABLESPACE"):
        cursor.name()
        return True
    if cursor.at_word("AGING"):
        raise NotSupportedError("AGING is not supported in a grid", position=position)
    if cursor.at_word("COMPRESS"):
        raise NotSupportedError("column compression is not supported", position=position)
    if cursor.at_word("PARTITION"):
        raise NotSupportedError(
            "PARTITION BY is not supported", hint="use DISTRIBUTE BY", position=position
        )
    if cursor.at_word("INHERITS"):
        raise NotSupportedError("INHERITS is not supported", position=position)
    if cursor.at_word("ON", "COMMIT"):
        message = "ON COMMIT is a clause of CREATE GLOBAL TEMPORARY TABLE"
        raise DefinitionError(message, position=position)
    return False


# -- ALTER TABLE -----------------------------------------------------------------------------------
def parse_alter_table(cursor: Cursor) -> AlterTableStatement:
    """After ALTER TABLE."""
    if_exists = cursor.take_word("IF", "EXISTS")
    cursor.take_word("ONLY")
    name = parse_name(cursor)
    actions: list[AlterAction] = []
    while True:
        actions += _alter_actions(cursor)
        if not cursor.take_op(","):
            break
    return AlterTableStatement(name, tuple(actions), if_exists)


def _alter_actions(cursor: Cursor) -> list[AlterAction]:
    position = cursor.position
    distribution = parse_distribution(cursor)
    if distribution is not None:
        return [AlterAction("distribute", distribution=distribution, position=position)]
    match cursor.take_any("ADD", "DROP", "ALTER", "MODIFY", "RENAME", "SET", "RESET", "OWNER"):
        case "ADD":
            return _alter_add(cursor)
        case "DROP":
            return _alter_drop(cursor)
        case "ALTER":
            _refuse_aging(cursor)
            cursor.take_word("COLUMN")
            return [_alter_column(cursor)]
        case "MODIFY":
            return _alter_modify(cursor)
        case "RENAME":
            return [_alter_rename(cursor)]
        case "SET" | "RESET" if cursor.at_op("("):
            cursor.skip_parens()
            return [AlterAction("nothing")]
        case "SET" if cursor.take_word("PAGES"):
            cursor.take_op("=")
            if not cursor.take_word("CURRENT"):
                cursor.integer()
            return [AlterAction("nothing")]
        case "SET" | "RESET" | "OWNER":
            raise NotSupportedError("this ALTER TABLE action is not supported", position=position)
    if cursor.take_word("USE"):
        return [_use_index(cursor, position)]
    for word in ("ENABLE", "DISABLE", "CLUSTER", "INHERIT", "ATTACH", "VALIDATE", "REPLICA"):
        if cursor.at_word(word):
            raise NotSupportedError(f"ALTER TABLE {word} is not supported", position=position)
    raise cursor.error("an action of ALTER TABLE")


def _use_index(cursor: Cursor, position: int) -> AlterAction:
    """USE {HASH | RANGE} INDEX [PAGES = n | CURRENT]: how the primary key is shown."""
    kind = cursor.take_any("HASH", "RANGE")
    cursor.need_word("INDEX")
    if cursor.take_word("PAGES"):
        cursor.take_op("=")
        if not cursor.take_word("CURRENT"):
            cursor.integer()
    return AlterAction("use_index", flag=kind == "HASH", position=position)


def _refuse_aging(cursor: Cursor) -> None:
    if cursor.at_word("AGING"):
        raise NotSupportedError("AGING is not supported in a grid", position=cursor.position)


def _alter_add(cursor: Cursor) -> list[AlterAction]:
    position = cursor.position
    _refuse_aging(cursor)
    if cursor.at_op("("):  # TimesTen: ADD (a NUMBER, b DATE)
        columns, constraints = _table_elements(cursor)
        actions = [AlterAction("add_column", column=c, position=c.position) for c in columns]
        if constraints:
            more = tuple(constraints)
            actions.append(AlterAction("add_constraint", constraints=more, position=position))
        return actions
    if _is_constraint(cursor):
        made = (parse_table_constraint(cursor),)
        return [AlterAction("add_constraint", constraints=made, position=position)]
    cursor.take_word("COLUMN")
    if_not_exists = cursor.take_word("IF", "NOT", "EXISTS")
    column, of_column = parse_column(cursor)
    action = AlterAction("add_column", column=column, flag=if_not_exists, position=position)
    if not of_column:
        return [action]
    constraints_action = AlterAction(
        "add_constraint", constraints=tuple(of_column), flag=if_not_exists, position=position
    )
    return [action, constraints_action]


def _alter_drop(cursor: Cursor) -> list[AlterAction]:
    position = cursor.position
    _refuse_aging(cursor)
    if cursor.take_word("PRIMARY", "KEY"):
        return [AlterAction("drop_primary", position=position)]
    if cursor.at_word("UNIQUE"):
        message = "ALTER TABLE … DROP UNIQUE is not supported"
        raise NotSupportedError(message, hint="DROP CONSTRAINT name", position=position)
    if cursor.at_op("("):
        names = cursor.names_in_parens()
        return [AlterAction("drop_column", names=(n,), position=position) for n in names]
    kind = "drop_constraint" if cursor.take_word("CONSTRAINT") else "drop_column"
    if kind == "drop_column":
        cursor.take_word("COLUMN")
    if_exists = cursor.take_word("IF", "EXISTS")
    name = cursor.name()
    cascade = cursor.take_any("CASCADE", "RESTRICT") == "CASCADE"
    cursor.take_word("CONSTRAINTS")
    return [AlterAction(kind, names=(name,), flag=if_exists, cascade=cascade, position=position)]


def _alter_column(cursor: Cursor) -> AlterAction:
    position = cursor.position
    name = (cursor.name(),)
    if cursor.take_word("SET", "DEFAULT"):
        return AlterAction("set_default", names=name, text=_default(cursor), position=position)
    if cursor.take_word("DROP", "DEFAULT"):
        return AlterAction("set_default", names=name, position=position)
    if cursor.take_word("SET", "NOT", "NULL"):
        return AlterAction("set_nullable", names=name, flag=False, position=position)
    if cursor.take_word("DROP", "NOT", "NULL"):
        return AlterAction("set_nullable", names=name, flag=True, position=position)
    if cursor.take_word("SET", "DATA", "TYPE") or cursor.take_word("TYPE"):
        column = ColumnDef(name[0], parse_type(cursor), position=position)
        using = _default(cursor) if cursor.take_word("USING") else ""
        return AlterAction("set_type", column=column, names=name, text=using, position=position)
    raise cursor.error("SET or DROP")


def _alter_modify(cursor: Cursor) -> list[AlterAction]:
    """MODIFY (column [type] [DEFAULT …] [[NOT] NULL], …)"""
    in_parens = cursor.take_op("(")
    actions: list[AlterAction] = []
    while True:
        position = cursor.position
        name = cursor.name()
        names = (name,)
        if not any(cursor.at_word(*w) for w in (("DEFAULT",), ("NOT", "NULL"), ("NULL",))):
            column = ColumnDef(name, parse_type(cursor), position=position)
            actions.append(AlterAction("set_type", column=column, names=names, position=position))
        while True:
            if cursor.take_word("DEFAULT"):
                text = _default(cursor)
                text = "" if text.upper() == "NULL" else text
                actions.append(
                    AlterAction("set_default", names=names, text=text, position=position)
                )
            elif cursor.take_word("NOT", "NULL"):
                actions.append(AlterAction("set_nullable", names=names, position=position))
            elif cursor.take_word("NULL"):
                actions.append(
                    AlterAction("set_nullable", names=names, flag=True, position=position)
                )
            else:
                break
        if not (in_parens and cursor.take_op(",")):
            break
    if in_parens:
        cursor.need_op(")")
    return actions


def _alter_rename(cursor: Cursor) -> AlterAction:
    position = cursor.position
    if cursor.take_word("TO"):
        return AlterAction("rename", names=(cursor.name(),), position=position)
    kind = "rename_constraint" if cursor.take_word("CONSTRAINT") else "rename_column"
    cursor.take_word("COLUMN")
    old = cursor.name()
    cursor.need_word("TO")
    new = column_name(cursor) if kind == "rename_column" else cursor.name()
    return AlterAction(kind, names=(old, new), position=position)
