"""The functions catalog queries call, in Python, over the catalog and session of the moment. Pure.

Arrays are JSON texts (a few come as '{…}' from clients); NULL in gives NULL out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from data.catalog import settings
from data.catalog.catalog import Catalog, shown
from data.catalog.objects import Check, ForeignKey, Index, Table, View
from data.catalog.pg_rows import INFORMATION_SCHEMA_OID, PG_CATALOG_OID
from data.catalog.pg_schema import RELATION_OIDS
from data.catalog.pg_texts import (
    TYPE_BY_NAME,
    TYPE_BY_OID,
    constraint_text,
    format_type,
    ident,
    index_text,
    quote_ident,
)
from data.sql import regexps
from protocol.clock import Clock
from protocol.errors import (
    InvalidTextError,
    ParameterError,
    UnknownObjectError,
    UnknownTableError,
)
from protocol.limits import check_value_length
from protocol.sqltypes import StorageValue

Value = StorageValue
_ENCODING_UTF8 = 6
_CATALOG_NAMES = {oid: name for name, oid in RELATION_OIDS.items()}


@dataclass(frozen=True)
class SessionFacts:
    """What catalog queries want to know of the session that asks.

    `user`, `schema`: folded names. `settings`: those that differ from the defaults. `set_setting`
    carries out set_config(name, value, is_local); None: it is ignored.
    """

    user: str
    database: str
    schema: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    backend_pid: int = 0
    databases: tuple[str, ...] = ()
    server_address: str = ""
    server_port: int = 0
    set_setting: Callable[[str, str, bool], None] | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """Schemas searched for unqualified names."""
        return (self.schema or self.user,)


def to_list(value: Value) -> list[Value] | None:
    """A JSON or '{…}' array, or an int2vector "1 2", as a list."""
    if value is None:
        return None
    text = str(value).strip()
    if text.startswith("["):
        found: list[Value] = json.loads(text)
        return found
    if text.startswith("{") and text.endswith("}"):
        return [_element(item) for item in _ARRAY_ITEM.findall(text[1:-1])]
    return [_element(word) for word in text.split()]


_ARRAY_ITEM = re.compile(r'"(?:[^"\\]|\\.)*"|[^,]+')


def _element(text: str) -> Value:
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.upper() == "NULL":
        return None
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def array_literal(value: Value) -> str | None:
    """A JSON array as PostgreSQL prints it: {a,"b c",NULL}."""
    items = to_list(value)
    if items is None:
        return None

    def one(item: Value) -> str:
        if item is None:
            return "NULL"
        text = str(item)
        if text and not re.search(r'[\s,{}"\\]', text) and text.upper() != "NULL":
            return text
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(one(item) for item in items) + "}"


@lru_cache(maxsize=500)
def _like_pattern(pattern: str, escape: str) -> re.Pattern[str]:
    """Each part between two % is looked for once, at its first place: no text makes it slow."""
    check_value_length(len(pattern) * 100)
    parts: list[str] = [""]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if escape and char == escape and at + 1 < len(pattern):
            at += 1
            parts[-1] += re.escape(pattern[at])
        elif char == "%":
            parts.append("")
        else:
            parts[-1] += "." if char == "_" else re.escape(char)
        at += 1
    first, *rest = parts
    last = ".*" + rest.pop() if rest else ""
    inner = [f"(?>.*?{part})" for part in rest if part]
    return re.compile(first + "".join(inner) + last, re.DOTALL)


def like(pattern: Value, text: Value, escape: Value = "\\") -> Value:
    """SQLite calls it like(pattern, text[, escape]) for text LIKE pattern."""
    if pattern is None or text is None:
        return None
    return int(_like_pattern(str(pattern), str(escape or "")).fullmatch(str(text)) is not None)


def _size_pretty(value: Value) -> str | None:
    if value is None:
        return None
    size = float(value)
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(size) < 10240:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.0f} TB"


def _integer(value: Value) -> Value:
    if value is None or isinstance(value, int):
        return value
    try:
        return int(str(value).strip() if not isinstance(value, float) else value)
    except ValueError:
        message = f'invalid input syntax for type integer: "{value!r}"'
        raise ParameterError(message) from None


def _boolean(value: Value) -> Value:
    if value is None or isinstance(value, int):
        return value
    return int(str(value).lower() in ("t", "true", "y", "yes", "on", "1"))


def _text(value: Value) -> Value:
    return value if value is None or isinstance(value, str) else str(value)


def _at(array: Value, index: Value) -> Value:
    items = to_list(array)
    if items is None or not isinstance(index, int) or not 0 <= index < len(items):
        return None
    return items[index]


def _series(start: Value, end: Value, step: Value = 1) -> Value:
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(step, int)):
        return "[]"
    limit = 100_000  # catalog queries count columns and keys; more is a mistake
    if step == 0 or abs(end - start) // abs(step) > limit:
        raise ParameterError("generate_series in catalog queries is for short series")
    return json.dumps(list(range(start, end + (1 if step > 0 else -1), step)))


def _subscripts(array: Value, first: Value) -> Value:
    items = to_list(array)
    assert isinstance(first, int)
    return json.dumps(list(range(first, first + len(items)))) if items else "[]"


def _array_to_string(array: Value, separator: Value, null: Value = None) -> Value:
    items = to_list(array)
    if items is None or separator is None:
        return None
    shown_items = [null if item is None else item for item in items]
    return str(separator).join(str(item) for item in shown_items if item is not None)


def _array_position(array: Value, wanted: Value) -> Value:
    items = to_list(array)
    return items.index(wanted) + 1 if items and wanted in items else None


def _array_remove(array: Value, unwanted: Value) -> Value:
    items = to_list(array)
    return None if items is None else json.dumps([i for i in items if i != unwanted])


def _array_cat(first: Value, second: Value) -> Value:
    left, right = to_list(first), to_list(second)
    if left is None or right is None:
        return first if right is None else second
    return json.dumps(left + right)


def _array_length(array: Value, _dimension: Value = 1) -> Value:
    items = to_list(array)
    return len(items) if items else None


def _regexp_replace(text: Value, pattern: Value, by: Value = "", flags: Value = "") -> Value:
    if text is None or pattern is None:
        return None
    count = 0 if "g" in str(flags) else 1
    found = regexps.compiled(str(pattern), "i" if "i" in str(flags) else "")
    return regexps.replace_all("", str(text), found, str(by), count) or ""


class CatalogFunctions:
    """Registered once on the connection; `use` sets what they answer about."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.catalog = Catalog.initial()
        self.session = SessionFacts("SYS", "")
        self._names: dict[int, tuple[str, str]] = {}  # oid → (schema, name) of relations, indexes
        self._by_name: dict[tuple[str, str], int] = {}  # the reverse, names as stored
        self._indexes: dict[int, tuple[Table, Index]] = {}
        self._constraints: dict[int, Index | ForeignKey | Check] = {}
        self._roles: dict[int, str] = {}

    def use(self, catalog: Catalog, session: SessionFacts) -> None:
        """The next query is about these."""
        self.session = session
        if catalog is self.catalog:
            return
        self.catalog = catalog
        self._names, self._indexes, self._constraints = {}, {}, {}
        for relation in catalog.relations.values():
            if isinstance(relation, Table) and relation.system:
                continue
            self._names[relation.id] = (relation.schema, relation.name)
            if isinstance(relation, Table):
                for index in relation.indexes:
                    self._names[index.id] = (relation.schema, index.name)
                    self._indexes[index.id] = (relation, index)
                    self._constraints[index.id] = index
                self._constraints |= {key.id: key for key in relation.foreign_keys}
                self._constraints |= {check.id: check for check in relation.checks}
        self._by_name = {name: oid for oid, name in self._names.items()}
        self._roles = {user.id: user.name for user in catalog.users.values()}

    # -- names and oids ---------------------------------------------------------------------------
    def _find_relation(self, text: str) -> int | None:
        parts = re.findall(r'"(?:[^"]|"")*"|[^."]+', text.strip())
        folded = [
            p[1:-1].replace('""', '"') if p.startswith('"') else p.strip().upper() for p in parts
        ]
        if not folded:
            return None
        name = folded[-1]
        if len(folded) > 1:
            if folded[-2] in ("PG_CATALOG", "pg_catalog"):
                return RELATION_OIDS.get(name.lower())
            return self._by_name.get((folded[-2], name)) or self._by_name.get(
                (folded[-2].upper(), name.upper())
            )
        for schema in self.session.path:
            oid = self._by_name.get((schema, name)) or self._by_name.get((schema, name.upper()))
            if oid is not None:
                return oid
        return RELATION_OIDS.get(name.lower())

    def regclass_oid(self, value: Value) -> Value:
        """text::regclass, to_regclass(text). Raises UnknownTableError."""
        if value is None or isinstance(value, int):
            return value
        text = str(value)
        if text.isdigit():
            return int(text)
        oid = self._find_relation(text)
        if oid is None:
            raise UnknownTableError(f'relation "{text}" does not exist')
        return oid

    def to_regclass(self, value: Value) -> Value:
        """to_regclass(text): NULL for what does not exist."""
        return None if value is None else self._find_relation(str(value))

    def regclass_name(self, value: Value) -> Value:
        """oid::regclass::text."""
        oid = self.regclass_oid(value)
        if oid is None or oid == 0:
            return "-" if oid == 0 else None
        assert isinstance(oid, int)
        if oid in _CATALOG_NAMES:
            return _CATALOG_NAMES[oid]
        found = self._names.get(oid)
        if found is None:
            return str(oid)
        schema, name = found
        return ident(name) if schema in self.session.path else f"{ident(schema)}.{ident(name)}"

    def regtype_oid(self, value: Value) -> Value:
        """text::regtype; NULL for what is no type, as to_regtype has it."""
        if value is None or isinstance(value, int):
            return value
        text = str(value).strip().lower().removeprefix("pg_catalog.")
        if text.isdigit():
            return int(text)
        base = re.sub(r"\(.*?\)", "", text).strip().strip('"')
        found = TYPE_BY_NAME.get(base.removesuffix("[]"))
        if found is None:
            return None
        return found.array if base.endswith("[]") else found.oid

    def regtype_name(self, value: Value) -> Value:
        """oid::regtype::text."""
        oid = self.regtype_oid(value)
        return format_type(oid, None) if isinstance(oid, int) else None

    def regnamespace_oid(self, value: Value) -> Value:
        """text::regnamespace. Raises UnknownObjectError."""
        if value is None or isinstance(value, int):
            return value
        text = str(value).strip('"')
        fixed = {"pg_catalog": PG_CATALOG_OID, "information_schema": INFORMATION_SCHEMA_OID}
        if text.lower() in fixed:
            return fixed[text.lower()]
        user = self.catalog.user(text)
        if user is None:
            raise UnknownObjectError(f'schema "{text}" does not exist')
        return user.id

    def regnamespace_name(self, value: Value) -> Value:
        """oid::regnamespace::text."""
        if value == PG_CATALOG_OID:
            return "pg_catalog"
        if value == INFORMATION_SCHEMA_OID:
            return "information_schema"
        return self.user_name(value)

    def regrole_oid(self, value: Value) -> Value:
        """text::regrole. Raises UnknownObjectError."""
        if value is None or isinstance(value, int):
            return value
        return self.catalog.need_user(str(value).strip('"')).id

    def user_name(self, value: Value) -> Value:
        """pg_get_userbyid."""
        if value is None:
            return None
        value = oid_of(value)
        name = self._roles.get(value)
        return shown(name) if name is not None else f"unknown (OID={value})"

    def default_acl(self, kind: Value, owner: Value) -> Value:
        """acldefault: what an object without grants allows, as a JSON array."""
        if owner is None:
            return None
        name = str(self.user_name(owner))
        to_all, to_owner = _DEFAULT_ACLS.get(str(kind), ("", ""))
        items = [f"={to_all}/{name}"] if to_all else []
        return json.dumps([*items, f"{name}={to_owner}/{name}"] if to_owner else items)

    # -- definitions ------------------------------------------------------------------------------
    def constraint_definition(self, oid: Value, _pretty: Value = 0) -> Value:
        """pg_get_constraintdef(oid[, pretty])."""
        found = self._constraints.get(oid) if isinstance(oid, int) else None
        return constraint_text(self.catalog, found, self.session.path) if found else None

    def index_definition(self, oid: Value, column: Value = 0, _pretty: Value = 0) -> Value:
        """pg_get_indexdef(oid[, column, pretty])."""
        found = self._indexes.get(oid) if isinstance(oid, int) else None
        if found is None:
            return None
        number = column if isinstance(column, int) else 0
        path = self.session.path if _pretty else ()  # as PostgreSQL: always qualified unless pretty
        return index_text(*found, path, number)

    def serial_sequence(self, table: Value, column: Value) -> Value:
        """pg_get_serial_sequence(table, column): that of an identity column."""
        oid = self.regclass_oid(table)
        found = self.catalog.by_id.get(oid) if isinstance(oid, int) else None
        if not isinstance(found, Table):
            return None
        for one in found.columns:
            if one.identity and shown(one.name) == column and one.sequence_id in self._names:
                schema, name = self._names[one.sequence_id]
                return f"{ident(schema)}.{ident(name)}"
        return None

    def view_definition(self, view: Value, _pretty: Value = 0) -> Value:
        """pg_get_viewdef(oid[, pretty])."""
        oid = self.regclass_oid(view)
        found = self.catalog.by_id.get(oid) if isinstance(oid, int) else None
        return f" {found.sql};" if isinstance(found, View) else None

    def _comment(self, oid: Value, number: int) -> Value:
        found = self.catalog.by_id.get(oid) if isinstance(oid, int) else None
        if not isinstance(found, (Table, View)):
            return None
        if number:
            return (
                found.columns[number - 1].comment or None if number <= len(found.columns) else None
            )
        return found.comment or None

    def column_comment(self, oid: Value, number: Value) -> Value:
        """col_description(table oid, column number)."""
        return self._comment(oid, number) if isinstance(number, int) else None

    def object_comment(self, oid: Value, catalog: Value = "pg_class") -> Value:
        """obj_description(oid, catalog)."""
        if catalog == "pg_constraint":
            constraint = self._constraints.get(oid) if isinstance(oid, int) else None
            return (constraint.comment or None) if constraint is not None else None
        return self._comment(oid, 0) if catalog == "pg_class" else None

    # -- visibility and privileges ----------------------------------------------------------------
    def table_is_visible(self, oid: Value) -> Value:
        """pg_table_is_visible: found without its schema?"""
        if oid is None:
            return None
        found = self._names.get(oid) if isinstance(oid, int) else None
        return int(found[0] in self.session.path if found else oid in _CATALOG_NAMES)

    def type_is_visible(self, oid: Value) -> Value:
        """pg_type_is_visible."""
        return int(oid in TYPE_BY_OID)

    def may_table(self, *arguments: Value) -> Value:
        """has_table_privilege([user,] table, privilege)."""
        *user, table, privilege = arguments
        name = str(user[0]).upper() if user else self.session.user
        oid = self.regclass_oid(table)
        found = self.catalog.by_id.get(oid) if isinstance(oid, int) else None
        if not isinstance(found, (Table, View)):
            return 1
        wanted = str(privilege).upper().split(",")
        return int(any(self.catalog.has_privilege(name, found, w.strip()) for w in wanted))

    def can_see(self, owner: Value, name: Value) -> Value:
        """Is the object among ALL_…? Own ones, and those one has a privilege on."""
        user = self.session.user
        if owner == user or self.catalog.has_system_privilege(user, "ADMIN"):
            return 1
        key = (str(owner), str(name))
        found = self.catalog.relations.get(key)
        if found is None and key in self.catalog.synonyms:
            if key[0] == "PUBLIC":
                return 1
            found = self.catalog.find(*key)
        if found is None and (index := self.catalog.find_index(*key)) is not None:
            found = index[0]
        if found is None:
            unit = self.catalog.find_unit(*key)
            return int(unit is not None and self.catalog.has_privilege(user, unit, "EXECUTE"))
        return int(self.catalog.has_some_privilege(user, found))

    # -- session ----------------------------------------------------------------------------------
    def current_schemas(self, implicit: Value) -> Value:
        """current_schemas(boolean)."""
        path = [shown(schema) for schema in self.session.path]
        return json.dumps(["pg_catalog", *path] if implicit else path)

    def current_setting(self, name: Value, missing_ok: Value = 0) -> Value:
        """current_setting(name[, missing_ok]). Raises UnknownObjectError."""
        wanted = str(name).lower()
        for key, value in self.session.settings.items():
            if key.lower() == wanted:
                return value
        value_found = settings.default_setting(wanted)
        if value_found is None and not missing_ok:
            raise UnknownObjectError(f'unrecognized configuration parameter "{wanted}"')
        return value_found

    def set_config(self, name: Value, value: Value, is_local: Value) -> Value:
        """set_config(name, value, is_local)."""
        if self.session.set_setting is not None and name is not None:
            self.session.set_setting(str(name), str(value or ""), bool(is_local))
        return value

    # -- registration -----------------------------------------------------------------------------
    def scalar_functions(self) -> dict[str, Callable[..., Value]]:
        """Name → function, any number of arguments."""
        return {**_PLAIN, **self._of_catalog(), **self._of_session()}

    def _of_catalog(self) -> dict[str, Callable[..., Value]]:
        return {
            "pg_regclass_oid": self.regclass_oid,
            "to_regclass": self.to_regclass,
            "pg_regclass_name": self.regclass_name,
            "pg_regtype_oid": self.regtype_oid,
            "pg_regtype_name": self.regtype_name,
            "pg_regnamespace_oid": self.regnamespace_oid,
            "pg_regnamespace_name": self.regnamespace_name,
            "pg_regrole_oid": self.regrole_oid,
            "pg_regrole_name": self.user_name,
            "pg_get_userbyid": self.user_name,
            "acldefault": self.default_acl,
            "pg_get_constraintdef": self.constraint_definition,
            "pg_get_indexdef": self.index_definition,
            "pg_get_viewdef": self.view_definition,
            "pg_get_serial_sequence": self.serial_sequence,
            "col_description": self.column_comment,
            "obj_description": self.object_comment,
            "pg_table_is_visible": self.table_is_visible,
            "pg_type_is_visible": self.type_is_visible,
            "has_table_privilege": self.may_table,
            "tg_can_see": self.can_see,
        }

    def _of_session(self) -> dict[str, Callable[..., Value]]:
        return {
            **dict.fromkeys(_NOW, self._clock.wall_us),
            "tg_user": lambda: shown(self.session.user),
            "tg_owner": lambda: self.session.user,
            "tg_database": lambda: self.session.database,
            "tg_current_schema": lambda: shown(self.session.path[0]),
            "current_schemas": self.current_schemas,
            "current_setting": self.current_setting,
            "set_config": self.set_config,
            "pg_backend_pid": lambda: self.session.backend_pid,
            "inet_server_addr": lambda: self.session.server_address or None,
            "inet_server_port": lambda: self.session.server_port or None,
        }


