"""What stands behind COPY … FROM STDIN and TO STDOUT: WITH (FORMAT csv, …), or CSV HEADER ….

Pure. As in PostgreSQL, an option that has no effect, or that would make data nobody can read again,
is an error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from data.sql.parse import refuse
from data.sql.plan_types import CopyPlan
from data.sql.text import unescaped
from data.sql.utility import Words
from protocol.errors import NotSupportedError, ParameterError, SqlSyntaxError

_TRUE, _FALSE = frozenset({"true", "on", "1"}), frozenset({"false", "off", "0"})
_VALUES = ("DELIMITER", "NULL", "QUOTE", "ESCAPE", "ENCODING")  # of the older form
_NAMES = ("FORCE_QUOTE", "FORCE_NULL", "FORCE_NOT_NULL")  # options with a list of columns
_KNOWN = frozenset([*_VALUES, *_NAMES, "FORMAT", "FREEZE", "HEADER"])
_NO_DELIMITERS = frozenset("\\.abcdefghijklmnopqrstuvwxyz0123456789")  # in text format

Options = dict[str, Any]  # by upper-case name: a text, or a list of columns (["*"]: all)


def with_options(plan: CopyPlan, words: Words, names: list[str], *, binary: bool) -> CopyPlan:
    """The plan with the options that follow.

    names: of the columns of the data. binary: it is COPY BINARY. Raises SqlSyntaxError,
    ParameterError, NotSupportedError.
    """
    options: Options = {"FORMAT": "binary"} if binary else {}
    words.take("WITH")
    if words.take("("):
        _read_list(words, options)
    else:
        _read_old(words, options)
    if words.take("WHERE"):
        raise refuse("COPY … WHERE")
    words.end()
    return _made(plan, options, names)


def _put(options: Options, name: str, value: Any) -> None:
    if name in options:
        raise SqlSyntaxError(f"conflicting or redundant options: {name.lower()}")
    options[name] = value


def _read_list(words: Words, options: Options) -> None:
    """(FORMAT csv, HEADER, FORCE_QUOTE (a, b))."""
    while True:
        name = words.name()
        value: Any = "true"
        if words.take("("):
            value = _columns(words)
            words.expect(")")
        elif words.take("*"):
            value = ["*"]
        elif words.peek() not in (",", ")"):
            value = _text(words)
        _put(options, name, value)
        if words.take(")"):
            return
        words.expect(",")


def _read_old(words: Words, options: Options) -> None:
    """CSV HEADER DELIMITER AS ';' FORCE QUOTE a, b."""
    while words.at < len(words.items) and words.peek() != "WHERE":
        name = words.name()
        if name in ("CSV", "BINARY", "TEXT"):
            _put(options, "FORMAT", name)
        elif name in _VALUES:
            words.take("AS")
            _put(options, name, _text(words))
        elif name == "FORCE":
            kind = "FORCE_NOT_NULL" if words.take("NOT", "NULL") else f"FORCE_{words.name()}"
            _put(options, kind, ["*"] if words.take("*") else _columns(words))
        else:
            _put(options, name, "true")


def _columns(words: Words) -> list[str]:
    names = [words.name()]
    while words.take(","):
        names.append(words.name())
    return names


def _text(words: Words) -> str:
    """A value; E'…' with its escapes."""
    if words.peek() == "E" and words.peek(1)[:1] == "'":
        words.take("E")
        return unescaped(words.value())
    return words.value()


def _made(plan: CopyPlan, options: Options, names: list[str]) -> CopyPlan:
    unknown = sorted(set(options) - _KNOWN)
    if unknown:
        raise refuse(f"COPY option {unknown[0].lower()}")
    form = str(options.get("FORMAT", "text")).lower()
    if form not in ("text", "csv", "binary"):
        raise ParameterError(f'COPY format "{form}" not recognized')
    _check_encoding(str(options.get("ENCODING", "UTF8")))
    _switch("FREEZE", options)
    made = replace(
        plan,
        format=form,  # type: ignore[arg-type]
        header=_switch("HEADER", options),
        header_names=_is_match(options),
        force_quote=_positions("FORCE_QUOTE", options, names),
        force_null=_positions("FORCE_NULL", options, names),
        force_not_null=_positions("FORCE_NOT_NULL", options, names),
    )
    _check_places(made, options)
    if form == "binary":
        return made
    csv = form == "csv"
    delimiter = str(options.get("DELIMITER", "," if csv else "\t")).replace("\\t", "\t")
    quote = str(options.get("QUOTE", '"'))
    made = replace(
        made,
        delimiter=delimiter,
        null=str(options.get("NULL", "" if csv else "\\N")),
        quote=quote,
        escape=str(options.get("ESCAPE", quote)),
    )
    _check_signs(made, csv=csv)
    return made


def _is_match(options: Options) -> bool:
    return str(options.get("HEADER", "")).lower() == "match"


def _switch(name: str, options: Options) -> bool:
    value = str(options.get(name, "false")).lower()
    if name == "HEADER" and value == "match":
        return True
    if value not in _TRUE | _FALSE:
        more = ' or "match"' if name == "HEADER" else ""
        raise ParameterError(f"{name.lower()} requires a Boolean value{more}")
    return value in _TRUE


def _positions(name: str, options: Options, names: list[str]) -> tuple[int, ...]:
    wanted = options.get(name, [])
    if isinstance(wanted, str):
        raise SqlSyntaxError(f"argument to option {name.lower()} must be a list of column names")
    if wanted == ["*"]:
        return tuple(range(len(names)))
    shown = [_shown(column) for column in names]
    for column in wanted:
        if _shown(column) not in shown:
            raise ParameterError(f"{name} column {_shown(column)} is not referenced by COPY")
    return tuple(shown.index(_shown(column)) for column in wanted)


def _shown(name: str) -> str:
    return name.lower() if name == name.upper() else name


def _check_encoding(name: str) -> None:
    if name.upper().replace("-", "").replace("_", "") not in ("UTF8", "UNICODE"):
        raise NotSupportedError(f"COPY in {name} is not supported", hint="Data is UTF-8.")


def _check_places(plan: CopyPlan, options: Options) -> None:
    """Raises NotSupportedError for an option of another format or direction."""
    for name in options:
        if name in ("QUOTE", "ESCAPE", *_NAMES) and plan.format != "csv":
            raise NotSupportedError(f"COPY {name} is available only in CSV mode")
        if name in ("DELIMITER", "NULL", "HEADER") and plan.format == "binary":
            raise SqlSyntaxError(f"cannot specify {name} in BINARY mode")
        if name == "FORCE_QUOTE" and plan.direction == "in":
            raise NotSupportedError("COPY FORCE_QUOTE is available only in COPY TO")
        if name in ("FORCE_NULL", "FORCE_NOT_NULL", "FREEZE") and plan.direction == "out":
            raise NotSupportedError(f"COPY {name} is available only in COPY FROM")
    if plan.header_names and plan.direction == "out":
        raise ParameterError('cannot use "match" with HEADER in COPY TO')


def _check_signs(plan: CopyPlan, *, csv: bool) -> None:
    """Raises ParameterError for signs that could not be told apart."""
    signs = {"delimiter": plan.delimiter}
    if csv:
        signs |= {"quote": plan.quote, "escape": plan.escape}
    for name, sign in signs.items():
        if len(sign.encode()) != 1:
            raise NotSupportedError(f"COPY {name} must be a single one-byte character")
    if plan.delimiter in "\r\n":
        raise ParameterError("COPY delimiter cannot be newline or carriage return")
    if set(plan.null) & set("\r\n"):
        raise ParameterError("COPY null representation cannot use newline or carriage return")
    if not csv and plan.delimiter in _NO_DELIMITERS:
        raise ParameterError(f'COPY delimiter cannot be "{plan.delimiter}"')
    if csv and plan.delimiter == plan.quote:
        raise ParameterError("COPY delimiter and quote must be different")
    if plan.delimiter in plan.null:
        raise ParameterError("COPY delimiter must not appear in the NULL specification")
    if csv and plan.quote in plan.null:
        raise ParameterError("CSV quote character must not appear in the NULL specification")
