"""PostgreSQL queries of the system catalogs → SQLite over tables of the same names. Pure.

Clients ask the catalogs in PostgreSQL's dialect, with arrays, set functions and reg* casts.
The catalog tables stand in SQLite (data/catalog/pg_catalog.py); arrays are JSON texts there. Steps:
token edits (what sqlglot does not parse), parse, tree rewrite, print. Types of the result columns
are inferred where SQLite's declared types cannot tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from data.catalog.pg_schema import (
    BOOLEAN_COLUMNS,
    COLUMN_TYPES,
    RELATION_OIDS,
    is_catalog_relation,
)
from data.sql.catalog_sets import rewrite_sets
from data.sql.catalog_types import BOOLEAN_NODES, ResultShape, result_shapes
from data.sql.ddl_lexer import Token, TokenKind, tokenize
from data.sql.shape import check_shape
from protocol.errors import NotSupportedError, SqlSyntaxError, TooLargeError
from protocol.limits import CATALOG_QUERY_CHARS_MAX
from protocol.sqltypes import BIGINT, BOOLEAN, OID_ARRAY, VARCHAR, SqlType, array_of

VECTOR_COLUMNS = frozenset(
    {"indkey", "indclass", "indoption", "i_indoption", "indcollation", "proargtypes"}
)  # int2vector and oidvector count from 0; i_indoption: what the JDBC driver calls it


_AFTER_A_COLUMN = frozenset({",", "=", ")", "<>", "FROM", "AND", "IS", "IN", "LIKE", "AS"})


@dataclass(frozen=True)
class CatalogSql:
    """`sql`: SQLite text with ?1..?n. `shapes`: one per result column, None after a `*`."""

    sql: str
    shapes: tuple[ResultShape, ...] | None
    param_types: tuple[SqlType, ...]
    relations: frozenset[str] = frozenset()  # named in it, lower case


def rewrite(text: str) -> CatalogSql:
    """Raises SqlSyntaxError, NotSupportedError."""
    if len(text) > CATALOG_QUERY_CHARS_MAX:
        raise TooLargeError(
            f"a catalog query of {len(text)} characters, limit {CATALOG_QUERY_CHARS_MAX}"
        )
    check_shape(text)
    edited = edit_tokens(text)
    try:
        tree = sqlglot.parse_one(edited, dialect="postgres")
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        message = str(error).split("\n", 1)[0]
        raise SqlSyntaxError(f"this catalog query cannot be parsed: {message}") from error
    if not isinstance(tree, exp.Query):
        raise NotSupportedError("only queries can be run on system tables")
    param_types = _param_types(tree)
    relations = frozenset(table.name.lower() for table in tree.find_all(exp.Table))
    _name_columns(tree)
    if relations and all(is_catalog_relation("sys", name) for name in relations - {"dual"}):
        _timesten_users(tree)
    shapes = result_shapes(tree)
    rewrite_sets(tree)
    for select in tree.find_all(exp.Select):
        _rownum(select)
    tree = _rewrite_tree(tree)
    try:
        sql = tree.sql(dialect="sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except sqlglot.errors.UnsupportedError as error:
        raise NotSupportedError(f"this catalog query is not supported: {error}") from error
    return CatalogSql(sql, shapes, param_types, relations)


# -- token edits -----------------------------------------------------------------------------------
def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def edit_tokens(text: str) -> str:
    """The text without what sqlglot cannot parse or need not see. Raises SqlSyntaxError."""
    tokens = tokenize(text)
    pieces: list[str] = []
    at = last = 0

    def keep_until(token: Token) -> None:
        pieces.append(text[last : token.start])

    while tokens[at].kind is not TokenKind.END:
        token = tokens[at]
        edit = _edit(text, tokens, at)
        if edit is None:
            at += 1
            continue
        replacement, at = edit
        keep_until(token)
        pieces.append(replacement)
        last = tokens[at - 1].end
    pieces.append(text[last:])
    return "".join(pieces).strip().rstrip(";")


def _is_op(token: Token, op: str) -> bool:
    return token.kind is TokenKind.OP and token.value == op


def _edit(text: str, tokens: list[Token], at: int) -> tuple[str, int] | None:
    """(replacement, next token) for what is to be edited at a token, None to leave it."""
    token, after = tokens[at], tokens[min(at + 1, len(tokens) - 1)]
    if token.kind is TokenKind.STRING and text[token.start] in "eE$":
        return _literal(token.value), at + 1
    if token.kind not in (TokenKind.WORD, TokenKind.QUOTED):
        return _edit_cast(tokens, at) if _is_op(token, "::") else None
    word = token.value.upper()
    if word == "PG_CATALOG" and _is_op(after, "."):
        return "", at + 2
    if word == "INFORMATION_SCHEMA" and _is_op(after, ".") and tokens[at + 2].value[:3] == "_PG":
        return "", at + 2
    if token.kind is TokenKind.QUOTED:
        return None
    if word == "OPERATOR" and _is_op(after, "("):
        end = at + 2
        while not _is_op(tokens[end], ")"):
            if tokens[end].kind is TokenKind.END:
                raise SqlSyntaxError("unfinished OPERATOR()", position=token.start + 1)
            end += 1
        symbols = [t.value for t in tokens[at + 2 : end] if t.kind is TokenKind.OP]
        return " " + "".join(s for s in symbols if s != ".") + " ", end + 1
    if word == "COLLATE":
        end = at + 2
        while _is_op(tokens[end], "."):
            end += 2
        return "", end
    if word == "LIMIT" and (after.value in _AFTER_A_COLUMN):  # of DBA_PROFILES
        return '"limit"', at + 1
    if re.match(r"G?V\$", word):
        return text[token.start : token.end].replace("$", "__"), at + 1
    return None


def _edit_cast(tokens: list[Token], at: int) -> tuple[str, int] | None:
    """::oid[] and ::"char": types sqlglot does not know."""
    name = at + 1
    if tokens[name].value.upper() == "PG_CATALOG" and _is_op(tokens[name + 1], "."):
        name += 2
    token = tokens[name]
    if token.kind is TokenKind.QUOTED and token.value.upper() == "CHAR":
        return "::text", name + 1
    array = (
        len(tokens) > name + 2 and _is_op(tokens[name + 1], "[") and _is_op(tokens[name + 2], "]")
    )
    if array and token.value in ("OID", "REGCLASS", "REGTYPE", "NAME"):
        return "::int8[]" if token.value == "OID" else "::text[]", name + 3
    return None


# -- names of result columns, types of parameters --------------------------------------------------
def _first_select(tree: exp.Expr) -> exp.Expr:
    while isinstance(tree, (exp.SetOperation, exp.Subquery)):
        tree = tree.this
    return tree


_PG_NAMES: dict[type[exp.Expr], str] = {
    exp.Coalesce: "coalesce",
    exp.Array: "array",
    exp.ArrayAgg: "array_agg",
    exp.GroupConcat: "string_agg",
    exp.Exists: "exists",
    exp.Boolean: "bool",
    exp.CurrentUser: "current_user",
    exp.CurrentVersion: "version",
    exp.SessionUser: "session_user",
    exp.CurrentSchema: "current_schema",
    exp.CurrentSchemas: "current_schemas",
    exp.CurrentCatalog: "current_catalog",
    exp.CurrentDatabase: "current_database",
}


def column_name(node: exp.Expr) -> str:
    """The name PostgreSQL gives a result column without alias (FigureColname in its parser)."""
    return _figure_name(node)[0]


def _figure_name(node: exp.Expr) -> tuple[str, int]:
    """The name and how good it is: 2 good, 1 better than nothing, 0 none."""
    if isinstance(node, (exp.Column, exp.Dot)):
        last = node.this if isinstance(node, exp.Column) else node.expression
        if isinstance(last, exp.Identifier):
            return (last.name if last.quoted else last.name.lower()), 2
        return _figure_name(last)
    if isinstance(node, (exp.Paren, exp.Bracket)):
        return _figure_name(node.this)
    if isinstance(node, exp.Cast):
        inner = _figure_name(node.this)
        return inner if inner[1] > 1 else (str(node.to.sql("postgres")).lower(), 1)
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        inner = _figure_name(default) if default is not None else ("", 0)
        return inner if inner[1] > 1 else ("case", 1)
    if isinstance(node, exp.Subquery):
        select = _first_select(node)
        if isinstance(select, exp.Select) and select.expressions:
            first = select.expressions[0]
            return (str(first.alias), 2) if first.alias else _figure_name(first)
    if type(node) in _PG_NAMES:
        return _PG_NAMES[type(node)], 2
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower(), 2
    if isinstance(node, exp.Func) and not isinstance(node, (exp.And, exp.Or)):
        return str(node.sql_name()).lower(), 2
    return "?column?", 0


def _name_columns(tree: exp.Expr) -> None:
    """Gives every result column its PostgreSQL name as an alias."""
    select = _first_select(tree)
    if not isinstance(select, exp.Select):
        return
    for node in list(select.expressions):
        if isinstance(node, exp.Alias):
            alias = node.args["alias"]
            if not alias.quoted:
                alias.set("this", alias.name.lower())
            alias.set("quoted", True)
        elif not node.is_star:
            name = column_name(node)
            node.replace(exp.alias_(node.copy(), name, quoted=True))


def _param_number(node: exp.Expr) -> int:
    inner = node.this
    text = inner.name if isinstance(inner, exp.Expr) else str(inner)
    return int(text) if text.isdigit() else 0


def _param_types(tree: exp.Expr) -> tuple[SqlType, ...]:
    found: dict[int, SqlType] = {}
    for node in tree.find_all(exp.Parameter):
        number = _param_number(node)
        if not number:
            raise NotSupportedError("only parameters $1, $2, … can stand in catalog queries")
        kind = _context_type(node)
        if number not in found or kind != VARCHAR:
            found[number] = kind
    most = max(found, default=0)
    return tuple(found.get(n, VARCHAR) for n in range(1, most + 1))


_INTEGER_ARRAYS = frozenset({"OID[]", "BIGINT[]", "INT[]", "SMALLINT[]"})


# functions whose first arguments are oids or numbers, and how many
_INTEGERS_FIRST = {
    "col_description": 2,
    "format_type": 2,
    "obj_description": 1,
    "pg_function_is_visible": 1,
    "pg_get_constraintdef": 1,
    "pg_get_functiondef": 1,
    "pg_get_indexdef": 2,
    "pg_get_userbyid": 1,
    "pg_table_is_visible": 1,
    "pg_type_is_visible": 1,
    "shobj_description": 1,
}


def _context_type(node: exp.Expr) -> SqlType:
    """What the parameter is cast to or compared with; text where that does not tell."""
    parent = node.parent
    if isinstance(parent, exp.Cast):
        words = parent.to.sql("postgres").upper()
        if words.endswith("[]"):
            return OID_ARRAY if words in _INTEGER_ARRAYS else array_of(VARCHAR)
        if words in ("OID", "BIGINT", "INT", "INTEGER", "SMALLINT"):
            return BIGINT
        return BOOLEAN if words == "BOOLEAN" else VARCHAR
    if isinstance(parent, exp.Anonymous):
        oids = _INTEGERS_FIRST.get(parent.name.lower(), 0)
        return BIGINT if any(node is one for one in parent.expressions[:oids]) else VARCHAR
    if isinstance(parent, (exp.Binary, exp.In)):
        for other in (parent.this, parent.args.get("expression")):
            if isinstance(other, exp.Column):
                kind = COLUMN_TYPES.get(other.name.lower(), "")
                if kind in ("oid", "int2", "int4", "int8"):
                    return BIGINT
                if kind == "bool":
                    return BOOLEAN
    return VARCHAR


# -- tree rewrite ----------------------------------------------------------------------------------
def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A function call printed as it is."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def as_array(node: exp.Expr) -> exp.Expr:
    """The node as a JSON array."""
    return call("pg_array", node)


_CALLS: dict[str, str] = {
    "CurrentUser": "tg_user",
    "SessionUser": "tg_user",
    "CurrentSchema": "tg_current_schema",
    "CurrentSchemas": "current_schemas",
    "CurrentCatalog": "tg_database",
    "CurrentDatabase": "tg_database",
    "CurrentRole": "tg_user",
    "CurrentVersion": "version",
    "Version": "version",
    "CurrentTimestamp": "now",
    "Localtimestamp": "now",
    "ArrayToString": "array_to_string",
    "ArrayLength": "array_length",
    "ArraySize": "array_length",
    "ArrayPosition": "array_position",
    "ArrayRemove": "array_remove",
    "ArrayConcat": "array_cat",
    "StringToArray": "string_to_array",
    "LogicalAnd": "min",
    "LogicalOr": "max",
    "JSONBuildObject": "json_object",
    "JSONObject": "json_object",
    "StrPosition": "strpos",
    "RegexpReplace": "regexp_replace",
    "SplitPart": "split_part",
    "StartsWith": "starts_with",
    "Initcap": "initcap",
    "Left": "pg_left",
    "Right": "pg_right",
    "MD5": "md5",
    "Chr": "chr",
    "Repeat": "pg_repeat",
    "Greatest": "max",
    "Least": "min",
    "ToChar": "pg_to_char",
    "Pad": "lpad",
}
_RENAMED: dict[str, str] = {
    "bool_and": "min",
    "bool_or": "max",
    "every": "min",
    "nvl": "ifnull",
    "json_build_object": "json_object",
    "jsonb_build_object": "json_object",
    "json_agg": "json_group_array",
    "to_regtype": "pg_regtype_oid",
    "to_regnamespace": "pg_regnamespace_oid",
    "to_regrole": "pg_regrole_oid",
    "to_regproc": "pg_regproc_oid",
    "current_database": "tg_database",
    "current_schema": "tg_current_schema",
    "current_user": "tg_user",
    "session_user": "tg_user",
    "user": "tg_user",
    "left": "pg_left",
    "right": "pg_right",
    "repeat": "pg_repeat",
    "reverse": "pg_reverse",
}


def _rownum(select: exp.Select) -> None:
    """WHERE … AND ROWNUM <= n as LIMIT n, as it is meant for SYS views."""
    where = select.args.get("where")
    if where is None:
        return
    for condition in list(where.find_all(exp.LTE, exp.LT)):
        column, literal = condition.this, condition.expression
        is_rownum = isinstance(column, exp.Column) and column.name.lower() == "rownum"
        if is_rownum and isinstance(literal, exp.Literal) and not literal.is_string:
            most = int(literal.this) - isinstance(condition, exp.LT)
            condition.replace(exp.Boolean(this=True))
            select.set("limit", exp.Limit(expression=exp.Literal.number(most)))


def _timesten_users(tree: exp.Expr) -> None:
    """Beside SYS views users are named as their OWNER columns have them."""
    for node in list(tree.find_all(exp.CurrentUser, exp.SessionUser, exp.Column)):
        word = node.name.lower() if isinstance(node, exp.Column) and not node.table else ""
        if word == "user" or not isinstance(node, exp.Column):
            node.replace(call("tg_owner"))


def _rewrite_tree(node: exp.Expr) -> exp.Expr:
    """Children first (sqlglot's own transform does not go into what it replaced)."""
    for child in list(node.iter_expressions()):
        _rewrite_tree(child)
    new = _rewrite_node(node)
    if new is not node and node.parent is not None:
        node.replace(new)
    return new


def _rewrite_node(node: exp.Expr) -> exp.Expr:
    """One node whose children are rewritten already."""
    if isinstance(node, exp.Parameter):
        return exp.Var(this=f"?{_param_number(node)}")
    if isinstance(node, (exp.EQ, exp.NEQ)):
        return _comparison(node)
    if isinstance(node, exp.Cast):
        return _cast(node)
    if isinstance(node, exp.Array):
        return _array(node)
    if isinstance(node, exp.ArrayAgg):
        group = call("json_group_array", node.this)
        return call("nullif", group, exp.Literal.string("[]"))
    if isinstance(node, exp.Bracket):
        return _subscript(node)
    if isinstance(node, (exp.RegexpLike, exp.RegexpILike)):
        ignore_case = exp.Literal.number(int(isinstance(node, exp.RegexpILike)))
        return call("pg_regex", node.this, node.expression, ignore_case)
    if isinstance(node, exp.Dot):
        return _dot(node)
    if isinstance(node, exp.DPipe) and (_is_array(node.this) or _is_array(node.expression)):
        return call("array_cat", node.this, node.expression)
    if isinstance(node, exp.Column) and node.name.lower() == "tableoid":
        return exp.Literal.number(_table_oid(node))
    if isinstance(node, exp.Anonymous):
        renamed = _RENAMED.get(node.name.lower())
        if renamed == "json_object":
            return call(renamed, *[_json_value(value) for value in node.expressions])
        return call(renamed, *node.expressions) if renamed else node
    if isinstance(node, exp.Func):
        return _function(node)
    return node


def _json_value(node: exp.Expr) -> exp.Expr:
    """SQLite's truth is a number; in JSON it is true or false."""
    if not isinstance(node, BOOLEAN_NODES) and not (
        isinstance(node, exp.Column) and node.name.lower() in BOOLEAN_COLUMNS
    ):
        return node
    words = exp.Case(this=exp.paren(node, copy=False))
    words = words.when(exp.Literal.number(0), exp.Literal.string("false"))
    return call("json", words.when(exp.Literal.number(1), exp.Literal.string("true")))


def _function(node: exp.Func) -> exp.Expr:
    """Functions whose SQLite form differs become calls of our own registered functions."""
    name = _CALLS.get(type(node).__name__)
    if name is None:
        return node
    arguments: list[exp.Expr] = []
    for key in node.arg_types:
        value = node.args.get(key)
        if isinstance(value, exp.Expr):
            if isinstance(value, exp.JSONKeyValue):
                arguments += [value.this, value.expression]
            else:
                arguments.append(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, exp.JSONKeyValue):
                    arguments += [item.this, item.expression]
                elif isinstance(item, exp.Expr):
                    arguments.append(item)
    return call(name, *arguments)


def _comparison(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.expression
    if isinstance(right, exp.Any):
        return _any(node, left, right.this)
    if isinstance(right, exp.Anonymous) and right.name.lower() == "all" and right.expressions:
        listed = exp.Select(expressions=[exp.column("value")])
        listed = listed.from_(exp.Table(this=call("json_each", as_array(right.expressions[0]))))
        found = exp.In(this=left, query=exp.Subquery(this=listed))
        return exp.Not(this=found) if isinstance(node, exp.NEQ) else found
    for column, literal in ((left, right), (right, left)):
        is_boolean = isinstance(column, exp.Column) and column.name.lower() in BOOLEAN_COLUMNS
        if is_boolean and isinstance(literal, exp.Literal) and literal.is_string:
            value = literal.this.lower() in ("t", "true", "y", "yes", "on", "1")
            return type(node)(this=column, expression=exp.Literal.number(int(value)))
    return node


def _any(node: exp.Expr, left: exp.Expr, values: exp.Expr) -> exp.Expr:
    """x = ANY(…) as x IN (…)"""
    while isinstance(values, exp.Paren):
        values = values.this
    found: exp.Expr
    if isinstance(values, (exp.Query, exp.Subquery)):
        query = values if isinstance(values, exp.Subquery) else exp.Subquery(this=values)
        found = exp.In(this=left, query=query)
    elif isinstance(values, exp.Anonymous) and values.name == "json_array":
        found = exp.In(this=left, expressions=list(values.expressions))
    else:
        each = exp.Select(expressions=[exp.column("value")])
        each = each.from_(exp.Table(this=call("json_each", as_array(values))))
        found = exp.In(this=left, query=exp.Subquery(this=each))
    return exp.Not(this=found) if isinstance(node, exp.NEQ) else found


def _array(node: exp.Array) -> exp.Expr:
    first = next(iter(node.expressions), None)
    if isinstance(first, exp.Query):
        inner = first
        select = _first_select(inner)
        if isinstance(select, exp.Select) and select.expressions:
            value = select.expressions[0]
            unaliased = value.this if isinstance(value, exp.Alias) else value
            value.replace(exp.alias_(unaliased.copy(), "_item"))
        group = exp.Select(expressions=[call("json_group_array", exp.column("_item"))])
        group = group.from_(exp.Subquery(this=inner, alias=exp.TableAlias(this="_items")))
        return as_array(exp.Subquery(this=group))
    return call("json_array", *node.expressions)


def _is_array(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and node.name in ("pg_array", "json_array")


def _is_vector(node: exp.Expr) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() in VECTOR_COLUMNS


def _subscript(node: exp.Bracket) -> exp.Expr:
    """a[i] as pg_at(array, 0-based index). sqlglot has taken 1 off literal subscripts already."""
    target, index = node.this, node.expressions[0]
    is_literal = isinstance(index, exp.Literal) or (
        isinstance(index, exp.Neg) and isinstance(index.this, exp.Literal)
    )
    base = 0
    if is_literal and _is_vector(target):
        base = 1
    elif not is_literal and not _is_vector(target):
        base = -1
    number = exp.Add(this=exp.Paren(this=index), expression=exp.Literal.number(base))
    return call("pg_at", as_array(target), number)


def _dot(node: exp.Dot) -> exp.Expr:
    """schema.function(…) without the schema; (composite).field from its JSON form."""
    if isinstance(node.expression, exp.Func):
        return _rewrite_node(node.expression)
    if isinstance(node.expression, exp.Identifier) and not isinstance(node.this, exp.Identifier):
        path = exp.Literal.string("$." + node.expression.name.lower())
        inner = node.this.this if isinstance(node.this, exp.Paren) else node.this
        return call("json_extract", inner, path)
    return node


def _table_oid(node: exp.Column) -> int:
    """The oid of the catalog the column's row is in."""
    select = node.parent_select
    if isinstance(select, exp.Select):
        for table in select.find_all(exp.Table):
            if not node.table or table.alias_or_name.lower() == node.table.lower():
                return RELATION_OIDS.get(table.name.lower(), 0)
    return 0


_REG_KINDS = frozenset(
    {"regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole"}
)
_INTEGER_TYPES = frozenset({"OID", "BIGINT", "INT", "INTEGER", "SMALLINT", "INT2", "INT4", "INT8"})


def _cast(node: exp.Cast) -> exp.Expr:
    target = node.to.sql("postgres").upper()
    name = target.lower()
    if name in _REG_KINDS:
        if name == "regprocedure":
            name = "regproc"
        return call(f"pg_{name}_{'name' if _is_shown(node) else 'oid'}", node.this)
    if target.endswith("[]") or target.startswith("ARRAY"):
        return as_array(node.this)
    if target in _INTEGER_TYPES:
        return call("pg_integer", node.this)
    if target == "BOOLEAN":
        return call("pg_bool", node.this)
    if target.startswith(("NUMERIC", "DECIMAL", "DOUBLE", "REAL", "FLOAT")):
        return exp.Cast(this=node.this, to=exp.DataType.build("real", dialect="sqlite"))
    if target.startswith(("TIMESTAMP", "DATE", "INTERVAL", "TIME")):
        return node.this
    return call("pg_text", node.this)


def _is_shown(node: exp.Cast) -> bool:
    """Is the name wanted of what a reg* cast gives, not the oid? As a result and as text."""
    parent = node.parent
    while isinstance(parent, (exp.Alias, exp.Paren)):
        parent = parent.parent
    if isinstance(parent, exp.Cast):
        words = parent.to.sql("postgres").upper()
        return words in ("TEXT", "NAME", "VARCHAR") or words.startswith(("VARCHAR", "CHAR"))
    return isinstance(parent, (exp.Select, exp.Ordered, exp.DPipe))
