"""Statements that are not about rows: transactions, settings, cursors, LOCK TABLE, no-ops. Pure."""

from __future__ import annotations

import re

from data.catalog.catalog import Catalog
from data.catalog.objects import Table
from data.sql.parse import refuse
from data.sql.plan_types import UtilityPlan
from protocol.errors import SqlSyntaxError
from protocol.names import folded_quoted

_TOKEN = re.compile(
    r"\s+|--[^\n]*|/\*.*?\*/|(?P<quoted>\"(?:[^\"]|\"\")*\")|(?P<string>'(?:[^']|'')*')"
    r"|(?P<word>[A-Za-z_][\w$#.]*)|(?P<number>[+-]?\d+(?:\.\d+)?)|(?P<op>[=,;()*:-])|(?P<other>.)",
    re.DOTALL,
)
_NOTHING = frozenset(
    [
        "LISTEN",
        "UNLISTEN",
        "NOTIFY",
        "VACUUM",
        "CHECKPOINT",
        "CLUSTER",
        "REINDEX",
        "SECURITY",
    ]
)
_REFUSED = {
    "REFRESH": "REFRESH (materialized views are always kept up; there are no cache groups)",
    "LOAD": "LOAD CACHE GROUP",
    "UNLOAD": "UNLOAD CACHE GROUP",
    "AUDIT": "AUDIT",
    "NOAUDIT": "NOAUDIT",
    "FLUSH": "FLUSH CACHE GROUP",
    "DO": "DO (a PL/SQL block)",
    "USE": "USE",
    "MOVE": "MOVE",
}


