"""Does a query ask the catalog (pg_catalog, information_schema, SYS, ALL_…)? Pure.

Told from the tokens of the text: such queries are PostgreSQL's and may not parse here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from data.catalog.pg_schema import CATALOG_FUNCTIONS, REG_TYPES, is_catalog_relation
from data.sql.calls import FUNCTIONS

# no query without one of these in it asks the catalog
_QUICK = re.compile(
    r"pg_|information_schema|sys\.|v\$|(?:all|user|dba)_|current_|session_user|version|format_type"
    r"|set_config|has_|obj_desc|col_desc|to_reg|quote_|inet_|txid_|getdatabase|::\s*reg|as\s+reg",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|\$\$.*?\$\$"
    r"|(?P<name>(?:\"[^\"]+\"|[A-Za-z_][\w$#]*)(?:\s*\.\s*(?:\"[^\"]+\"|[A-Za-z_][\w$#]*))*)"
    r"|(?P<op>::|[(),;])",
    re.DOTALL,
)
_QUERY = re.compile(r"(?:\s+|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(?:select|with|values)\b", re.I | re.S)
_NILADIC = frozenset(
    {"current_schema", "current_user", "session_user", "current_catalog", "current_role"}
)
_OUR_WORDS = frozenset(
    {"sysdate", "systimestamp", "tt_sysdate", "ora_sysdate", "user", "uid", "rownum"}
)
# functions that the queries of tools use beside the catalog's own
_CATALOG_TOO = frozenset({"coalesce", "nullif", "lower", "upper", "length", "substr", "replace"})
_ENDS_FROM = frozenset(
    {"where", "group", "order", "having", "limit", "union", "select", "on", "set", "fetch"}
)


def asks_catalog(text: str, is_relation: Callable[[str], bool]) -> bool:
    """`is_relation`: did users make a relation of that upper-case name?"""
    if _QUICK.search(text) is None or _QUERY.match(text) is None:
        return False
    scan = _Scan(is_relation)
    for match in _TOKEN.finditer(text):
        name, op = match["name"], match["op"]
        if name is not None:
            scan.name(name, text[match.end() : match.end() + 20].lstrip()[:1] == "(")
        elif op is not None:
            scan.op(op)
        if scan.relation:
            return True
    return scan.function and not scan.others and (scan.only_catalog or not scan.ours)


class _Scan:
    """What the tokens read so far tell."""

    def __init__(self, is_relation: Callable[[str], bool]) -> None:
        self._is_relation = is_relation
        self._expect = False  # a relation's name may come next
        self._in_from = [False]
        self._cast = False
        self.relation = False  # a catalog relation is named
        self.function = False  # something the catalog knows is called
        self.only_catalog = False  # and the compiler does not know it
        self.ours = False  # something only the compiler knows is called
        self.others = False  # a relation that is not the catalog's

    def op(self, op: str) -> None:
        if op == "(":
            self._in_from.append(False)
            return
        if op == ")" and len(self._in_from) > 1:
            self._in_from.pop()
        self._expect = op == "," and self._in_from[-1]
        self._cast = op == "::"

    def name(self, text: str, is_call: bool) -> None:
        parts = [p.strip().strip('"') for p in text.split(".")]
        last = parts[-1].lower()
        if len(parts) == 1 and last in ("from", "join"):
            self._expect = True
            self._in_from[-1] = True
        elif len(parts) == 1 and last in _ENDS_FROM:
            self._expect = False
            self._in_from[-1] = False
        elif self._cast or (len(parts) == 1 and last in REG_TYPES):
            self.function = self.function or last in REG_TYPES
            self._cast = False
        elif is_call or last in _NILADIC:
            self._call(parts, last)
        elif len(parts) == 1 and last in _OUR_WORDS:
            self.ours = True
        elif self._expect:
            self._expect = last in ("only", "lateral")
            self._relation(parts)

    def _call(self, parts: list[str], last: str) -> None:
        self._expect = False
        catalog = len(parts) > 1 and parts[-2].lower() in ("pg_catalog", "information_schema")
        if catalog or last in CATALOG_FUNCTIONS or last in _NILADIC:
            self.function = True
            self.only_catalog = self.only_catalog or catalog or last.upper() not in FUNCTIONS
        elif last.upper() in FUNCTIONS and last not in _CATALOG_TOO:
            self.ours = True

    def _relation(self, parts: list[str]) -> None:
        name = parts[-1]
        schema = parts[-2] if len(parts) > 1 else ""
        if name.lower() in ("dual", "only", "lateral"):
            return
        if is_catalog_relation(schema, name) and not (
            not schema and self._is_relation(name.upper())
        ):
            self.relation = True
        elif schema.lower() in ("pg_catalog", "information_schema"):
            self.relation = True  # not one we have: the catalog says so
        else:
            self.others = True