def _constant(value: Value) -> Callable[..., Value]:
    return lambda *_: value


def oid_of(value: Value) -> int:
    """An oid, perhaps written as text. Raises InvalidTextError."""
    text = str(value).strip()
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise InvalidTextError(f'invalid input syntax for type oid: "{text}"')
    return int(text)


def _null_safe(function: Callable[..., Value]) -> Callable[..., Value]:
    """NULL for a NULL first argument."""
    return lambda first, *more: None if first is None else function(first, *more)


_DEFAULT_ACLS = {  # kind of object: what PUBLIC and its owner may (acldefault in PostgreSQL 15)
    "r": ("", "arwdDxt"),
    "s": ("", "rwU"),
    "d": ("Tc", "CTc"),
    "f": ("X", "X"),
    "l": ("U", "U"),
    "L": ("", "rw"),
    "n": ("", "UC"),
    "t": ("", "C"),
    "F": ("", "U"),
    "S": ("", "U"),
    "T": ("U", "U"),
    "p": ("", "sA"),
}
_NOW = (
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "pg_postmaster_start_time",
    "pg_conf_load_time",
)
_ONE = (
    "pg_function_is_visible",
    "pg_collation_is_visible",
    "pg_opclass_is_visible",
    "pg_opfamily_is_visible",
    "pg_operator_is_visible",
    "pg_conversion_is_visible",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_statistics_obj_is_visible",
    "has_schema_privilege",
    "has_database_privilege",
    "has_column_privilege",
    "has_any_column_privilege",
    "has_sequence_privilege",
    "has_function_privilege",
    "has_type_privilege",
    "has_tablespace_privilege",
    "has_language_privilege",
    "pg_has_role",
)
_ZERO = (
    "pg_is_in_recovery",
    "pg_table_size",
    "pg_relation_size",
    "pg_total_relation_size",
    "pg_indexes_size",
    "pg_database_size",
    "pg_tablespace_size",
    "pg_stat_get_dead_tuples",
    "pg_stat_get_live_tuples",
    "pg_stat_get_numscans",
    "pg_stat_get_tuples_fetched",
    "pg_stat_get_tuples_returned",
    "pg_relation_is_publishable",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_my_temp_schema",
    "pg_relation_is_updatable",
    "txid_current",
)
_NULL = (
    "shobj_description",
    "pg_get_functiondef",
    "pg_get_function_sqlbody",
    "pg_get_function_result",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_triggerdef",
    "pg_get_ruledef",
    "pg_get_partkeydef",
    "pg_get_statisticsobjdef",
    "pg_get_statisticsobjdef_columns",
    "pg_tablespace_location",
    "pg_advisory_unlock_all",
    "pg_notify",
    "inet_client_addr",
    "inet_client_port",
    "pg_regproc_oid",
    "pg_export_snapshot",
)

