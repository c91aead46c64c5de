"""The settings SHOW, current_setting() and pg_settings know, with their defaults. Pure."""

from __future__ import annotations

from typing import NamedTuple

SERVER_VERSION = "15.8"
SERVER_VERSION_NUM = "150008"
RELEASE = "TenGrid 0.1.0"
VERSION_TEXT = f"PostgreSQL {SERVER_VERSION} ({RELEASE})"


class Setting(NamedTuple):
    """A setting as pg_settings shows it. `kind`: bool, integer, string, real, enum."""

    name: str
    value: str
    kind: str = "string"
    category: str = "Client Connection Defaults"
    description: str = ""
    settable: bool = True


_PRESET = "Preset Options"

SETTINGS: dict[str, Setting] = {
    setting.name.lower(): setting
    for setting in (
        Setting("application_name", "", description="Name of the client program"),
        Setting("bytea_output", "hex", "enum"),
        Setting("client_encoding", "UTF8"),
        Setting("client_min_messages", "notice", "enum"),
        Setting("DateStyle", "ISO, MDY"),
        Setting("default_table_access_method", "heap"),
        Setting("default_tablespace", ""),
        Setting("default_transaction_deferrable", "off", "bool"),
        Setting("default_transaction_isolation", "read committed", "enum"),
        Setting("default_transaction_read_only", "off", "bool"),
        Setting("extra_float_digits", "1", "integer"),
        Setting("idle_in_transaction_session_timeout", "0", "integer"),
        Setting("idle_session_timeout", "0", "integer"),
        Setting("in_hot_standby", "off", "bool", _PRESET, settable=False),
        Setting("integer_datetimes", "on", "bool", _PRESET, settable=False),
        Setting("IntervalStyle", "postgres", "enum"),
        Setting("is_superuser", "off", "bool", _PRESET, settable=False),
        Setting("jit", "off", "bool"),
        Setting("lc_collate", "C.UTF-8", category=_PRESET, settable=False),
        Setting("lc_ctype", "C.UTF-8", category=_PRESET, settable=False),
        Setting("lc_messages", "C.UTF-8"),
        Setting("lc_monetary", "C.UTF-8"),
        Setting("lc_numeric", "C.UTF-8"),
        Setting("lc_time", "C.UTF-8"),
        Setting("lock_timeout", "0", "integer"),
        Setting("max_identifier_length", "63", "integer", _PRESET, settable=False),
        Setting("max_index_keys", "32", "integer", _PRESET, settable=False),
        Setting("max_prepared_transactions", "0", "integer", _PRESET, settable=False),
        Setting(
            "plsql_conn_mem_limit",
            "100",
            "integer",
            "Resource Usage",
            "MB that the PL/SQL collections of a session may hold; 0: no limit",
        ),
        Setting("row_security", "on", "bool"),
        Setting("search_path", '"$user"'),
        Setting("server_encoding", "UTF8", category=_PRESET, settable=False),
        Setting("server_version", SERVER_VERSION, category=_PRESET, settable=False),
        Setting("server_version_num", SERVER_VERSION_NUM, "integer", _PRESET, settable=False),
        Setting("session_authorization", "", category=_PRESET, settable=False),
        Setting("standard_conforming_strings", "on", "bool"),
        Setting("statement_timeout", "0", "integer"),
        Setting("synchronous_commit", "on", "enum"),
        Setting("synchronize_seqscans", "on", "bool"),
        Setting(
            "tengrid.on_statement_error",
            "continue",
            "enum",
            description="What a failed statement does to its transaction: continue or abort",
        ),
        Setting("TimeZone", "UTC"),
        Setting("transaction_deferrable", "off", "bool"),
        Setting("transaction_isolation", "read committed", "enum"),
        Setting("transaction_read_only", "off", "bool"),
        Setting("vacuum_defer_cleanup_age", "0", "integer"),
        Setting("work_mem", "4096", "integer", "Resource Usage"),
    )
}


def default_setting(name: str) -> str | None:
    """The default of a setting, None if there is none of that name (any case)."""
    setting = SETTINGS.get(name.lower())
    return setting.value if setting else None
