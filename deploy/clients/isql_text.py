"""What ttIsql reads and prints, as TimesTen's does: pure text, no database.

The forms are those of the documented TimesTen sessions: `< a, b >`, `2 rows found.`,
`1 row inserted.`, ` 2206: ...` and `The command failed.`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

PROMPT = "Command> "
MORE = "       > "
NULL = "<NULL>"
FAILED = "The command failed."
BLOCK_DONE = "PL/SQL procedure successfully completed."
NAME_WIDTH = 32
_OF_ATTRIBUTE = {"dsn": "service", "uid": "user", "pwd": "password"}
_BYTEA = 17  # pg_type.oid

# Words that begin a command of ttIsql itself; anything else is a statement for the database.
LISTS = {
    "tables": "TABLE",
    "views": "VIEW",
    "sequences": "SEQUENCE",
    "procedures": "PROCEDURE",
    "functions": "FUNCTION",
    "packages": "PACKAGE",
}
SETTINGS = ("autocommit", "columnlabels", "serveroutput", "timing", "verbosity")
_OTHERS = """
    variable var print setvariable unsetvariable prepare fetchone fetchnext fetchall close free
    define undefine accept spool dssize showplan isolation sqlquerytimeout statsupdate getenv
    setenv unsetenv remark rem prompt
