"""DDL statement + catalog → what it changes and what it needs (DdlPlan). Pure.

`plan_ddl` is the entry. Tables and indexes are planned in ddl_tables.py and ddl_alter.py; here are
the other objects, users and privileges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from data.catalog.catalog import (
    PUBLIC,
    SYS,
    Catalog,
    DropTable,
    Relation,
    TruncateTable,
    not_found,
    shown,
)
from data.catalog.objects import Check, Column, ForeignKey, Index, Sequence, Synonym, Table, View
from data.sql.ddl_access import plan_grant, plan_profile, plan_user
from data.sql.ddl_alter import drop_index, plan_alter_table, rename_table
from data.sql.ddl_ast import (
    AlterSequenceStatement,
    AlterTableStatement,
    CommentStatement,
    CreateIndexStatement,
    CreateMaterializedStatement,
    CreateSequenceStatement,
    CreateSynonymStatement,
    CreateTableStatement,
    CreateViewStatement,
    DropStatement,
    GrantStatement,
    Name,
    ProfileStatement,
    RenameStatement,
    Statement,
    TruncateStatement,
    UserStatement,
)
from data.sql.ddl_build import (
    Builder,
    DdlHooks,
    DdlPlan,
    check_name,
    dotted,
    drop_copies,
    refuse_detail,
    refuse_temporary,
    refuse_view,
    relation_kind,
    sql_name,
)
from data.sql.ddl_materialized import plan_create_materialized
from data.sql.ddl_parse import parse_ddl
from data.sql.ddl_sequences import (
    draws_from,
    plan_alter_sequence,
    plan_create_sequence,
    sequences_of,
)
from data.sql.ddl_tables import plan_create_index, plan_create_table
from data.sql.ddl_units import drop_unit, plan_unit, unit_statement
from protocol.errors import (
    DefinitionError,
    DependentObjectsError,
    GridError,
    NotSupportedError,
    PrivilegeError,
    UnknownObjectError,
    UnknownTableError,
)


def plan_ddl(
    text: str,
    catalog: Catalog,
    user: str,
    hooks: DdlHooks,
    *,
    schema: str = "",
    ids: Callable[[], int] | None = None,
) -> DdlPlan:
    """Plan one DDL statement of `user` (folded name; `schema`: the current one).

    Raises SqlSyntaxError, NotSupportedError, PrivilegeError, DuplicateObjectError,
    UnknownTableError, UnknownObjectError, DefinitionError, DependentObjectsError and more.
    """
    builder = Builder(catalog, user, schema or user, hooks, ids)
    unit = unit_statement(text)
    if unit is not None:
        return builder.plan(plan_unit(builder, unit))
    statement = parse_ddl(text)
    return builder.plan(_plan(builder, statement))


def _plan(builder: Builder, statement: Statement) -> str:
    """Fills the builder; returns the command tag."""
    match statement:
        case CreateTableStatement():
            plan_create_table(builder, statement)
            return "CREATE TABLE"
        case CreateIndexStatement():
            plan_create_index(builder, statement)
            return "CREATE INDEX"
        case AlterTableStatement():
            plan_alter_table(builder, statement)
            return "ALTER TABLE"
        case CreateViewStatement():
            _create_view(builder, statement)
            return "CREATE VIEW"
        case CreateMaterializedStatement():
            plan_create_materialized(builder, statement)
            return "CREATE MATERIALIZED VIEW"
        case CreateSequenceStatement():
            plan_create_sequence(builder, statement)
            return "CREATE SEQUENCE"
        case AlterSequenceStatement():
            found = _of_kind(builder, statement.name, "SEQUENCE")
            assert isinstance(found, Sequence)
            plan_alter_sequence(builder, statement, found)
            return "ALTER SEQUENCE"
        case CreateSynonymStatement():
            _create_synonym(builder, statement)
            return "CREATE SYNONYM"
        case UserStatement():
            plan_user(builder, statement)
            return "CREATE ROLE" if statement.create else "ALTER ROLE"
        case ProfileStatement():
            plan_profile(builder, statement)
            return f"{statement.verb} PROFILE"
        case DropStatement():
            _drop(builder, statement)
            return "DROP ROLE" if statement.kind == "USER" else f"DROP {statement.kind}"
        case RenameStatement():
            _rename(builder, statement)
            return f"ALTER {statement.kind}" if statement.kind else "ALTER TABLE"
        case TruncateStatement():
            _truncate(builder, statement)
            return "TRUNCATE TABLE"
        case CommentStatement():
            _comment(builder, statement)
            return "COMMENT"
        case GrantStatement():
            plan_grant(builder, statement)
            return "GRANT" if statement.grant else "REVOKE"


# -- views -----------------------------------------------------------------------------------------
def _create_view(builder: Builder, statement: CreateViewStatement) -> None:
    schema, name = builder.new_name(statement.name)
    builder.need("CREATE VIEW", schema, statement.name.position)
    old = builder.catalog.relations.get((schema, name))
    if not (statement.replace and isinstance(old, View)):
        builder.must_be_free(schema, name, statement.name.position)
        old = None
    try:
        columns, used = builder.hooks.describe_query(
            statement.query, schema, builder.user, builder.catalog
        )
    except GridError as error:
        error.position += statement.query_position - 1 if error.position else 0
        raise
    if statement.columns:
        if len(statement.columns) != len(columns):
            message = "a view has as many columns as its query"
            raise DefinitionError(message, position=statement.name.position)
        named = zip(statement.columns, columns, strict=True)
        columns = tuple(replace(c, name=n) for n, c in named)
    if len({c.name for c in columns}) < len(columns):
        message = "a column name stands twice in the view"
        raise DefinitionError(message, hint="name its columns", position=statement.name.position)
    number = old.id if old else builder.new_id()
    if number in used:
        raise DefinitionError("a view cannot use itself", position=statement.name.position)
    builder.put(View(number, schema, name, statement.query, columns, depends_on=used))


# -- synonyms --------------------------------------------------------------------------------------
def _create_synonym(builder: Builder, statement: CreateSynonymStatement) -> None:
    position = statement.name.position
    if statement.public:
        builder.need_system("CREATE PUBLIC SYNONYM", position)
        schema, name = PUBLIC, statement.name.parts[-1]
        check_name(name, position)
    else:
        schema, name = builder.new_name(statement.name)
        builder.need("CREATE SYNONYM", schema, position)
    old = builder.catalog.synonyms.get((schema, name))
    if old is None or not statement.replace:
        builder.must_be_free(schema, name, position)
    target = statement.target.parts
    target_schema = target[-2] if len(target) > 1 else builder.schema
    if (target_schema, target[-1]) == (schema, name):
        raise DefinitionError("a synonym cannot stand for itself", position=position)
    number = old.id if old else builder.new_id()
    builder.put(Synonym(number, schema, name, target_schema, target[-1]))


# -- users -----------------------------------------------------------------------------------------
def _drop_user(builder: Builder, name: Name, statement: DropStatement) -> None:
    builder.need_admin(name.position)
    user = builder.catalog.user(name.parts[-1])
    if user is None:
        _missing(builder, statement, name, "user")
        return
    if user.name == builder.user or user.name == SYS:
        message = f'user "{shown(user.name)}" cannot be dropped'
        raise DependentObjectsError(message, position=name.position)
    owned = [r for r in builder.catalog.relations.values() if r.schema == user.name]
    owned_synonyms = [s for s in builder.catalog.synonyms.values() if s.schema == user.name]
    units = [unit for unit in builder.catalog.units.values() if unit.schema == user.name]
    if (owned or owned_synonyms or units) and not statement.cascade:
        listed = ", ".join(shown(item.name) for item in [*owned, *owned_synonyms, *units][:10])
        raise DependentObjectsError(
            f'user "{shown(user.name)}" has objects', detail=listed, position=name.position
        )
    _drop_relations(builder, owned, cascade=True, position=name.position)
    for synonym in owned_synonyms:
        builder.delete(synonym)
    for unit in units:
        drop_unit(builder, unit)
    for grant in list(builder.catalog.grants()):
        if grant.grantee == user.name:
            builder.delete(grant)
    builder.delete(user)


# -- DROP ------------------------------------------------------------------------------------------
def _missing(builder: Builder, statement: DropStatement, name: Name, kind: str) -> None:
    """A notice for IF EXISTS, else the error."""
    message = f'{kind} "{dotted(name)}" does not exist'
    if statement.if_exists:
        builder.notice(message + ", skipping")
        return
    if kind in ("table", "view", "sequence"):
        raise UnknownTableError(message, position=name.position)
    raise UnknownObjectError(message, position=name.position)


def _drop(builder: Builder, statement: DropStatement) -> None:
    if statement.kind == "USER":
        for name in statement.names:
            _drop_user(builder, name, statement)
        return
    if statement.kind == "SYNONYM":
        for name in statement.names:
            _drop_synonym(builder, name, statement)
        return
    if statement.kind == "INDEX":
        for name in statement.names:
            _drop_named_index(builder, name, statement)
        return
    found: list[Relation] = []
    for name in statement.names:
        try:
            relation = _of_kind(builder, name, statement.kind)
        except UnknownTableError:
            _missing(builder, statement, name, statement.kind.lower())
            continue
        builder.need(f"DROP ANY {statement.kind}", relation.schema, name.position)
        if isinstance(relation, Sequence):
            _refuse_used_sequence(builder, relation, name)
        found.append(relation)
    position = statement.names[0].position
    _drop_relations(builder, found, cascade=statement.cascade, position=position)


def _refuse_used_sequence(builder: Builder, sequence: Sequence, name: Name) -> None:
    """A sequence that a DEFAULT draws from stays."""
    for table in builder.catalog.tables():
        for column in table.columns:
            if column.sequence_id == sequence.id or draws_from(column, table, sequence):
                raise DependentObjectsError(
                    f'column "{shown(column.name)}" of "{shown(table.name)}" draws from it',
                    hint="ALTER TABLE … MODIFY (column DEFAULT NULL), or drop the table",
                    position=name.position,
                )


def _of_kind(builder: Builder, name: Name, kind: str) -> Relation:
    """The relation of that name and kind; dropping never follows a synonym. Raises as resolve."""
    if kind in ("TABLE", "MATERIALIZED VIEW"):
        wanted: type = Table
    else:
        wanted = View if kind == "VIEW" else Sequence
    schema = builder.schema_of(name)
    found = builder.catalog.relations.get((schema, name.parts[-1]))
    if found is None:
        raise not_found(name.parts, kind.lower(), name.position)
    other = isinstance(found, Table) and (found.materialized is None) != (kind == "TABLE")
    if not isinstance(found, wanted) or other:
        message = f'"{dotted(name)}" is a {relation_kind(found)}, not a {kind.lower()}'
        raise DefinitionError(message, position=name.position)
    if isinstance(found, Table) and found.system:
        message = f'table "{dotted(name)}" is internal'
        raise PrivilegeError(message, position=name.position)
    return found


def _drop_relations(
    builder: Builder, relations: list[Relation], *, cascade: bool, position: int
) -> None:
    """Drops them together, so that they may depend on each other."""
    going = {r.id for r in relations}
    for view in list(builder.catalog.views()):
        if view.id not in going and going & set(view.depends_on):
            if not cascade:
                raise DependentObjectsError(
                    f'view "{shown(view.name)}" depends on it',
                    hint="DROP … CASCADE drops it too",
                    position=position,
                )
            builder.notice(f"drop cascades to view {shown(view.name)}")
            going.add(view.id)
            relations = [*relations, view]
    for table in list(builder.catalog.tables()):
        made = table.materialized
        if made is not None and made.detail_id in going and table.id not in going:
            if not cascade and not table.system:
                detail = builder.catalog.table_by_id(made.detail_id)
                refuse_detail(builder, detail, "DROP TABLE", position)
            if not table.system:
                builder.notice(f"drop cascades to materialized view {shown(table.name)}")
            going.add(table.id)
            relations = [*relations, table]
    for relation in relations:
        if isinstance(relation, Table):
            _cut_children(builder, relation, going, cascade, position)
    for relation in relations:
        if isinstance(relation, Table):
            current = builder.catalog.table_by_id(relation.id)
            for sequence in sequences_of(builder, current):
                builder.delete(sequence)
            if not current.temporary:
                builder.lock(current.id)
                builder.act(DropTable(current, builder.new_id()))
        for grant in list(builder.catalog.grants()):
            if grant.object_id == relation.id:
                builder.delete(grant)
        builder.delete(relation)


def _cut_children(
    builder: Builder, table: Table, going: set[int], cascade: bool, position: int
) -> None:
    """Foreign keys of tables that stay: refused, or dropped with CASCADE."""
    for child in builder.catalog.children(table.id):
        if child.id in going:
            continue
        reference = child.reference
        if not cascade or (reference is not None and reference.parent_id == table.id):
            hint = "DROP … CASCADE drops the foreign key" if not cascade else ""
            if cascade:
                hint = f"its rows are distributed by it: drop {shown(child.name)} first"
            raise DependentObjectsError(
                f'table "{shown(child.name)}" refers to "{shown(table.name)}"',
                hint=hint,
                position=position,
            )
        keys = tuple(k for k in child.foreign_keys if k.parent_id != table.id)
        builder.lock(child.id)
        builder.put(replace(child, foreign_keys=keys))
        builder.notice(f"drop cascades to constraints of table {shown(child.name)}")


def _drop_synonym(builder: Builder, name: Name, statement: DropStatement) -> None:
    if statement.public:
        schema, privilege = PUBLIC, "DROP PUBLIC SYNONYM"
        builder.need_system(privilege, name.position)
    else:
        schema = builder.schema_of(name)
        builder.need("DROP ANY SYNONYM", schema, name.position)
    found = builder.catalog.synonyms.get((schema, name.parts[-1]))
    if found is None:
        _missing(builder, statement, name, "synonym")
        return
    builder.delete(found)


def _drop_named_index(builder: Builder, name: Name, statement: DropStatement) -> None:
    schema = builder.schema_of(name)
    found = builder.catalog.find_index(schema, name.parts[-1])
    if found is not None and statement.of_table is not None:
        of_table = builder.table(statement.of_table)
        found = found if found[0].id == of_table.id else None
    if found is None:
        _missing(builder, statement, name, "index")
        return
    table, index = found
    builder.need("DROP ANY INDEX", table.schema, name.position)
    if index.constraint or table.system:
        raise DependentObjectsError(
            f'index "{shown(index.name)}" belongs to a constraint of "{shown(table.name)}"',
            hint="ALTER TABLE … DROP CONSTRAINT",
            position=name.position,
        )
    builder.put(drop_index(builder, table, index, name.position, cascade=statement.cascade))


# -- RENAME, TRUNCATE, COMMENT ---------------------------------------------------------------------
def _rename(builder: Builder, statement: RenameStatement) -> None:
    name, new = statement.name, statement.new_name
    check_name(new, name.position)
    schema = builder.schema_of(name)
    if statement.kind == "INDEX":
        found = builder.catalog.find_index(schema, name.parts[-1])
        if found is None:
            message = f'index "{dotted(name)}" does not exist'
            raise UnknownObjectError(message, position=name.position)
        table, index = found
        builder.need("ALTER ANY INDEX", table.schema, name.position)
        builder.must_be_free(table.schema, new, name.position)
        renamed = replace(index, name=new)
        indexes = tuple(renamed if i.id == index.id else i for i in table.indexes)
        builder.put(replace(table, indexes=indexes))
        return
    kind = statement.kind
    if not kind:
        kind = relation_kind(builder.relation(name)).upper()
    relation = _of_kind(builder, name, kind)
    builder.need(f"ALTER ANY {kind}", relation.schema, name.position)
    if isinstance(relation, Table):
        refuse_view(relation, "RENAME of", name)
        refuse_temporary(relation, "RENAME of", name.position)
        builder.lock(relation.id)
        drop_copies(builder, relation)
        builder.put(rename_table(builder, relation, new, name.position))
        return
    builder.must_be_free(relation.schema, new, name.position)
    for view in builder.catalog.views():
        if relation.id in view.depends_on:
            message = f'view "{shown(view.name)}" depends on it'
            raise DependentObjectsError(message, position=name.position)
    builder.put(replace(relation, name=new))


def _truncate(builder: Builder, statement: TruncateStatement) -> None:
    tables = [builder.table(name) for name in statement.names]
    for table, name in zip(tables, statement.names, strict=True):
        refuse_view(table, "TRUNCATE of", name)
        refuse_temporary(table, "TRUNCATE of", name.position)
        refuse_detail(builder, table, "TRUNCATE", name.position)
        drop_copies(builder, table)
    going = {t.id for t in tables}
    waiting = list(tables)
    while waiting:
        table = waiting.pop()
        for child in builder.catalog.children(table.id):
            if child.id in going:
                continue
            if not statement.cascade:
                builder.lock(child.id)
                builder.check(
                    f"SELECT 1 FROM {sql_name(child.schema, child.name)} FETCH FIRST 1 ROWS ONLY",
                    DependentObjectsError(
                        f'rows of table "{shown(child.name)}" refer to "{shown(table.name)}"',
                        hint=f"truncate {shown(child.name)} in the same statement, or CASCADE",
                        position=statement.names[0].position,
                    ),
                )
                continue
            going.add(child.id)
            tables.append(child)
            waiting.append(child)
    for table in tables:
        if table.schema != builder.user:
            builder.need_object("DELETE", table, statement.names[0].position)
        builder.lock(table.id)
        builder.act(TruncateTable(table, builder.new_id()))


_Constraint = TypeVar("_Constraint", Index, ForeignKey, Check)


def _comment(builder: Builder, statement: CommentStatement) -> None:
    name = statement.name
    if statement.kind == "COLUMN":
        if len(name.parts) < 2:
            raise UnknownTableError("name the table: table.column", position=name.position)
        relation = builder.relation(Name(name.parts[:-1], name.position))
    else:
        relation = builder.relation(name)
    if isinstance(relation, Sequence):
        raise NotSupportedError("COMMENT ON a sequence", position=name.position)
    if relation.schema != builder.user:
        builder.need_object("ALTER", relation, name.position)
    if statement.kind == "CONSTRAINT":
        builder.put(_constraint_commented(builder.table(name), statement))
        return
    if statement.kind != "COLUMN":
        builder.put(replace(relation, comment=statement.text))
        return
    if all(c.name != name.parts[-1] for c in relation.columns):
        message = f'column "{shown(name.parts[-1])}" does not exist'
        raise UnknownObjectError(message, position=name.position)

    def commented(column: Column) -> Column:
        wanted = column.name == name.parts[-1]
        return replace(column, comment=statement.text) if wanted else column

    builder.put(replace(relation, columns=tuple(commented(c) for c in relation.columns)))


def _constraint_commented(table: Table, statement: CommentStatement) -> Table:
    def commented(constraint: _Constraint) -> _Constraint:
        wanted = constraint.name == statement.constraint
        return replace(constraint, comment=statement.text) if wanted else constraint

    made = replace(
        table,
        indexes=tuple(commented(i) if i.constraint else i for i in table.indexes),
        foreign_keys=tuple(map(commented, table.foreign_keys)),
        checks=tuple(map(commented, table.checks)),
    )
    names = {i.name for i in table.indexes if i.constraint}
    names |= {k.name for k in table.foreign_keys} | {c.name for c in table.checks}
    if statement.constraint not in names:
        message = f'constraint "{shown(statement.constraint)}" does not exist'
        raise UnknownObjectError(message, position=statement.name.position)
    return made
