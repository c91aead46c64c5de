"""Does a query ask the catalog (pg_catalog, information_schema, SYS, ALL_…)? Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

_STRINGS = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_QUICK = re.compile(
    r"\b(?:pg_|information_schema|sys\s*\.|\"?v\$|gv\$|(?:all|user|dba)_\w|version\s*\(|current_schemas"
    r"|current_setting|set_config|has_\w+_privilege|format_type|obj_description|col_description"
    r"|to_reg\w+|current_schema\s*\(|inet_|txid_|quote_ident|array_|regclass|regtype"
    r"|generate_series|current_database\s*\(|current_catalog)",
    re.IGNORECASE,
)
_OWN = re.compile(r"\bsys\s*\.\s*dual\b|\bpg_backend_pid\s*\(\s*\)", re.IGNORECASE)
_NAMES = re.compile(r"\b(?:all|user|dba)_\w+|\bv\$\w+|\bgv\$\w+|\bpg_\w+", re.IGNORECASE)


def asks_catalog(text: str, is_known: Callable[[str], bool]) -> bool:
    """`is_known`: is that upper-case name a relation or column users made?"""
    if _QUICK.search(text) is None:
        return False
    bare = _OWN.sub(" ", _STRINGS.sub("''", text))
    found = _QUICK.search(bare)
    if found is None:
        return "regclass" in text.lower() and "::regclass" in bare.lower()
    for match in _QUICK.finditer(bare):
        name = _NAMES.match(bare, match.start())
        if name is None or not is_known(name.group().upper()):
            return True
    return False