"""
OTHERS = frozenset(_OTHERS.split())  # those of isql_more.py
REFUSED = {  # commands of TimesTen's ttIsql: why they are not here, or what to use
    "passthrough": "there are no cache groups, so statements are passed through to no database",
    "cachegroups": "there are no cache groups",
    "repschemes": "there are no replication schemes: a grid keeps its copies itself",
    "monitor": "use SELECT * FROM sys.monitor, or ttGridAdmin dbStatus",
    "optprofile": "use hints, CALL ttOptSetFlag, or SET optimizer_hint",
    "optfirstrow": "use hints",
    "sqlcolumns": "use describe",
    "sqltables": "use tables",
    "editline": "the terminal edits lines: emacs keys",
    "clearhistory": "the history is the file ~/.ttisql_history",
    "savehistory": "the history is the file ~/.ttisql_history",
    "use": "one connection at a time: connect, disconnect",
    "clienttimeout": "use sqlquerytimeout",
    "xlabookmarkdelete": "there is no transaction log API (XLA)",
}
COMMANDS = frozenset(
    {"?", "help", "connect", "disconnect", "describe", "desc", "indexes", "run", "start", "host"}
    | {"exit", "quit", "commit", "rollback", "exec", "execute", "history", "edit"}
    | set(LISTS)
    | set(SETTINGS)
    | OTHERS
    | set(REFUSED)
)
_PREPARE_AS = re.compile(r"prepare\s+(transaction\b|\w+\s*(\([^)]*\)\s*)?as\b)", re.IGNORECASE)
_FIRST = re.compile(r"[?!@]|[A-Za-z_]\w*")
_BLOCK = re.compile(
    r"(declare|begin|create\s+(or\s+replace\s+)?(procedure|function|package|type|trigger))\b"
    r"|<<",
    re.IGNORECASE,
)
_NO_BLOCK = re.compile(
    r"begin\s*(work|transaction)?\s*;|declare\s+\w+\s+(\w+\s+)*?cursor\b(?!\s+\w+\s+is\b)",
    re.IGNORECASE,
)
_SLASH = re.compile(r"^[ \t]*/[ \t]*(\n|\Z)", re.MULTILINE)
_SKIPPED = re.compile(r"\s+|;|--[^\n]*(\n|\Z)|/\*(?!\+).*?\*/|/[ \t]*(\n|\Z)", re.DOTALL)
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|;|\n[ \t]*/[ \t]*(?=\n|\Z)", re.DOTALL)
_UNFINISHED = re.compile(r"'|\"|/\*")
_NUMBER = re.compile(r"(?:TT|ORA-)0*(\d+): ?")
_PASSWORD = re.compile(r"(\bpwd=|\bidentified\s+by\s+)('(?:[^']|'')*'|[^;\"\s]+)", re.IGNORECASE)
_PAIR = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(\{[^}]*\}|[^;]*)\s*(?:;|\Z)")


@dataclass(frozen=True)
class Input:
    """One thing to do: a command of ttIsql (`word` in small letters and the rest of its line) or,
    with an empty word, a statement."""

    word: str
    text: str
    is_block: bool = False


def echo(done: Input) -> str:
    """What was asked for, as it would have been typed, but for passwords."""
    return PROMPT + _PASSWORD.sub(r"\1********", typed_again(done))


# -- input ----------------------------------------------------------------------------------------
def take(text: str, *, ended: bool = False) -> tuple[Input | None, str]:
    """The first thing to do in what was typed, and what stands behind it; None if there is more to
    come. With `ended`, nothing more comes: the rest is taken as it is."""
    while skipped := _SKIPPED.match(text):
        text = text[skipped.end() :]
    if not text:
        return None, ""
    if word := _command(text):
        return _take_command(word, text, ended=ended)
    if _BLOCK.match(text) and not _NO_BLOCK.match(text):
        if slash := _SLASH.search(text):
            return Input("", text[: slash.start()].strip(), is_block=True), text[slash.end() :]
        return (Input("", text.strip(), is_block=True), "") if ended else (None, text)
    end, behind = _end_of_statement(text)
    if end is None:
        return (Input("", text.strip()), "") if ended else (None, text)
    return Input("", text[:end].strip()), text[behind:]


def _command(text: str) -> str:
    """The command that the text begins with, "" if it is a statement."""
    first = _FIRST.match(text)
    word = first.group().lower() if first else ""
    line = text.split("\n", 1)[0].split(";", 1)[0].lower().split()
    if word == "explain":
        return ""
    if word in ("set", "show"):
        known = len(line) > 1 and line[1] in (*SETTINGS, "all", "errors") and "=" not in line
        return word if known else ""
    if word in ("commit", "rollback"):  # ROLLBACK TO s, COMMIT PREPARED: the database's
        return word if line in ([word], [word, "work"]) else ""
    if word == "close":  # CLOSE cursor: the database's
        return word if len(line) == 1 or line[1].isdigit() else ""
    if word == "prepare" and _PREPARE_AS.match(text):
        return ""
    return word if word in COMMANDS or word in ("!", "@") else ""


def _take_command(word: str, text: str, *, ended: bool) -> tuple[Input | None, str]:
    if word == "prepare":
        end, behind = _end_of_statement(text)
        if end is None:
            return (Input(word, text[len(word) :].strip()), "") if ended else (None, text)
        return Input(word, text[len(word) : end].strip()), text[behind:]
    line, newline, rest = text.partition("\n")
    if word not in ("host", "!", "exec", "execute"):
        end, behind = _end_of_statement(line)
        if end is not None:
            return Input(word, line[len(word) : end].strip()), line[behind:] + newline + rest
    if not newline and not ended:
        return None, text
    return Input(word, line[len(word) :].strip().rstrip(";").strip()), rest


def _end_of_statement(text: str) -> tuple[int | None, int]:
    """Where the statement ends (None: not yet) and where the next begins: after a semicolon outside
    of strings, names and comments, or after a line with a slash only."""
    position = 0
    while found := _TOKEN.search(text, position):
        if _UNFINISHED.search(text, position, found.start()):
            return None, 0
        token = found.group()
        if token == ";" or token.startswith("\n"):
            return found.start(), found.end()
        position = found.end()
    return None, 0


def attributes(connection_string: str) -> dict[str, str]:
    """`DSN=database1;UID=terry` as a dictionary with names in small letters; a string without `=`
    is the DSN."""
    text = connection_string.strip().strip('"')
    if "=" not in text:
        return {"dsn": text} if text else {}
    return {m.group(1).lower(): m.group(2).strip("{}").strip() for m in _PAIR.finditer(text)}


def libpq_words(wanted: dict[str, str]) -> dict[str, str]:
    """Attributes as libpq's keywords. Raises ValueError."""
    unknown = sorted(set(wanted) - set(_OF_ATTRIBUTE))
    if unknown or not wanted.get("dsn"):
        why = f"unknown attribute {unknown[0].upper()}" if unknown else "no DSN is given"
        raise ValueError(f"{why}: use DSN=service;UID=user;PWD=password")
    return {_OF_ATTRIBUTE[name]: value for name, value in wanted.items()}


def switch(text: str) -> bool | None:
    """`1`, `on`, `0`, `off`; None for anything else."""
    return {"1": True, "on": True, "0": False, "off": False}.get(text.strip().lower())