class Words:
    """The tokens of a utility statement, read from the left."""

    def __init__(self, text: str) -> None:
        self.items: list[tuple[str, str, int]] = []
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup
            if kind and not (kind == "op" and match.group() == ";"):
                self.items.append((kind, match.group(), match.start()))
        self.at = 0
        self.text = text

    def peek(self, ahead: int = 0) -> str:
        """The next token, words in upper case; "" at the end."""
        index = self.at + ahead
        if index >= len(self.items):
            return ""
        kind, text, _ = self.items[index]
        return text.upper() if kind == "word" else text

    def take(self, *words: str) -> bool:
        """Skip these words if they come next."""
        if all(self.peek(i) == w for i, w in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def expect(self, word: str) -> None:
        """Raises SqlSyntaxError unless it comes next."""
        if not self.take(word):
            raise self.error()

    def error(self) -> SqlSyntaxError:
        """A syntax error at the present place."""
        if self.at < len(self.items):
            _, text, start = self.items[self.at]
            return SqlSyntaxError(f'syntax error at or near "{text}"', position=start + 1)
        return SqlSyntaxError("syntax error at end of input", position=len(self.text) + 1)

    def name(self, *, fold: bool = True) -> str:
        """An identifier: upper case unless quoted."""
        if self.at >= len(self.items):
            raise self.error()
        kind, text, _ = self.items[self.at]
        if kind == "quoted":
            self.at += 1
            name = text[1:-1].replace('""', '"')
            return folded_quoted(name) if fold else name
        if kind != "word":
            raise self.error()
        self.at += 1
        return text.upper() if fold else text

    def qualified(self) -> tuple[str, ...]:
        """A name of an object, perhaps with its schema; either may be quoted."""
        parts: list[str] = []
        follows = True
        while follows:
            quoted = self.at < len(self.items) and self.items[self.at][0] == "quoted"
            text = self.name()
            parts += [text] if quoted else [part for part in text.split(".") if part]
            follows = self.take(".") or (text.endswith(".") and not quoted)
        return tuple(parts)

    def value(self) -> str:
        """A value: string, number, word or quoted name, as text."""
        if self.at >= len(self.items):
            raise self.error()
        kind, text, _ = self.items[self.at]
        self.at += 1
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "quoted":
            return text[1:-1].replace('""', '"')
        return text

    def rest(self) -> str:
        """The remaining text as it is."""
        if self.at >= len(self.items):
            return ""
        return self.text[self.items[self.at][2] :].rstrip().rstrip(";")

    def end(self) -> None:
        """Raises SqlSyntaxError unless all was read."""
        if self.at < len(self.items):
            raise self.error()


def plan_utility(text: str, catalog: Catalog, schema: str) -> tuple[UtilityPlan, str]:
    """The plan and its command tag. Raises SqlSyntaxError, NotSupportedError."""
    words = Words(text)
    first = words.name()
    if first == "ANALYZE":
        return _analyze(words), first
    if first in _NOTHING:
        return UtilityPlan(first.lower() if first in _KNOWN_NOTHING else "do_nothing"), first
    if first in _REFUSED:
        raise refuse(_REFUSED[first])
    if first in ("BEGIN", "START"):
        return _begin(words, first)
    if first in ("COMMIT", "END"):
        return _end(words, "commit", "COMMIT")
    if first in ("ROLLBACK", "ABORT"):
        return _rollback(words)
    if first == "SAVEPOINT":
        return UtilityPlan("savepoint", {"name": words.name()}), "SAVEPOINT"
    if first == "RELEASE":
        words.take("SAVEPOINT")
        return UtilityPlan("release", {"name": words.name()}), "RELEASE"
    if first == "SET":
        return _set(words)
    if first == "ALTER":
        words.expect("SESSION")
        words.expect("SET")
        plan, _ = _set(words)
        return plan, "ALTER SESSION"
    if first == "SHOW":
        return _show(words)
    if first == "RESET":
        name = words.name(fold=False)
        return UtilityPlan("reset", {"name": name}), "RESET"
    if first == "DISCARD":
        what = words.name()
        return UtilityPlan("discard", {"what": what}), f"DISCARD {what}"
    if first == "LOCK":
        return _lock(words, catalog, schema)
    return _cursor_or_call(words, first)


_KNOWN_NOTHING = frozenset({"LISTEN", "UNLISTEN", "NOTIFY", "VACUUM"})


def _analyze(words: Words) -> UtilityPlan:
    """ANALYZE [(options)] [VERBOSE] [table [(columns)], …]: the columns are all taken anyway."""
    _skip_brackets(words)
    words.take("VERBOSE")
    tables: list[str] = []
    while words.at < len(words.items):
        tables.append(words.name())
        _skip_brackets(words)
        if not words.take(","):
            break
    words.end()
    return UtilityPlan("analyze", {"tables": " ".join(tables)})


def _skip_brackets(words: Words) -> None:
    if words.take("("):
        while words.peek() not in (")", ""):
            words.at += 1
        words.expect(")")


def _modes(words: Words) -> dict[str, object]:
    arguments: dict[str, object] = {}
    while words.at < len(words.items):
        words.take(",")
        if words.take("ISOLATION", "LEVEL"):
            level = words.name()
            if level in ("READ", "REPEATABLE"):
                level += " " + words.name()
            arguments["isolation"] = level
        elif words.take("READ", "ONLY"):
            arguments["read_only"] = "on"
        elif words.take("READ", "WRITE"):
            arguments["read_only"] = "off"
        elif words.take("NOT", "DEFERRABLE"):
            arguments["deferrable"] = "off"
        elif words.take("DEFERRABLE"):
            arguments["deferrable"] = "on"
        elif words.take("NAME"):
            words.value()
        else:
            raise words.error()
    return arguments


def _begin(words: Words, first: str) -> tuple[UtilityPlan, str]:
    if first == "START":
        words.expect("TRANSACTION")
    elif not words.take("WORK"):
        words.take("TRANSACTION")
    tag = "BEGIN" if first == "BEGIN" else "START TRANSACTION"
    return UtilityPlan("begin", _modes(words)), tag


def _end(words: Words, kind: str, tag: str) -> tuple[UtilityPlan, str]:
    if not words.take("WORK"):
        words.take("TRANSACTION")
    if words.peek() == "PREPARED":
        raise refuse(f"{tag} PREPARED")
    if words.take("AND", "CHAIN"):
        raise refuse("AND CHAIN")
    words.take("AND", "NO", "CHAIN")
    words.end()
    return UtilityPlan(kind), tag


def _rollback(words: Words) -> tuple[UtilityPlan, str]:
    if not words.take("WORK"):
        words.take("TRANSACTION")
    if words.take("TO"):
        words.take("SAVEPOINT")
        return UtilityPlan("rollback_to", {"name": words.name()}), "ROLLBACK"
    return _end(words, "rollback", "ROLLBACK")


def _set(words: Words) -> tuple[UtilityPlan, str]:
    if words.take("TRANSACTION"):
        if words.peek() == "SNAPSHOT":
            raise refuse("SET TRANSACTION SNAPSHOT")
        return UtilityPlan("set_transaction", _modes(words)), "SET"
    if words.take("SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"):
        return UtilityPlan("set_transaction", {**_modes(words), "default": "on"}), "SET"
    local = words.take("LOCAL")
    if not local and words.peek(1) not in ("=", "TO"):
        words.take("SESSION")
    if words.take("TIME", "ZONE"):
        if words.take("INTERVAL"):  # INTERVAL '+02:00' HOUR TO MINUTE
            offset = words.value()
            words.rest()
            return _setting("TimeZone", offset, local=local)
        return _setting("TimeZone", words.value(), local=local)
    if words.peek() in ("CONSTRAINTS", "ROLE", "AUTHORIZATION"):
        return UtilityPlan("do_nothing"), "SET"
    if words.take("NAMES"):
        return _setting("client_encoding", words.value(), local=local)
    if words.take("SCHEMA"):
        return UtilityPlan("set_schema", {"name": words.value()}), "SET"
    name = words.name(fold=False)
    if not (words.take("=") or words.take("TO")):
        raise words.error()
    if name.upper() == "ISOLATION_LEVEL":  # ALTER SESSION
        value = " ".join(words.rest().split()).lower()
        return _setting("default_transaction_isolation", value, local=local)
    values = [words.value()]
    while words.take(","):
        values.append(words.value())
    words.end()
    if name.upper() == "CURRENT_SCHEMA":
        return UtilityPlan("set_schema", {"name": values[0]}), "SET"
    return _setting(name, ", ".join(values), local=local)


def _setting(name: str, value: str, *, local: bool) -> tuple[UtilityPlan, str]:
    if value.upper() == "DEFAULT":
        return UtilityPlan("reset", {"name": name}), "SET"
    return UtilityPlan("set", {"name": name, "value": value, "local": local}), "SET"


def _show(words: Words) -> tuple[UtilityPlan, str]:
    if words.take("TRANSACTION", "ISOLATION", "LEVEL"):
        name = "transaction_isolation"
    elif words.take("TIME", "ZONE"):
        name = "TimeZone"
    else:
        name = words.name(fold=False)
    words.end()
    if name.upper() == "ALL":
        raise refuse("SHOW ALL")
    return UtilityPlan("show", {"name": name}), "SHOW"


def _lock(words: Words, catalog: Catalog, schema: str) -> tuple[UtilityPlan, str]:
    """LOCK [TABLE] name [IN mode MODE] [NOWAIT | WAIT n]."""
    words.take("TABLE")
    words.take("ONLY")
    relation = catalog.resolve(schema, words.qualified())
    if not isinstance(relation, Table):
        raise refuse("LOCK of anything but a table")
    mode = "ACCESS EXCLUSIVE"
    if words.take("IN"):
        parts_of_mode: list[str] = []
        while words.peek() not in ("MODE", ""):
            parts_of_mode.append(words.name())
        words.expect("MODE")
        mode = " ".join(parts_of_mode)
    nowait = words.take("NOWAIT")
    arguments: dict[str, object] = {"table_id": relation.id, "mode": mode, "nowait": nowait}
    if words.take("WAIT"):
        try:
            wait_s = float(words.value())
        except ValueError:
            raise words.error() from None
        arguments.update({"wait_s": wait_s} if wait_s else {"nowait": True})
    words.end()
    return UtilityPlan("lock_table", arguments), "LOCK TABLE"


def _cursor_or_call(words: Words, first: str) -> tuple[UtilityPlan, str]:
    if first == "DEALLOCATE":
        words.take("PREPARE")
        name = words.name(fold=False)
        return UtilityPlan("deallocate", {"name": name}), "DEALLOCATE"
    if first == "CLOSE":
        return UtilityPlan("close", {"name": words.name()}), "CLOSE CURSOR"
    if first in ("CALL", "EXEC"):
        return UtilityPlan("call", {"text": words.rest()}), "CALL"
    if first == "PREPARE":
        name = words.name()
        types = ""
        if words.take("("):
            start = words.items[words.at][2]
            while words.peek() not in (")", ""):
                words.at += 1
            types = words.text[start : words.items[words.at][2]]
            words.expect(")")
        words.expect("AS")
        return UtilityPlan(
            "prepare", {"name": name, "types": types, "text": words.rest()}
        ), "PREPARE"
    if first == "EXECUTE":
        return UtilityPlan("execute", {"name": words.name(), "arguments": words.rest()}), "EXECUTE"
    if first == "DECLARE":
        name = words.name()
        while words.peek() not in ("FOR", ""):
            words.at += 1
        words.expect("FOR")
        return UtilityPlan("declare", {"name": name, "query": words.rest()}), "DECLARE CURSOR"
    if first == "FETCH":
        count = "1"
        if words.peek() in ("FORWARD", "NEXT", "ALL") or words.peek().isdigit():
            count = words.value()
            if count.upper() in ("FORWARD", "NEXT"):
                count = words.value() if words.peek() == "ALL" or words.peek().isdigit() else "1"
        if not words.take("FROM"):
            words.take("IN")
        return UtilityPlan("fetch", {"name": words.name(), "count": count}), "FETCH"
    raise SqlSyntaxError(f'syntax error at or near "{first}"', position=1)
