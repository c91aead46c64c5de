"""Files of ttBulkCp: lines to values and back. Pure.

##ttBulkCp:VSEP=,:QUOTES=1
# a comment
910, "Riley", NULL, 2024-01-31 00:00:00, 00ff
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

MARK = "##ttBulkCp"
NULL = "NULL"
BINARY = ("BINARY", "VARBINARY", "BLOB", "RAW")
QUOTED = ("CHAR", "VARCHAR2", "NCHAR", "NVARCHAR2", "CLOB", "NCLOB", "JSON", "UUID")
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COPY_SPECIAL = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_COPY = str.maketrans(_COPY_SPECIAL)
_FROM_COPY = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}
_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\0"})


class LineError(ValueError):
    """A line that is not a row of the table; the message says why."""


@dataclass(frozen=True)
class Format:
    """How a file is written: its separator, character of comments ("": none), quotes or not."""

    separator: str = ","
    comment: str = "#"
    quotes: bool = True

    def first_line(self) -> str:
        """The attribute line."""
        shown = "\\t" if self.separator == "\t" else self.separator
        return f"{MARK}:VSEP={shown}:QUOTES={int(self.quotes)}"

    def with_attributes(self, line: str) -> Format:
        """As an attribute line says. Raises LineError."""
        made = self
        for name, value in re.findall(r":\s*(\w+)=(:(?=:|\Z)|[^:]*)", line[len(MARK) :].rstrip()):
            match name.upper():
                case "VSEP" | "FSEP":
                    made = replace(made, separator=separator(value))
                case "QUOTES":
                    made = replace(made, quotes=value.strip() == "1")
                case "COMMENTCHAR":
                    made = replace(made, comment="" if value.lower() == "none" else value)
                case "DFORMAT" | "TFORMAT" | "TSFORMAT" if value.upper() != "ODBC":
                    raise LineError(f"{name}={value} is not supported: ODBC is")
        return made

    def is_row(self, line: str) -> bool:
        """Not empty, not a comment."""
        return bool(line.strip()) and not (self.comment and line.startswith(self.comment))


def separator(text: str) -> str:
    """One character from how it is named on a command line. Raises LineError."""
    found = _SEPARATORS.get(text.lower(), text)
    if len(found) != 1 or found.isalnum() or found in "\"'\\\n":
        raise LineError(f"{text!r} cannot separate values")
    return found


class Reader:
    """Lines of one format to what COPY takes, for columns of certain types."""

    def __init__(self, form: Format, types: Sequence[str]) -> None:
        self._separator, self._quotes = form.separator, form.quotes
        self._binary = [kind in BINARY for kind in types]
        mark = re.escape(form.separator)
        blank = "[ \t]*" if form.separator not in " \t" else ""
        self._field = re.compile(
            rf"""{blank}(?:"((?:[^"\\]|\\.)*)"{blank}|'((?:[^'\\]|\\.)*)'{blank}|((?!["'])[^{mark}]*))"""
            rf"(?:{mark}|\Z)",
            re.DOTALL,
        )

    def values(self, line: str) -> list[str | None]:
        """Of a line without its end. Raises LineError."""
        line = line.rstrip("\r\n")
        special = self._quotes and ('"' in line or "'" in line or "\\" in line)
        found = self._quoted(line) if special else [self._plain(part) for part in self._split(line)]
        if len(found) != len(self._binary):
            raise LineError(f"{len(found)} values for {len(self._binary)} columns")
        return found

    def row(self, line: str) -> str:
        """The same as a line of COPY's text format."""
        return copy_line(
            f"\\x{value.strip('{}').removeprefix('0x')}" if binary and value else value
            for value, binary in zip(self.values(line), self._binary, strict=True)
        )

    def _split(self, line: str) -> list[str]:
        return line.split(self._separator)

    def _plain(self, text: str) -> str | None:
        stripped = text.strip()
        return None if stripped in ("", NULL) else stripped

    def _quoted(self, line: str) -> list[str | None]:
        found: list[str | None] = []
        at, end = 0, len(line)
        while at <= end:
            match = self._field.match(line, at)
            if match is None:
                raise LineError(f"unbalanced quotes at character {at + 1}")
            double, single, plain = match.groups()
            quoted = double if double is not None else single
            if quoted is None:
                found.append(self._plain(_unescaped(plain)))
            else:
                found.append(_unescaped(quoted))
            at = match.end()
            if not match.group().endswith(self._separator):
                break
        return found


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda m: _ESCAPES.get(m.group(1), m.group(1)), text)


def copy_line(values: Iterable[str | None]) -> str:
    """A row in COPY's text format, with its end."""
    parts = ["\\N" if value is None else value.translate(_COPY) for value in values]
    return "\t".join(parts) + "\n"


class Writer:
    """Lines of COPY's text format to lines of a file."""

    def __init__(self, form: Format, types: Sequence[str]) -> None:
        self._separator = form.separator
        self._quoted = [form.quotes and kind in QUOTED for kind in types]
        self._binary = [kind in BINARY for kind in types]

    def line(self, copied: str) -> str:
        """One row, with its end."""
        fields = zip(copied.rstrip("\n").split("\t"), self._quoted, self._binary, strict=True)
        return self._separator.join(self._value(*field) for field in fields) + "\n"

    def _value(self, text: str, quoted: bool, binary: bool) -> str:
        if text == "\\N":
            return NULL
        if "\\" in text:
            text = _ESCAPED.sub(lambda m: _FROM_COPY.get(m.group(1), m.group(1)), text)
        if binary:
            return text.removeprefix("\\x")
        return f'"{text.translate(_QUOTED)}"' if quoted else text