_PLAIN: dict[str, Callable[..., Value]] = {
    **{name: _constant(1) for name in _ONE},
    **{name: _constant(0) for name in _ZERO},
    **{name: _constant(None) for name in _NULL},
    "pg_regproc_name": _null_safe(lambda value: str(value)),
    "pg_get_expr": lambda text, *_: text,
    "format_type": _null_safe(
        lambda oid, modifier=None: format_type(
            oid_of(oid), None if modifier is None else oid_of(modifier)
        )
    ),
    "version": lambda: settings.VERSION_TEXT,
    "pg_encoding_to_char": lambda number: "UTF8" if number == _ENCODING_UTF8 else "",
    "pg_char_to_encoding": lambda name: _ENCODING_UTF8 if str(name).upper() == "UTF8" else -1,
    "getdatabaseencoding": lambda: "UTF8",
    "pg_client_encoding": lambda: "UTF8",
    "pg_size_pretty": _size_pretty,
    "quote_ident": _null_safe(lambda text: quote_ident(str(text))),
    "quote_literal": _null_safe(lambda text: "'" + str(text).replace("'", "''") + "'"),
    "pg_array": lambda value: None if value is None else json.dumps(to_list(value)),
    "pg_at": _at,
    "pg_series": _series,
    "pg_subscripts": _subscripts,
    "array_to_string": _array_to_string,
    "array_position": _array_position,
    "array_remove": _array_remove,
    "array_cat": _array_cat,
    "array_append": lambda array, item: json.dumps([*(to_list(array) or []), item]),
    "array_length": _array_length,
    "array_upper": _array_length,
    "array_lower": lambda array, _dimension=1: 1 if to_list(array) else None,
    "cardinality": _null_safe(lambda array: len(to_list(array) or [])),
    "string_to_array": _null_safe(lambda text, by: json.dumps(str(text).split(str(by)))),
    "pg_integer": _integer,
    "pg_bool": _boolean,
    "pg_text": _text,
    "pg_regex": _null_safe(
        lambda text, pattern, ignore: (
            None
            if pattern is None
            else regexps.regexp_like(str(text), str(pattern), "i" if ignore else "")
        )
    ),
    "regexp_replace": _regexp_replace,
    "strpos": _null_safe(lambda text, part: str(text).find(str(part)) + 1),
    "split_part": _null_safe(
        lambda text, by, n: (str(text).split(str(by)) + [""] * n)[n - 1] if n > 0 else ""
    ),
    "starts_with": _null_safe(lambda text, part: int(str(text).startswith(str(part)))),
    "pg_left": _null_safe(lambda text, n: str(text)[:n]),
    "pg_right": _null_safe(lambda text, n: str(text)[-n:] if n else ""),
    "pg_repeat": _null_safe(lambda text, n: str(text) * max(0, min(n, 10_000))),
    "pg_reverse": _null_safe(lambda text: str(text)[::-1]),
    "initcap": _null_safe(lambda text: str(text).title()),
    "chr": _null_safe(lambda n: chr(n)),
    "char_length": _null_safe(lambda text: len(str(text))),
    "like": like,
}
