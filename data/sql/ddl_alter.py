"""ALTER TABLE: one action after the other, each on the table the one before left. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from data.catalog.catalog import (
    CreateIndex,
    DropIndex,
    RebuildTable,
    RenameTable,
    names_of,
    shown,
)
from data.catalog.element_ddl import full_row_columns, global_index_table, quoted
from data.catalog.materialized import views_of
from data.catalog.objects import Check, Column, Distribution, ForeignKey, Index, Table
from data.sql.ddl_ast import AlterAction, AlterTableStatement, ConstraintDef
from data.sql.ddl_build import (
    Builder,
    check_name,
    drop_copies,
    refuse_detail,
    refuse_temporary,
    refuse_view,
    sql_name,
)
from data.sql.ddl_distribute import plan_distribute
from data.sql.ddl_lexer import TokenKind, tokenize
from data.sql.ddl_retype import plan_retype, widens
from data.sql.ddl_tables import (
    COLUMNS_MAX,
    Names,
    add_check,
    add_foreign_key,
    add_key,
    build_index,
    check_default,
    check_references,
    foreign_key_index,
    make_column,
    need_columns,
    needs_global,
    rows_of,
    with_columns,
)
from protocol.errors import (
    CheckViolationError,
    DefinitionError,
    DependentObjectsError,
    DuplicateObjectError,
    NotNullError,
    NotSupportedError,
    UnknownColumnError,
    UnknownObjectError,
    UnknownTableError,
)
from protocol.sqltypes import StorageValue

_Step = Callable[[Builder, Table, AlterAction], Table]


def plan_alter_table(builder: Builder, statement: AlterTableStatement) -> None:
    """ALTER TABLE. Raises what its actions raise."""
    try:
        table = builder.table(statement.name)
    except UnknownTableError:
        if not statement.if_exists:
            raise
        text = shown(statement.name.parts[-1])
        builder.notice(f'relation "{text}" does not exist, skipping')
        return
    if builder.user != table.schema and not builder.catalog.has_privilege(
        builder.user, table, "ALTER"
    ):
        builder.need("ALTER ANY TABLE", table.schema, statement.name.position)
    refuse_view(table, "ALTER TABLE of", statement.name)
    refuse_temporary(table, "ALTER TABLE of", statement.name.position)
    builder.lock(table.id)
    drop_copies(builder, table)
    for action in statement.actions:
        after = _STEPS[action.kind](builder, table, action)
        if len(statement.actions) > 1:
            builder.online = None
        if after is not table:
            builder.put(after)
            table = after


# -- helpers ---------------------------------------------------------------------------------------
def _rebuild(
    builder: Builder, before: Table, after: Table, values: Mapping[str, str] | None = None
) -> None:
    """Rows are copied into the new shape; `values`: SQLite expressions of columns that change."""
    texts = tuple((values or {}).get(n, quoted(n)) for n in full_row_columns(after))
    builder.act(RebuildTable(before, after, texts, builder.new_id()))


def _literal(value: StorageValue) -> str:
    """A storage value as SQLite text."""
    match value:
        case None:
            return "NULL"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case bytes():
            return f"x'{value.hex()}'"
        case float():
            return repr(value)
    return str(value)


def _need_column(table: Table, name: str, position: int) -> Column:
    return need_columns(table, (name,), position)[0]


def _with_column(table: Table, column: Column) -> Table:
    columns = tuple(column if c.name == column.name else c for c in table.columns)
    return replace(table, columns=columns)


def _words(text: str) -> set[str]:
    """The names and keywords in a condition."""
    kinds = (TokenKind.WORD, TokenKind.QUOTED)
    return {t.value for t in tokenize(text) if t.kind in kinds}


def _refuse_views(builder: Builder, table: Table, position: int) -> None:
    used = [v.name for v in builder.catalog.views() if table.id in v.depends_on]
    if used:
        raise DependentObjectsError(
            f'views depend on table "{shown(table.name)}"',
            detail=", ".join(shown(name) for name in used),
            hint="drop them first",
            position=position,
        )


# -- columns ---------------------------------------------------------------------------------------
def _add_column(builder: Builder, table: Table, action: AlterAction) -> Table:
    assert action.column is not None
    definition = action.column
    if table.column(definition.name) is not None:
        message = f'column "{shown(definition.name)}" of "{shown(table.name)}" already exists'
        if action.flag:
            builder.notice(message + ", skipping", sqlstate="42701")
            return table
        raise DuplicateObjectError(message, position=action.position)
    if definition.identity:
        message = "an identity column is made with its table"
        raise NotSupportedError(message, position=action.position)
    if len(table.columns) >= COLUMNS_MAX:
        message = f"a table has at most {COLUMNS_MAX} columns"
        raise DefinitionError(message, position=action.position)
    column = make_column(builder, definition)
    value: StorageValue = None
    if column.default_sql:
        if "NEXTVAL" in column.default_sql.upper():
            raise NotSupportedError(
                "a new column cannot take its values from a sequence", position=action.position
            )
        value = builder.hooks.constant(column.default_sql, column.type)
    if value is None and not column.nullable:
        builder.check(
            f"SELECT 1 FROM {sql_name(table.schema, table.name)} FETCH FIRST 1 ROWS ONLY",
            NotNullError(
                f'column "{shown(column.name)}" of "{shown(table.name)}" would contain NULLs',
                hint="give it a DEFAULT",
            ).about(names_of(table, column=column.name)),
        )
    after = replace(table, columns=(*table.columns, column))
    _rebuild(builder, table, after, {column.name: _literal(value)})
    return after


def _drop_column(builder: Builder, table: Table, action: AlterAction) -> Table:
    name = action.names[0]
    if table.column(name) is None:
        message = f'column "{shown(name)}" of "{shown(table.name)}" does not exist'
        if action.flag:
            builder.notice(message + ", skipping")
            return table
        raise UnknownColumnError(message, position=action.position)
    if len(table.columns) == 1:
        raise DefinitionError("a table needs a column", position=action.position)
    _refuse_views(builder, table, action.position)
    uses = _uses(builder, table, name)
    if uses and not (action.cascade and all(kind == "index" for kind, _ in uses)):
        listed = ", ".join(f"{kind} {shown(of)}" for kind, of in uses)
        raise DependentObjectsError(
            f'column "{shown(name)}" is used', detail=listed, position=action.position
        )
    for _kind, index in uses:
        drop = AlterAction("drop_constraint", names=(index,), position=action.position)
        table = _drop_index_of(builder, table, drop)
    after = replace(table, columns=tuple(c for c in table.columns if c.name != name))
    _rebuild(builder, table, after)
    return after


def _uses(builder: Builder, table: Table, name: str) -> list[tuple[str, str]]:
    """What a column is part of: (kind, name); "index" may be dropped with it."""
    uses: list[tuple[str, str]] = []
    if name in table.distribution_key:
        uses.append(("distribution of", table.name))
    for index in table.indexes:
        if name in index.columns or name in index.include:
            uses.append(("constraint" if index.constraint else "index", index.name))
    uses += (("foreign key", k.name) for k in table.foreign_keys if name in k.columns)
    for view in views_of(builder.catalog.tables(), table):
        if _in_view(view, name) and not view.system:
            uses.append(("materialized view", view.name))
    uses += (("check", c.name) for c in table.checks if name in _words(c.sql))
    for child in builder.catalog.children(table.id):
        for key in child.foreign_keys:
            if key.parent_id == table.id and name in key.parent_columns:
                uses.append(("foreign key", key.name))
    return uses


def _in_view(view: Table, name: str) -> bool:
    """Does a materialized view need this column of its table?"""
    made = view.materialized
    assert made is not None
    return name in made.columns or any(name in _words(t) for t in (*made.items, made.where))


def _refuse_in_views(builder: Builder, table: Table, name: str, position: int) -> None:
    if any(_in_view(v, name) for v in views_of(builder.catalog.tables(), table)):
        refuse_detail(builder, table, f'column "{shown(name)}" of', position)


def _set_default(builder: Builder, table: Table, action: AlterAction) -> Table:
    column = _need_column(table, action.names[0], action.position)
    check_default(builder, action.text, column.type, action.position)
    return _with_column(table, replace(column, default_sql=action.text))


def _set_nullable(builder: Builder, table: Table, action: AlterAction) -> Table:
    column = _need_column(table, action.names[0], action.position)
    if column.nullable == action.flag:
        return table
    if action.flag:
        reference = table.reference
        if column.name in table.primary_key or (reference and column.name in reference.columns):
            message = f'column "{shown(column.name)}" must stay NOT NULL'
            raise DefinitionError(message, position=action.position)
    else:
        _check_not_null(builder, table, column.name)
    after = _with_column(table, replace(column, nullable=action.flag))
    _rebuild(builder, table, after)
    return after


def _check_not_null(builder: Builder, table: Table, name: str) -> None:
    builder.check(
        f"SELECT 1 FROM {rows_of(builder, table)} WHERE {sql_name(name)} IS NULL "
        "FETCH FIRST 1 ROWS ONLY",
        NotNullError(f'column "{shown(name)}" of "{shown(table.name)}" contains NULLs').about(
            names_of(table, column=name)
        ),
    )


def _set_type(builder: Builder, table: Table, action: AlterAction) -> Table:
    assert action.column is not None
    assert action.column.type is not None
    column = _need_column(table, action.names[0], action.position)
    wanted = action.column.type
    if wanted == column.type and not action.text:
        return table
    unique = {i.name for i in table.indexes if i.unique}
    uses = [
        f"{kind} {shown(of)}"
        for kind, of in _uses(builder, table, column.name)
        if kind != "index" or of in unique
    ]
    if not (action.text or widens(column.type, wanted)):
        _refuse_views(builder, table, action.position)
    _refuse_in_views(builder, table, column.name, action.position)
    return plan_retype(builder, table, column, wanted, action.text, uses, action.position)


def _rename_column(builder: Builder, table: Table, action: AlterAction) -> Table:
    old, new = action.names
    _need_column(table, old, action.position)
    check_name(new, action.position)
    if table.column(new) is not None:
        raise DuplicateObjectError(f'column "{shown(new)}" exists', position=action.position)
    _refuse_views(builder, table, action.position)
    _refuse_in_views(builder, table, old, action.position)

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if n == old else n for n in names)

    def of_key(key: ForeignKey) -> ForeignKey:
        theirs = key.parent_columns
        if key.parent_id == table.id:
            theirs = renamed(theirs)
        return replace(key, columns=renamed(key.columns), parent_columns=theirs)

    after = replace(
        table,
        columns=tuple(replace(c, name=new) if c.name == old else c for c in table.columns),
        distribution_key=renamed(table.distribution_key),
        indexes=tuple(
            replace(i, columns=renamed(i.columns), include=renamed(i.include))
            for i in table.indexes
        ),
        foreign_keys=tuple(of_key(k) for k in table.foreign_keys),
    )
    after = replace(
        after, checks=tuple(_renamed_check(builder, after, c, old, new) for c in table.checks)
    )
    _rebuild(builder, table, after, {new: quoted(old)})
    for before_index, index in zip(table.indexes, after.indexes, strict=True):
        if index.is_global and before_index != index:
            before_hidden = global_index_table(table, before_index)
            _rebuild(builder, before_hidden, global_index_table(after, index), {new: quoted(old)})
    for child in builder.catalog.children(table.id):
        if child.id != table.id:
            keys = tuple(
                replace(k, parent_columns=renamed(k.parent_columns))
                if k.parent_id == table.id
                else k
                for k in child.foreign_keys
            )
            builder.put(replace(child, foreign_keys=keys))
    return after


def _renamed_check(builder: Builder, table: Table, check: Check, old: str, new: str) -> Check:
    """The condition with the new name of a column in its text."""
    text = check.sql
    for token in reversed(tokenize(text)):
        if token.kind in (TokenKind.WORD, TokenKind.QUOTED) and token.value == old:
            text = text[: token.start] + sql_name(new) + text[token.end :]
    if text == check.sql:
        return check
    return replace(check, sql=text, sqlite_sql=builder.hooks.compile_check(table, text))


# -- constraints -----------------------------------------------------------------------------------
def _add_constraint(builder: Builder, table: Table, action: AlterAction) -> Table:
    for made in action.constraints:
        after = _add_one(builder, table, made)
        builder.put(after)
        table = after
    return table


def _add_one(builder: Builder, table: Table, made: ConstraintDef) -> Table:
    names = Names.of(table)
    if made.using_index:
        return _key_from_index(builder, table, made)
    if made.kind == "check":
        after = add_check(builder, table, made, names)
        builder.check(
            f"SELECT 1 FROM {rows_of(builder, table)} WHERE NOT ({made.check_sql}) "
            "FETCH FIRST 1 ROWS ONLY",
            CheckViolationError(
                f'rows of "{shown(table.name)}" violate check "{shown(after.checks[-1].name)}"'
            ).about(names_of(table, constraint=after.checks[-1].name)),
        )
        _rebuild(builder, table, after)
        return after
    if made.kind == "foreign":
        after = add_foreign_key(builder, table, made, names)
        foreign_key = after.foreign_keys[-1]
        check_references(builder, after, foreign_key)
        index = foreign_key_index(builder, after, foreign_key)
        if index is not None:
            after = replace(after, indexes=(*after.indexes, index))
            builder.act(CreateIndex(after, index))
        return after
    return _add_key(builder, table, made, names)


def _add_key(builder: Builder, table: Table, made: ConstraintDef, names: Names) -> Table:
    """PRIMARY KEY or UNIQUE for a filled table. Its rows stay where they are."""
    known = {i.id for i in table.indexes}
    after = add_key(builder, table, made, names)
    index = next(i for i in after.indexes if i.id not in known)
    is_global = bool(made.is_global) and table.distribution is not Distribution.DUPLICATE
    index = replace(index, is_global=is_global or needs_global(after, index.columns))
    after = replace(after, indexes=tuple(index if i.id == index.id else i for i in after.indexes))
    nullable = tuple(c.name for c in table.columns if c.name in made.columns and c.nullable)
    if made.kind == "primary" and nullable:
        for name in nullable:
            _check_not_null(builder, table, name)
        shape = with_columns(table, nullable, nullable=False)
        _rebuild(builder, table, shape)
    build_index(builder, after, index)
    return after


def _key_from_index(builder: Builder, table: Table, made: ConstraintDef) -> Table:
    """ADD CONSTRAINT … USING INDEX name: an existing unique index becomes the constraint's."""
    index = next((i for i in table.indexes if i.name == made.using_index), None)
    if index is None or not index.unique or index.constraint:
        message = f'"{shown(made.using_index)}" is no unique index of "{shown(table.name)}"'
        raise UnknownObjectError(message, position=made.position)
    if made.kind != "unique":
        raise NotSupportedError("a primary key cannot take over an index", position=made.position)
    name = made.name or index.name
    made_index = replace(index, name=name, constraint=True)
    indexes = tuple(made_index if i.id == index.id else i for i in table.indexes)
    return replace(table, indexes=indexes)


