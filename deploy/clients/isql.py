"""ttIsql: SQL by hand, with TimesTen's commands and forms, over the PostgreSQL protocol.

    ttIsql [-v 0|1|2] [-f FILE] [-e COMMANDS] [DSN | -connStr "DSN=...;UID=...;PWD=..."]

The DSN is a service of the libpq service file (PGSERVICEFILE), as in `psql service=DSN`.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from deploy.clients import isql_history
from deploy.clients import isql_text as text
from deploy.clients.isql_binds import VariableError
from deploy.clients.isql_history import HistoryError
from deploy.clients.isql_more import More
from deploy.clients.isql_terminal import Terminal, open_terminal

ROWS_AT_ONCE = 1000
NAMES_FOR_S = 30.0  # names that are offered for completion are that old at most
RUNS_NESTED_MAX = 20
_NAMES = "SELECT table_name FROM user_tables UNION SELECT column_name FROM user_tab_columns"
_NO_TRANSACTION = (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)  # unknown: it is lost
_PLANNED = ("select", "insert", "update", "delete", "merge", "with")


class CommandError(Exception):
    """A command of ttIsql that cannot be done; the message says why."""


class Isql:
    """One session: its connection, its settings, and what it does with each input."""

    def __init__(self, verbosity: int = 2) -> None:
        self.connection: psycopg.Connection | None = None
        self.verbosity = verbosity
        self.failed = False  # anything so far
        self.over = False
        self._asked: dict[str, str] = {}
        self._flags = {"autocommit": True, "columnlabels": False}
        self._flags |= {"serveroutput": False, "timing": False}
        self._warned = False
        self._depth = 0
        self._interrupted = False  # while scripts run
        self.more = More(self)
        self.terminal: Terminal | None = None
        self._names: tuple[float, list[str]] = (0.0, [])

    # -- output -----------------------------------------------------------------------------------
    def say(self, *lines: str, level: int = 2) -> None:
        """Print what the verbosity lets through: 1 results, 2 everything."""
        if self.verbosity >= level:
            self._put(*lines)

    def _fail(self, *lines: str) -> None:
        self.failed = True
        self._put(*lines)

    def _put(self, *lines: str) -> None:
        print(*lines, sep="\n", flush=True)
        if self.more.spool_file is not None:
            print(*lines, sep="\n", flush=True, file=self.more.spool_file)

    def ask(self, prompt: str) -> str:
        """One line from whoever types."""
        if self.terminal is not None:
            return self.terminal.line(prompt).rstrip("\n")
        return sys.stdin.readline().rstrip("\n")

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        message = diagnostic.message_primary or ""
        if diagnostic.severity == "WARNING":
            self._warned = "compilation errors" in message
            self.say(f"Warning: {message}", level=1)
        elif self.more.variables.told(message):
            return
        elif self._flags["serveroutput"]:
            self.say(message, level=1)

    # -- connections ------------------------------------------------------------------------------
    def connect(self, words: str) -> bool:
        """Connect to a DSN or connection string, instead of the present connection; whether it
        went well."""
        wanted = text.attributes(words) or self._asked
        try:
            parameters = text.libpq_words(wanted)
        except ValueError as error:
            self._fail(f" {error}", text.FAILED)
            return False
        self.disconnect()
        shown = f"DSN={wanted['dsn']}" + (f";UID={wanted['uid']}" if wanted.get("uid") else "")
        self.say("", f'connect "{shown}";')
        try:
            self.connection = _open(parameters)
        except psycopg.Error as error:
            hint = None
            if "service" in str(error) and "not found" in str(error):
                hint = "PGSERVICEFILE names the service file; of a grid here: . .grid/env.sh"
            self._fail(*text.error(_flat(str(error)), error.sqlstate or "", hint))
            return False
        self._asked = wanted
        self.connection.autocommit = self._flags["autocommit"]
        self.connection.add_notice_handler(self._notice)
        user = self.connection.info.user.upper()
        self.say(f"Connection successful: DSN={wanted['dsn']};UID={user};")
        self.say(f"(Default setting AutoCommit={int(self._flags['autocommit'])})")
        return True

    def disconnect(self) -> None:
        """Leave the database; an open transaction is rolled back."""
        if self.connection is not None:
            self.say("Disconnecting...")
            if self.connection.info.transaction_status not in _NO_TRANSACTION:
                self.say("Rolling back active transaction...")
            self.connection.close()
            self.connection = None
            self.say("Done.")

    def _database(self) -> psycopg.Connection:
        if self.connection is None or self.connection.closed:
            raise CommandError('there is no connection; use: connect "DSN=...";')
        return self.connection

    # -- input ------------------------------------------------------------------------------------
    def feed(self, typed: str, *, ended: bool, echo: bool) -> str:
        """Do all that is complete in what was typed; returns the rest."""
        while not self.over and not self._interrupted:
            todo, typed = text.take(typed, ended=ended)
            if todo is None:
                break
            if self.terminal is not None and not self._depth:
                self._keep(todo)
            if echo:
                self.say(text.echo(todo))
            self.do(todo)
        return typed

    def do(self, todo: text.Input) -> None:
        """One command or statement; an error is printed, and what follows goes on."""
        self._warned = False
        try:
            typed = self.more.substituted(todo.text)
            if todo.word:
                self._command(todo.word, typed)
            else:
                self.execute(typed, is_block=todo.is_block)
        except (CommandError, HistoryError, VariableError) as error:
            self._fail(f" {error}", text.FAILED)
        except psycopg.Error as error:
            shown = error.diag
            message = shown.message_primary or _flat(str(error))
            more = (shown.message_detail, shown.message_hint)
            position = shown.statement_position
            self._fail(*text.error(message, error.sqlstate or "", *more, position=position))
            if self.connection is not None and self.connection.closed:
                self._fail(" The connection is lost; use: connect;")
        except KeyboardInterrupt:
            self._fail(" Interrupted.", text.FAILED)
            self._interrupted = self._depth > 0  # the scripts that are running end here

    def _keep(self, todo: text.Input) -> None:
        """In the history, but for the commands about it."""
        assert self.terminal is not None
        if todo.word not in ("history", "edit") and not _recalls(todo):
            self.terminal.keep(text.typed_again(todo))

    def _again(self, which: str) -> None:
        """`!!`, `! 3`. Raises HistoryError."""
        command = isql_history.chosen(self._history(), which)
        self.say(text.PROMPT + command)
        if self.terminal is not None:
            self.terminal.keep(command)
        self._nested(command)

    def _history(self) -> list[str]:
        return self.terminal.history() if self.terminal is not None else []

    def _edit(self, file: str) -> None:
        """`edit`: the last command, or a file, in an editor; then it is done. Raises HistoryError,
        CommandError."""
        before = self._script(Path(file)) if file else isql_history.chosen(self._history(), "")
        self._nested(isql_history.edited(before.rstrip("\n")))

    def _nested(self, script: str) -> None:
        """Do what a script holds; an interrupt ends it. Raises CommandError."""
        if self._depth >= RUNS_NESTED_MAX:
            raise CommandError(f"scripts run each other more than {RUNS_NESTED_MAX} deep")
        self._depth += 1
        try:
            self.feed(script, ended=True, echo=True)
        finally:
            self._depth -= 1
            self._interrupted = self._interrupted and self._depth > 0

    def _command(self, word: str, rest: str) -> None:
        if word in ("exit", "quit"):
            self.over = True
        elif word in ("?", "help"):
            self.say(text.HELP.rstrip(), level=1)
        elif word == "connect":
            self.connect(rest)
        elif word == "disconnect":
            self.disconnect()
        elif word in ("commit", "rollback"):
            self._end_transaction(word)
        elif word in ("exec", "execute"):
            if not self.more.run_prepared(rest):
                self.execute(text.statement_of(rest), is_block=True)
        elif word == "show" and rest.lower().startswith("errors"):
            self.more.show_errors(rest[len("errors") :])
        elif word in text.OTHERS:
            self.more.commands[word](rest)
        elif word in text.REFUSED:
            raise CommandError(f"{word} is not supported: {text.REFUSED[word]}")
        elif word == "!" and isql_history.is_choice(rest):
            self._again(rest)
        elif word in ("host", "!"):
            subprocess.run(rest, shell=True, check=False)
        elif word in ("run", "start", "@"):
            self.run(Path(rest.strip("\"'")))
        elif word == "history":
            self.say(*isql_history.listed(self._history(), rest), level=1)
        elif word == "edit":
            self._edit(rest)
        elif word in ("set", "show") or word in text.SETTINGS:
            self._set(*(rest if word in ("set", "show") else f"{word} {rest}").split())
        else:
            self._catalog(word, rest)

    def run(self, file: Path) -> None:
        """Do what stands in a file. Raises CommandError."""
        self._nested(self._script(file))

    @staticmethod
    def _script(file: Path) -> str:
        try:
            return file.expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file}: {error}") from error

    def _set(self, name: str, value: str = "", *more: str) -> None:
        name = name.lower()
        if name == "all":
            for each in text.SETTINGS:
                self._set(each)
            return
        if name == "verbosity":
            if value and value not in ("0", "1", "2"):
                raise CommandError("verbosity is 0, 1 or 2")
            self.verbosity = int(value or self.verbosity)
            if not value:
                self.say(f"verbosity = {self.verbosity}", level=1)
            return
        if not value:
            on = self._flags[name]
            self.say(f"{name} = {int(on)} ({'ON' if on else 'OFF'})", level=1)
            return
        wanted = text.switch(value)
        if wanted is None or more:
            raise CommandError(f"{name} is 0 or 1, or off or on")
        if name == "autocommit":
            if wanted and self.connection is not None:
                self.connection.commit()
            if self.connection is not None:
                self.connection.autocommit = wanted
        self._flags[name] = wanted

    def _end_transaction(self, word: str) -> None:
        connection = self._database()
        if connection.info.transaction_status == TransactionStatus.IDLE:
            return
        connection.execute(word.encode())

    # -- statements -------------------------------------------------------------------------------
    def execute(self, statement: str, *, is_block: bool = False, keep: bool = False) -> list[str]:
        """Run a statement and print what it gives; with `keep`, its rows are returned instead.
        Raises psycopg.Error, CommandError, VariableError."""
        first = statement.lstrip()[:7].lower()
        if self.more.shows_plan and first.startswith(_PLANNED):
            self.execute(f"EXPLAIN {statement}")
        makes_unit = is_block and first.startswith("create")
        if is_block and not makes_unit and self.more.variables.cursors_of(statement):
            self._opening_cursors(statement)
            return []
        bind = self.more.variables.block if is_block else self.more.variables.bind
        sent, values = (statement, []) if makes_unit else bind(statement)
        began_s = time.perf_counter()
        cursor = self._sent(sent, values)
        took_s = time.perf_counter() - began_s
        kept: list[str] = []
        while True:
            if keep and cursor.description is not None:
                kept += _shown(cursor, plan=False)
            else:
                self._print_result(cursor, plan=first == "explain")
            if not cursor.nextset():
                break
        if self._flags["timing"]:
            self.say(f"Execution time (SQLExecute) = {took_s:.6f} seconds.", level=1)
        return kept

    def _opening_cursors(self, block: str) -> None:
        """A block that opens REFCURSOR variables: their rows are fetched at once, since they end
        with the transaction."""
        variables = self.more.variables.cursors_of(block)
        sent, values = self.more.variables.block(block)
        connection = self._database()
        fetched: list[list[str] | None] = []
        with connection.transaction() if connection.autocommit else contextlib.nullcontext():
            names = self._sent(sent, values).fetchone() or ()
            for name in names:
                if name is not None:
                    name = f'FETCH ALL FROM "{name}"'
                    fetched.append(_shown(connection.execute(name.encode()), plan=False))
                else:
                    fetched.append(None)
        for variable, rows in zip(variables, fetched, strict=True):
            variable.rows = rows
        self.say(text.BLOCK_DONE)

    def _sent(self, statement: str, values: list[str | None]) -> psycopg.Cursor:
        if not values:
            return self._database().execute(statement.encode())
        cursor = psycopg.RawCursor(self._database())
        return cursor.execute(statement.encode(), values)

    def check(self, statement: str) -> None:
        """Have the database compile a statement. Raises psycopg.Error, CommandError."""
        cursor = self._sent(f"PREPARE ttisql_prepared AS {statement}", [])
        cursor.execute(b"DEALLOCATE ttisql_prepared")

    def set(self, statement: str) -> None:
        """Run a statement that prints nothing. Raises psycopg.Error, CommandError."""
        self._sent(statement, [])

    def _print_result(self, cursor: psycopg.Cursor, *, plan: bool) -> None:
        if cursor.pgresult is None or cursor.description is None:
            if line := text.done(cursor.statusmessage or "", cursor.rowcount, warned=self._warned):
                self.say(line)
            return
        if self._flags["columnlabels"] and not plan:
            self.say(text.row(c.name.upper() for c in cursor.description), level=1)
        rows = _shown(cursor, plan=plan)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            self.say(*rows[start : start + ROWS_AT_ONCE], level=1)
        if not plan:
            self.say(f"{text.counted(len(rows), 'row')} found.")

    # -- what the catalog tells -------------------------------------------------------------------
    def offered(self) -> list[str]:
        """Names for completion: commands, tables, columns; no names of the database while a
        transaction may be open."""
        read_s, known = self._names
        connection = self.connection
        if connection is not None and time.monotonic() - read_s > NAMES_FOR_S:
            status = connection.info.transaction_status
            if connection.autocommit and status == TransactionStatus.IDLE:
                with contextlib.suppress(psycopg.Error):
                    known = [str(name) for (name,) in self.rows(_NAMES)]
                self._names = (time.monotonic(), known)
        return [*text.COMMANDS, *known]

    def rows(self, query: str, *values: str) -> list[tuple[object, ...]]:
        """Of a query of the catalog."""
        return list(self._database().execute(query.encode(), values).fetchall())

    def _catalog(self, word: str, rest: str) -> None:
        user = self._database().info.user.upper()
        if word in ("describe", "desc"):
            self._describe(*text.names(rest, user))
        elif word == "indexes":
            self._indexes(*text.names(rest, user))
        else:
            found = self.rows(
                "SELECT object_name FROM user_objects WHERE object_type = %s ORDER BY object_name",
                text.LISTS[word],
            )
            lines = text.listing([f"{user}.{name}" for (name,) in found], word.rstrip("s"))
            self.say(*lines, level=1)

    def _describe(self, owner: str, name: str) -> None:
        columns = self.rows(
            "SELECT column_name, data_type, data_length, data_precision, data_scale, nullable, "
            "data_default, char_used, inline FROM all_tab_columns "
            "WHERE owner = %s AND table_name = %s ORDER BY column_id",
            owner, name,
        )  # fmt: skip
        if not columns:
            self._describe_unit(owner, name)
            return
        key = self.rows(
            "SELECT c.column_name FROM all_cons_columns c JOIN all_constraints k "
            "ON c.owner = k.owner AND c.constraint_name = k.constraint_name "
            "AND c.table_name = k.table_name "
            "WHERE k.constraint_type = 'P' AND k.owner = %s AND k.table_name = %s",
            owner, name,
        )  # fmt: skip
        schemes = self.rows(
            "SELECT distribution, distribution_columns FROM all_tables "
            "WHERE owner = %s AND table_name = %s",
            owner, name,
        )  # fmt: skip
        distribution = ""
        for scheme, distributed_by in schemes:
            by = None if distributed_by is None else str(distributed_by)
            distribution = text.distribution(str(scheme), by)
        lines = text.description(
            "table" if schemes else "view",
            f"{owner}.{name}",
            [_column(row) for row in columns],
            [str(row[0]) for row in key],
            distribution,
        )
        self.say(*lines, level=1)

    def _describe_unit(self, owner: str, name: str) -> None:
        routines = self.rows(
            "SELECT object_type, procedure_name FROM all_procedures WHERE owner = %s "
            "AND object_name = %s ORDER BY procedure_name",
            owner, name,
        )  # fmt: skip
        if not routines:
            raise CommandError(f"2206: Table {owner}.{name} not found")
        arguments = self.rows(
            "SELECT object_name, argument_name, in_out, data_type, defaulted FROM all_arguments "
            "WHERE owner = %s AND (package_name = %s OR package_name IS NULL AND object_name = %s) "
            "ORDER BY object_name, sequence",
            owner, name, name,
        )  # fmt: skip
        of_routine: dict[str, list[text.Argument]] = {
            str(routine or name): [] for kind, routine in routines if kind != "PACKAGE" or routine
        }
        for routine, argument, mode, kind, defaulted in arguments:
            of_routine.setdefault(str(routine), []).append(
                text.Argument(str(argument or ""), str(mode), str(kind), defaulted == "Y")
            )
        self.say(*text.unit(str(routines[0][0]), f"{owner}.{name}", of_routine), level=1)

    def _indexes(self, owner: str, table: str) -> None:
        rows = self.rows(
            "SELECT i.table_name, i.index_name, i.uniqueness, i.global, c.column_name "
            "FROM all_indexes i JOIN all_ind_columns c "
            "ON i.owner = c.index_owner AND i.index_name = c.index_name "
            "AND i.table_name = c.table_name WHERE i.table_owner = %s "
            "ORDER BY i.table_name, i.index_name, c.column_position",
            owner,
        )
        found = [
            (f"{owner}.{name}", str(index), unique == "UNIQUE", everywhere == "YES", str(column))
            for name, index, unique, everywhere, column in rows
            if table in ("", name)
        ]
        self.say(*text.indexes(found), level=1)


def _open(parameters: dict[str, str]) -> psycopg.Connection:
    """Connect; ask for the password if one is needed and somebody is there to ask."""
    try:
        return psycopg.connect(make_conninfo(**parameters))
    except psycopg.OperationalError as error:
        wants = "no password supplied" in str(error) or "password authentication" in str(error)
        if "password" in parameters or not wants or not sys.stdin.isatty():
            raise
    asked = getpass.getpass(f"Enter password for '{parameters.get('user', '')}': ")
    return psycopg.connect(make_conninfo(**parameters, password=asked))


def _shown(cursor: psycopg.Cursor, *, plan: bool) -> list[str]:
    """The rows of a result as they are printed."""
    result = cursor.pgresult
    assert result is not None and cursor.description is not None
    oids = [column.type_code for column in cursor.description]
    shown = []
    for number in range(result.ntuples):
        raw = [result.get_value(number, n) for n in range(len(oids))]
        values = [
            text.value(None if v is None else v.decode(), oid)
            for v, oid in zip(raw, oids, strict=True)
        ]
        shown.append(values[0] if plan else text.row(values))
    return shown


def _column(row: Sequence[object]) -> text.Column:
    name, kind, length, precision, scale, nullable, default, unit, inline = row
    return text.Column(
        name=str(name),
        type=str(kind),
        length=int(str(length or 0)),
        precision=None if precision is None else int(str(precision)),
        scale=None if scale is None else int(str(scale)),
        nullable=nullable == "Y",
        default=None if default is None else str(default),
        unit=None if unit is None else str(unit),
        inline=inline == "YES",
    )


def _recalls(todo: text.Input) -> bool:
    """True for `!!` and `! 3`."""
    return todo.word == "!" and isql_history.is_choice(todo.text)


def _flat(message: str) -> str:
    return " ".join(message.split())


# -- the terminal ---------------------------------------------------------------------------------
def _typed(session: Isql) -> None:
    """Read from the terminal, or from a pipe, until the end or `exit`."""
    terminal = sys.stdin.isatty()
    if terminal:
        session.terminal = open_terminal(session.offered)
    pending = ""
    while not session.over:
        try:
            prompt = text.MORE if pending.strip() else text.PROMPT
            line = session.terminal.line(prompt) if session.terminal else sys.stdin.readline()
            if terminal:
                session.more.spool_typed(prompt + line)
        except KeyboardInterrupt:
            print()
            pending = ""
            continue
        pending = session.feed(pending + line, ended=not line, echo=not terminal)
        if not line:
            return


def main() -> int:
    """Entry point; 1 if the connection or, in a script, a statement failed."""
    parser = argparse.ArgumentParser(prog="ttIsql", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("dsn", nargs="?", help="service of the service file, or connection string")
    parser.add_argument("-connStr", "-connstr", help="DSN=...;UID=...;PWD=...")
    parser.add_argument("-f", dest="file", type=Path, help="run a file, then exit")
    parser.add_argument("-e", dest="commands", help="run these first; end them with exit to stop")
    parser.add_argument("-v", dest="verbosity", type=int, choices=(0, 1, 2), default=2)
    words = parser.parse_args()
    session = Isql(words.verbosity)
    session.say("", 'Type ? or "help" for help, type "exit" to quit ttIsql.')
    wanted = words.connStr or words.dsn
    if wanted and not session.connect(wanted) and not sys.stdin.isatty():
        return 1
    if words.commands:
        session.feed(words.commands, ended=True, echo=True)
    if words.file and not session.over:
        session.do(text.Input("run", str(words.file)))
        session.over = True
    if not session.over:
        _typed(session)
    session.disconnect()
    interactive = sys.stdin.isatty() and not (words.file or words.commands)
    return int(session.failed and not interactive)


if __name__ == "__main__":
    sys.exit(main())