def names(text: str, user: str) -> tuple[str, str]:
    """Owner and name as the database holds them, from `name`, `owner.name`, `"Name"`."""
    parts = [quoted or bare.upper() for quoted, bare in re.findall(r'"([^"]+)"|([^\s".]+)', text)][
        :2
    ]
    return (parts[0], parts[1]) if len(parts) == 2 else (user, parts[0] if parts else "")


def typed_again(done: Input) -> str:
    """What was asked for, as it would have been typed."""
    end = "\n/" if done.is_block else ";"
    return f"{done.word} {done.text}".strip() + end


def statement_of(procedure: str) -> str:
    """The block that `exec p(1)` stands for."""
    return f"BEGIN {procedure.rstrip().rstrip(';')}; END;"


# -- output ---------------------------------------------------------------------------------------
def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`, `2 indexes`."""
    plural = f"{noun}es" if noun.endswith("x") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def value(text: str | None, type_oid: int = 0) -> str:
    """One value as the server sends it; binary ones as hexadecimal digits."""
    if text is None:
        return NULL
    return text.removeprefix("\\x").upper() if type_oid == _BYTEA else text


def row(values: Iterable[str]) -> str:
    """`< 1, Riley >`."""
    return f"< {', '.join(values)} >"


_CHANGES = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted", "MERGE": "merged"}
_NAMED = ("USER", "PROCEDURE", "FUNCTION", "PACKAGE", "PACKAGE BODY", "PROFILE", "SYNONYM")
_DONE = {"CREATE": "created", "ALTER": "altered", "DROP": "dropped"}


def done(tag: str, count: int, *, warned: bool = False) -> str:
    """The line after a statement without rows, from its command tag; "" for those that are
    silent, as TimesTen's are for tables, indexes, sequences, grants."""
    verb, _, what = tag.partition(" ")
    what = "USER" if what == "ROLE" else what  # PostgreSQL's word, which its tools look for
    if verb in _CHANGES:
        return f"{counted(max(count, 0), 'row')} {_CHANGES[verb]}."
    if tag == "DO":
        return BLOCK_DONE
    if verb in _DONE and what in _NAMED:
        if warned:
            return f"Warning: {what.capitalize()} {_DONE[verb]} with compilation errors."
        return f"{what.capitalize()} {_DONE[verb]}."
    return ""


def error(message: str, sqlstate: str, *more: str | None, position: str | None = None) -> list[str]:
    """` 2206: relation "x" does not exist`, then detail and hint, then that it failed. Errors that
    TimesTen has no number for are shown with their SQLSTATE."""
    number = _NUMBER.match(message)
    if number:
        first = f" {number.group(1)}: {message[number.end() :]}"
    else:
        first = f" SQLSTATE {sqlstate}: {message}" if sqlstate else f" {message}"
    if position:
        first += f", character position: {position}"
    return [first, *(f"   {line}" for text in more if text for line in text.splitlines()), FAILED]


@dataclass(frozen=True)
class Column:
    """A column as ALL_TAB_COLUMNS tells of it."""

    name: str
    type: str
    length: int
    precision: int | None
    scale: int | None
    nullable: bool
    default: str | None
    unit: str | None  # C or B: characters or bytes
    inline: bool


def type_of(column: Column) -> str:
    """`NUMBER (10,2)`, `VARCHAR2 (30) INLINE`."""
    kind = column.type
    if kind == "NUMBER" and column.precision is not None:
        scale = f",{column.scale}" if column.scale else ""
        return f"{kind} ({column.precision}{scale})"
    if kind in ("CHAR", "NCHAR", "BINARY"):
        return f"{kind} ({column.length})"
    if kind in ("VARCHAR2", "NVARCHAR2", "VARBINARY"):
        unit = " BYTE" if column.unit == "B" else ""
        return f"{kind} ({column.length}{unit}) {'INLINE' if column.inline else 'NOT INLINE'}"
    return kind


def description(
    kind: str, name: str, columns: Sequence[Column], key: Sequence[str], distribution: str
) -> list[str]:
    """The answer to DESCRIBE. `distribution`: "" for a view."""
    lines = ["", f"{kind.capitalize()} {name}:", "  Columns:"]
    for column in columns:
        mark = "*" if column.name in key else " "
        default = f" DEFAULT {column.default}" if column.default is not None else ""
        end = "" if column.nullable else " NOT NULL"
        lines.append(f"   {mark}{column.name:<{NAME_WIDTH}}{type_of(column)}{default}{end}")
    if distribution:
        lines.append(f"  {distribution}")
    lines += ["", f"1 {kind} found.", "(primary key columns are indicated with *)"]
    return lines


@dataclass(frozen=True)
class Argument:
    """A parameter as ALL_ARGUMENTS tells of it; without a name: what a function gives."""

    name: str
    mode: str
    type: str
    defaulted: bool


def unit(kind: str, name: str, routines: Mapping[str, Sequence[Argument]]) -> list[str]:
    """The answer to DESCRIBE of a procedure, function or package."""
    lines = ["", f"{kind.capitalize()} {name}:"]
    for routine, arguments in routines.items():
        lines += [f"  Routine {routine}:"] if kind == "PACKAGE" else []
        named = [argument for argument in arguments if argument.name]
        lines += ["  Parameters:"] if named else []
        for argument in named:
            default = " DEFAULT" if argument.defaulted else ""
            shown = f"{argument.mode:<7}{argument.type}{default}"
            lines.append(f"    {argument.name:<{NAME_WIDTH}}{shown}")
        lines += [f"  Returns {argument.type}" for argument in arguments if not argument.name]
    return [*lines, "", f"1 {kind.lower()} found."]


def distribution(scheme: str, columns: str | None) -> str:
    """`DISTRIBUTE BY HASH (CUST_ID)`, from ALL_TABLES."""
    if scheme not in ("HASH", "REFERENCE"):
        return scheme
    return f"DISTRIBUTE BY {scheme}" + (f" ({columns})" if columns else "")


def listing(found: Sequence[str], noun: str) -> list[str]:
    """The answer to TABLES and its like."""
    return [*(f"  {name}" for name in found), f"{counted(len(found), noun)} found."]


def indexes(rows: Sequence[tuple[str, str, bool, bool, str]]) -> list[str]:
    """The answer to INDEXES, from (table, index, unique, global, column) in the order of the
    columns."""
    tables: dict[str, dict[tuple[str, bool, bool], list[str]]] = {}
    for table, index, unique, is_global, column in rows:
        tables.setdefault(table, {}).setdefault((index, unique, is_global), []).append(column)
    lines: list[str] = []
    for table, of_table in tables.items():
        lines += ["", f"Indexes on table {table}:"]
        for (index, unique, is_global), columns in of_table.items():
            words = f"{'global ' if is_global else ''}{'unique' if unique else 'non-unique'}"
            lines.append(f"  {index}: {words} range index on columns:")
            lines += [f"    {column}" for column in columns]
        lines.append(f"  {counted(len(of_table), 'index')} found.")
    count = sum(len(of_table) for of_table in tables.values())
    return [*lines, "", f"{counted(count, 'index')} found on {counted(len(tables), 'table')}."]


HELP = """\
Statements end with ; and go to the database. PL/SQL blocks and CREATE PROCEDURE, FUNCTION,
PACKAGE end with a line that holds only /
Commands of ttIsql (; may be left out):
  describe [OWNER.]NAME      columns, primary key and distribution; parameters (desc)
  tables, views, sequences, procedures, functions, packages
  indexes [[OWNER.]TABLE]
  explain STATEMENT;         the plan
  autocommit 0|1             commit, rollback
  set serveroutput on|off    show DBMS_OUTPUT
  set columnlabels 0|1       names of the columns above the rows
  timing 0|1                 how long each statement took
  verbosity 0|1|2            0 errors only, 1 rows too, 2 everything
  exec PROCEDURE(...)        run a stored procedure
  show errors [NAME]         of procedures that did not compile
  variable NAME TYPE, print [NAME], setvariable NAME := VALUE, unsetvariable NAME
  prepare [N] STATEMENT; exec [N], fetchone [N], fetchnext ROWS [N], fetchall [N]
  close [N], free [N]        of prepared statements
  define NAME = TEXT, undefine NAME, accept NAME [PROMPT 'text']; &NAME in what is typed
  showplan 0|1, isolation 0|1, sqlquerytimeout SECONDS, statsupdate TABLE, dssize [k|m|g]
  spool FILE [append] | off, getenv, setenv, unsetenv, prompt TEXT, remark TEXT
  run FILE (@ FILE, start FILE), host COMMAND (! COMMAND)
  history [-all] [-h] [-r] [N], !! the last again, ! N, edit [FILE]
  connect "DSN=...;UID=...", disconnect
  exit (quit)
"""