def _drop_constraint(builder: Builder, table: Table, action: AlterAction) -> Table:
    name = action.names[0]
    for check in table.checks:
        if check.name == name:
            after = replace(table, checks=tuple(c for c in table.checks if c.name != name))
            _rebuild(builder, table, after)
            return after
    for key in table.foreign_keys:
        if key.name == name:
            return _drop_foreign_key(builder, table, key, action.position)
    for index in table.indexes:
        if index.name == name and index.constraint and index.unique:
            return _drop_index_of(builder, table, action)
    message = f'constraint "{shown(name)}" of "{shown(table.name)}" does not exist'
    if action.flag:
        builder.notice(message + ", skipping")
        return table
    raise UnknownObjectError(message, position=action.position)


def _drop_foreign_key(builder: Builder, table: Table, key: ForeignKey, position: int) -> Table:
    if table.distribution is Distribution.REFERENCE and key.name == table.reference_key:
        raise DefinitionError(
            f'foreign key "{shown(key.name)}" cannot be dropped: '
            f'rows of "{shown(table.name)}" are distributed by it',
            position=position,
        )
    after = replace(table, foreign_keys=tuple(k for k in table.foreign_keys if k.id != key.id))
    for index in table.indexes:
        own = index.constraint and not index.unique and index.columns == key.columns
        if own and not any(k.columns == key.columns for k in after.foreign_keys):
            after = _without_index(builder, after, index)
    return after


