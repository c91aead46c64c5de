"""WHERE CURRENT OF: a cursor FOR UPDATE brings the key of its row along. Pure.

Rows have no row id here: the columns of the primary key are put behind the cursor's own, and kept
apart from them.
"""

from __future__ import annotations

import re

from data.plsql.reading import Reader
from data.plsql.scope import Hooks
from data.plsql.tokens import END, NAME, QUOTED

CURRENT_OF = re.compile(r"\bWHERE\s+CURRENT\s+OF\s+([\w$#]+(?:\s*\.\s*[\w$#]+)*)", re.IGNORECASE)
_FOR_UPDATE = re.compile(r"\bFOR\s+UPDATE\b", re.IGNORECASE)
_NO_ALIAS = frozenset({"WHERE", "ORDER", "FOR"})
_ONE_ROW_OF_MANY = frozenset({"DISTINCT", "UNIQUE"})


def with_key(text: str, hooks: Hooks) -> tuple[str, tuple[str, ...]]:
    """The query with its table's key as last columns, and their names; () if it has none such.

    Only SELECT … FROM one table … FOR UPDATE has.
    """
    if _FOR_UPDATE.search(text) is None:
        return text, ()
    reader = Reader(text)
    if not reader.accept("SELECT") or reader.is_word(*_ONE_ROW_OF_MANY):
        return text, ()
    depth = 0
    while depth or not reader.is_word("FROM"):
        token = reader.take()
        if token.kind == END:
            return text, ()
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "operator" else 0
    begin = reader.take().start
    if reader.token.kind not in (NAME, QUOTED):
        return text, ()
    names = reader.dotted()
    alias = f'"{names[-1]}"'
    if reader.token.kind in (NAME, QUOTED) and reader.token.text not in _NO_ALIAS:
        alias = f'"{reader.take().text}"'
    if not reader.is_word(*_NO_ALIAS):
        return text, ()
    keys = hooks.primary_key(names)
    if not keys:
        return text, ()
    columns = "".join(f', {alias}."{key}"' for key in keys)
    return f"{text[:begin].rstrip()}{columns} {text[begin:]}", keys
