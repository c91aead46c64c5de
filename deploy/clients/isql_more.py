"""Commands of ttIsql that are not its core: variables, prepared statements, spool, settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deploy.clients import isql_binds, isql_text
from deploy.clients.isql_binds import VariableError, Variables

if TYPE_CHECKING:
    from deploy.clients.isql import Isql

SIZES = (
    "PERM_ALLOCATED_SIZE", "PERM_IN_USE_SIZE", "PERM_IN_USE_HIGH_WATER",
    "TEMP_ALLOCATED_SIZE", "TEMP_IN_USE_SIZE", "TEMP_IN_USE_HIGH_WATER",
)  # fmt: skip
ISOLATION = {
    "0": "SERIALIZABLE", "serializable": "SERIALIZABLE",
    "1": "READ COMMITTED", "read_committed": "READ COMMITTED",
}  # fmt: skip
_ERRORS = "SELECT type, name, line, text FROM user_errors ORDER BY type, name, line"
_DEFINED = re.compile(r"&&?([A-Za-z_]\w*)\.?")


class Prepared:
    """A statement of `prepare`, and what is left of its result."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        self.rows: list[str] = []


class More:
    """Their state, beside that of the session they belong to. A command raises VariableError,
    psycopg.Error, or CommandError of the session."""

    def __init__(self, isql: Isql) -> None:
        self._isql = isql
        self.variables = Variables()
        self.spool_file: IO[str] | None = None
        self.shows_plan = False
        self._defined: dict[str, str] = {}
        self._prepared: dict[str, Prepared] = {}
        self.commands: dict[str, Callable[[str], None]] = {
            "variable": self._variable, "var": self._variable, "print": self._print,
            "setvariable": self._set_variable, "unsetvariable": self.variables.forget,
            "prepare": self._prepare, "fetchone": self._fetch_one, "fetchnext": self._fetch_next,
            "fetchall": self._fetch_all, "close": self._close, "free": self._free,
            "define": self._define, "undefine": self._undefine, "accept": self._accept,
            "spool": self._spool, "dssize": self._dssize, "showplan": self._showplan,
            "isolation": self._isolation, "sqlquerytimeout": self._timeout,
            "statsupdate": self._statistics, "getenv": self._getenv, "setenv": self._setenv,
            "unsetenv": self._unsetenv,
            "remark": lambda _: None, "rem": lambda _: None, "prompt": self._prompt,
        }  # fmt: skip

    # -- variables --------------------------------------------------------------------------------
    def _variable(self, rest: str) -> None:
        if rest.strip():
            self.variables.declare(rest)
            return
        for variable in self.variables.all():
            self._isql.say(f"{variable.name.upper():<20} : {variable.type}", level=1)

    def _print(self, rest: str) -> None:
        wanted = [self.variables.named(name) for name in rest.replace(",", " ").split()]
        for variable in wanted or self.variables.all():
            self._isql.say(isql_binds.shown(variable, isql_text.NULL), level=1)

    def _set_variable(self, rest: str) -> None:
        name, equals, value = rest.partition(":=")
        if not equals:
            raise VariableError("use: setvariable NAME := VALUE")
        text = value.strip()
        if text.startswith("'") and text.endswith("'") and len(text) > 1:
            text = text[1:-1].replace("''", "'")
        self.variables.named(name.strip()).value = None if text.upper() == "NULL" else text

    # -- substitution -----------------------------------------------------------------------------
    def substituted(self, typed: str) -> str:
        """With what DEFINE gave names in place of &NAME."""
        if not self._defined or "&" not in typed:
            return typed
        return _DEFINED.sub(lambda m: self._defined.get(m[1].lower(), m[0]), typed)

    def _define(self, rest: str) -> None:
        name, equals, value = rest.partition("=")
        if equals:
            self._defined[name.strip().lower()] = value.strip().strip("'\"")
            return
        for each, known in self._defined.items():
            if not rest.strip() or each == rest.strip().lower():
                self._isql.say(f'DEFINE {each.upper()} = "{known}"', level=1)

    def _undefine(self, rest: str) -> None:
        self._defined.pop(rest.strip().lower(), None)

    def _accept(self, rest: str) -> None:
        name, _, more = rest.partition(" ")
        found = re.search(r"prompt\s+'([^']*)'", more, re.IGNORECASE)
        self._defined[name.lower()] = self._isql.ask(found[1] if found else f"{name}> ")

    # -- prepared statements ----------------------------------------------------------------------
    def _prepare(self, rest: str) -> None:
        found = re.match(r"(\d+)\s+(.+)", rest, re.DOTALL)
        name, statement = (found[1], found[2]) if found else ("1", rest)
        self._isql.check(self.variables.bind(statement)[0])
        self._prepared[name] = Prepared(statement)

    def run_prepared(self, rest: str) -> bool:
        """`exec`, `exec 2`; False: it is a procedure that is to be called."""
        name = rest.strip() or "1"
        if not name.isdigit():
            return False
        prepared = self._of(name)
        prepared.rows = self._isql.execute(prepared.statement, keep=True)
        return True

    def _of(self, name: str) -> Prepared:
        found = self._prepared.get(name.strip() or "1")
        if found is None:
            raise VariableError(f"no statement {name.strip() or '1'} is prepared")
        return found

    def _fetch(self, prepared: Prepared, count: int) -> None:
        rows, prepared.rows = prepared.rows[:count], prepared.rows[count:]
        self._isql.say(*rows, level=1)
        self._isql.say(f"{isql_text.counted(len(rows), 'row')} found.")

    def _fetch_one(self, rest: str) -> None:
        self._fetch(self._of(rest), 1)

    def _fetch_next(self, rest: str) -> None:
        count, _, name = rest.strip().partition(" ")
        if not count.isdigit():
            raise VariableError("use: fetchnext ROWS [STATEMENT]")
        self._fetch(self._of(name), int(count))

    def _fetch_all(self, rest: str) -> None:
        prepared = self._of(rest)
        self._fetch(prepared, len(prepared.rows))

    def _close(self, rest: str) -> None:
        self._of(rest).rows = []

    def _free(self, rest: str) -> None:
        self._of(rest)
        del self._prepared[rest.strip() or "1"]

    # -- what the database tells ------------------------------------------------------------------
    def _dssize(self, rest: str) -> None:
        ((*sizes,),) = self._isql.rows(f"SELECT {', '.join(SIZES)} FROM sys.monitor")
        found = [pair for pair in zip(SIZES, sizes, strict=True) if pair[1] is not None]
        unit = {"k": 1, "m": 1024, "g": 1024 * 1024}.get(rest.strip().lower() or "k", 1)
        lines = [f"  {n + ':':<26}{int(str(v)) // unit}" for n, v in found]
        self._isql.say("", *lines, "", level=1)

    def show_errors(self, rest: str) -> None:
        """SHOW ERRORS [[type] name]."""
        name = rest.split()[-1].upper() if rest.split() else ""
        shown = ""
        for kind, unit, line, message in self._isql.rows(_ERRORS):
            if name not in ("", unit):
                continue
            if shown != f"{kind} {unit}":
                shown = f"{kind} {unit}"
                self._isql.say(f"Errors for {shown}:", "", "LINE     ERROR", level=1)
                self._isql.say(f"{'-' * 8} {'-' * 65}", level=1)
            self._isql.say(f"{line!s:<8} {message}", level=1)
        if not shown:
            self._isql.say("No errors.", level=1)

    def _statistics(self, rest: str) -> None:
        owner, name = isql_text.names(rest, "")
        table = f"{owner}.{name}" if owner else name
        self._isql.execute(f"CALL ttOptUpdateStats('{table}', 1)")

    # -- settings ---------------------------------------------------------------------------------
    def _showplan(self, rest: str) -> None:
        wanted = isql_text.switch(rest or "1")
        if wanted is None:
            raise VariableError("showplan is 0 or 1")
        self.shows_plan = wanted

    def _isolation(self, rest: str) -> None:
        if not rest.strip():
            ((level,),) = self._isql.rows("SHOW default_transaction_isolation")
            self._isql.say(f"isolation = {str(level).upper().replace(' ', '_')}", level=1)
            return
        level = ISOLATION.get(rest.strip().lower(), "")
        if not level:
            raise VariableError("isolation is 0 (SERIALIZABLE) or 1 (READ_COMMITTED)")
        self._isql.set(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}")

    def _timeout(self, rest: str) -> None:
        if rest.strip().isdigit():
            self._isql.set(f"SET statement_timeout = '{int(rest)}s'")
            return
        ((now,),) = self._isql.rows("SHOW statement_timeout")
        self._isql.say(f"Query timeout = {now}", level=1)

    def _spool(self, rest: str) -> None:
        if self.spool_file is not None:
            self.spool_file.close()
            self.spool_file = None
        if rest.strip().lower() not in ("", "off"):
            name, _, mode = rest.strip().partition(" ")
            mode = "a" if mode.strip().lower().startswith("app") else "w"
            try:
                file = Path(name.strip("\"'"))
                self.spool_file = file.open(mode, encoding="utf-8")
            except OSError as error:
                raise VariableError(str(error)) from error

    def spool_typed(self, line: str) -> None:
        """What a person typed stands in the spool file too."""
        if self.spool_file is not None:
            self.spool_file.write(line)

    def _getenv(self, rest: str) -> None:
        names = rest.split() or sorted(os.environ)
        shown = [f"{n} = {os.environ[n]}" for n in names if n in os.environ]
        self._isql.say(*(shown or [f"{rest} is not set"]), level=1)

    def _setenv(self, rest: str) -> None:
        name, _, value = rest.partition("=") if "=" in rest else rest.partition(" ")
        os.environ[name.strip()] = value.strip()

    def _unsetenv(self, rest: str) -> None:
        os.environ.pop(rest.strip(), None)

    def _prompt(self, rest: str) -> None:
        self._isql.say(rest, level=1)