def _without_index(builder: Builder, table: Table, index: Index) -> Table:
    builder.act(DropIndex(table, index, builder.new_id()))
    return replace(table, indexes=tuple(i for i in table.indexes if i.id != index.id))


def _drop_index_of(builder: Builder, table: Table, action: AlterAction) -> Table:
    index = next(i for i in table.indexes if i.name == action.names[0])
    if index.primary:
        raise DefinitionError("a primary key cannot be dropped", position=action.position)
    return drop_index(builder, table, index, action.position, cascade=action.cascade)


def drop_index(
    builder: Builder, table: Table, index: Index, position: int, *, cascade: bool = False
) -> Table:
    """The table without an index. Raises DependentObjectsError for one foreign keys refer to."""
    for child in builder.catalog.children(table.id):
        for key in child.foreign_keys:
            if key.parent_index_id != index.id:
                continue
            if not cascade:
                raise DependentObjectsError(
                    f'foreign key "{shown(key.name)}" of "{shown(child.name)}" refers to it',
                    hint="DROP … CASCADE drops it too",
                    position=position,
                )
            after = _drop_foreign_key(builder, child, key, position)
            builder.put(after)
            if child.id == table.id:
                table = after
    if table.temporary:
        return replace(table, indexes=tuple(i for i in table.indexes if i.id != index.id))
    builder.lock(table.id)
    return _without_index(builder, table, index)


def _drop_primary(builder: Builder, table: Table, action: AlterAction) -> Table:
    raise DefinitionError("a primary key cannot be dropped", position=action.position)


def _rename_constraint(builder: Builder, table: Table, action: AlterAction) -> Table:
    old, new = action.names
    check_name(new, action.position)
    if new in Names.of(table).taken:
        message = f'constraint "{shown(new)}" exists'
        raise DuplicateObjectError(message, position=action.position)
    if any(c.name == old for c in table.checks):
        checks = tuple(replace(c, name=new) if c.name == old else c for c in table.checks)
        after = replace(table, checks=checks)
        _rebuild(builder, table, after)
        return after
    if old not in Names.of(table).taken:
        message = f'constraint "{shown(old)}" of "{shown(table.name)}" does not exist'
        raise UnknownObjectError(message, position=action.position)
    builder.must_be_free(table.schema, new, action.position)
    return replace(
        table,
        reference_key=new if table.reference_key == old else table.reference_key,
        indexes=tuple(replace(i, name=new) if i.name == old else i for i in table.indexes),
        foreign_keys=tuple(
            replace(k, name=new) if k.name == old else k for k in table.foreign_keys
        ),
    )


# -- the whole table -------------------------------------------------------------------------------
def _rename(builder: Builder, table: Table, action: AlterAction) -> Table:
    return rename_table(builder, table, action.names[0], action.position)


def rename_table(builder: Builder, table: Table, new: str, position: int) -> Table:
    """The table under another name in its schema."""
    check_name(new, position)
    builder.must_be_free(table.schema, new, position)
    refuse_detail(builder, table, "RENAME", position)
    _refuse_views(builder, table, position)
    after = replace(table, name=new)
    builder.act(RenameTable(table, after))
    return after


def _use_index(builder: Builder, table: Table, action: AlterAction) -> Table:
    """USE HASH INDEX, USE RANGE INDEX: the primary key is stored in one way, and shown so."""
    if not table.primary_key:
        message = f'table "{shown(table.name)}" has no primary key'
        raise DefinitionError(message, position=action.position)
    indexes = tuple(replace(i, hash=action.flag) if i.primary else i for i in table.indexes)
    return replace(table, indexes=indexes)


def _nothing(builder: Builder, table: Table, action: AlterAction) -> Table:
    return table


_STEPS: dict[str, _Step] = {
    "add_column": _add_column,
    "drop_column": _drop_column,
    "set_default": _set_default,
    "set_nullable": _set_nullable,
    "set_type": _set_type,
    "rename_column": _rename_column,
    "add_constraint": _add_constraint,
    "drop_constraint": _drop_constraint,
    "drop_primary": _drop_primary,
    "rename_constraint": _rename_constraint,
    "rename": _rename,
    "distribute": plan_distribute,
    "use_index": _use_index,
    "nothing": _nothing,
}
