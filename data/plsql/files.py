"""UTL_FILE: text files in one folder of the instance, plsql/utl_file_temp, as in TimesTen.

Names are plain: no folders, no links. Files belong to a session and are closed with it. What is
written is gathered, and goes to the disk on a thread, so nobody else is held up by a slow one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from data.plsql import values
from data.plsql.errors import PlError, predefined
from data.plsql.raw import raw
from data.plsql.scope import Builtin, ExceptionSymbol, PackageSymbol, TypeSymbol
from data.plsql.types import Record, RecordType, Scalar
from data.plsql.values import Value
from protocol.sqltypes import BIGINT, BOOLEAN

if TYPE_CHECKING:
    from data.plsql.context import Context

LOCATIONS = ("", ".", "UTL_FILE_TEMP")
FILES_MAX = 50  # open at once in a session, as Oracle's
LINE_BYTES, LINE_BYTES_MAX = 1024, 32_767
FILE_BYTES_MAX = 1 << 30
GATHERED_BYTES = 64 * 1024  # then they are written
_MODES = {"R": "rb", "W": "wb", "A": "ab", "RB": "rb", "WB": "wb", "AB": "ab"}

EXCEPTIONS = {  # name -> number and message, from the PL/SQL Packages Reference, "UTL_FILE"
    "INVALID_PATH": (-29280, "invalid directory path"),
    "INVALID_MODE": (-29281, "invalid mode"),
    "INVALID_FILEHANDLE": (-29282, "invalid file ID"),
    "INVALID_OPERATION": (-29283, "invalid file operation"),
    "READ_ERROR": (-29284, "file read error"),
    "WRITE_ERROR": (-29285, "file write error"),
    "INTERNAL_ERROR": (-29286, "internal error"),
    "INVALID_MAXLINESIZE": (-29287, "invalid maximum line size"),
    "INVALID_FILENAME": (-29288, "invalid file name"),
    "ACCESS_DENIED": (-29289, "directory access denied"),
    "INVALID_OFFSET": (-29290, "invalid offset specified for seek"),
    "DELETE_FAILED": (-29291, "file remove operation failed"),
    "RENAME_FAILED": (-29292, "file rename operation failed"),
}
_SYMBOLS = {name: ExceptionSymbol(name, *known) for name, known in EXCEPTIONS.items()}
FILE_TYPE = RecordType(
    "FILE_TYPE",
    [("ID", Scalar(BIGINT)), ("DATATYPE", Scalar(BIGINT)), ("BYTE_MODE", Scalar(BOOLEAN))],
)


def _error(name: str, more: str = "") -> PlError:
    symbol = _SYMBOLS[name]
    return PlError(name, symbol.code, f"{symbol.message}{more}", identity=symbol)


class OpenFile:
    """One file of a session. What touches the disk runs on a thread."""

    def __init__(self, file: BinaryIO, writes: bool, line_bytes: int) -> None:
        self.file = file
        self.writes = writes
        self.line_bytes = line_bytes
        self.gathered: list[bytes] = []
        self.gathered_bytes = 0
        self.bytes = file.tell()

    def write_out(self) -> None:
        """To the disk's cache. Raises OSError."""
        data, self.gathered, self.gathered_bytes = b"".join(self.gathered), [], 0
        if data:
            self.file.write(data)
            self.file.flush()

    def close(self) -> None:
        """Raises OSError."""
        try:
            self.write_out()
        finally:
            self.file.close()


def _path(context: Context, location: Value, name: Value) -> Path:
    """Raises INVALID_PATH, INVALID_FILENAME, and what says that the user may not."""
    folder = context.host.files_folder()
    if (values.text(location) or "").upper() not in LOCATIONS:
        raise _error("INVALID_PATH", ": only UTL_FILE_TEMP")
    found = values.text(name) or ""
    if not found or found in (".", "..") or "/" in found or "\0" in found or len(found) > 255:
        raise _error("INVALID_FILENAME")
    return folder / found


def _aside(context: Context, failing: str, work: Callable[[], Any]) -> Any:
    try:
        return context.host.aside(work)
    except OSError as error:
        raise _error(failing, f": {error.strerror}") from error


def _opened(path: Path, mode: str) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC}.get(
        mode[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND
    )
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    return cast(BinaryIO, os.fdopen(number, mode))


def _fopen(context: Context, given: list[Value]) -> Value:
    path = _path(context, given[0], given[1])
    mode = _MODES.get((values.text(given[2]) or "").upper())
    if mode is None:
        raise _error("INVALID_MODE")
    line_bytes = LINE_BYTES if len(given) < 4 else values.number(given[3])
    if line_bytes is None or not 1 <= line_bytes <= LINE_BYTES_MAX:
        raise _error("INVALID_MAXLINESIZE")
    files = context.packages.files
    if len(files) >= FILES_MAX:
        raise _error("INVALID_OPERATION", f": {FILES_MAX} files are open")
    file = _aside(context, "INVALID_OPERATION", lambda: _opened(path, mode))
    context.packages.files_opened += 1
    number = context.packages.files_opened
    files[number] = OpenFile(file, mode[0] != "r", int(line_bytes))
    return FILE_TYPE.made([number, 1, "b" in (values.text(given[2]) or "").lower()])


def _of(context: Context, handle: Value, writes: bool | None = None) -> OpenFile:
    number = handle.fields[0] if isinstance(handle, Record) else None
    found: OpenFile | None = context.packages.files.get(number or 0)
    if found is None:
        raise _error("INVALID_FILEHANDLE")
    if writes is not None and found.writes is not writes:
        raise _error("INVALID_OPERATION", f": it is open for {'reading' if writes else 'writing'}")
    return found


def _put_bytes(context: Context, handle: Value, data: bytes) -> None:
    file = _of(context, handle, True)
    file.bytes += len(data)
    if file.bytes > FILE_BYTES_MAX:
        raise _error("WRITE_ERROR", f": files have {FILE_BYTES_MAX} bytes at most")
    file.gathered.append(data)
    file.gathered_bytes += len(data)
    if file.gathered_bytes >= GATHERED_BYTES:
        _aside(context, "WRITE_ERROR", file.write_out)


def _put_text(context: Context, handle: Value, text: str, end: str = "") -> None:
    data = text.encode()
    if max(map(len, data.split(b"\n"))) > _of(context, handle, True).line_bytes:
        raise _error("WRITE_ERROR", ": the line is longer than the maximum line size")
    _put_bytes(context, handle, data + end.encode())


def _put(context: Context, given: list[Value]) -> None:
    _put_text(context, given[0], values.text(given[1]) or "")


def _put_line(context: Context, given: list[Value]) -> None:
    _put_text(context, given[0], values.text(given[1]) or "", "\n")
    if len(given) > 2 and given[2] is True:
        _flush(context, given)


def _new_line(context: Context, given: list[Value]) -> None:
    count = values.number(given[1]) if len(given) > 1 else 1
    if not count or not 1 <= count <= LINE_BYTES_MAX:
        raise predefined("VALUE_ERROR", f": 1 to {LINE_BYTES_MAX} lines")
    _put_bytes(context, given[0], b"\n" * int(count))


def _putf(context: Context, given: list[Value]) -> None:
    text = (values.text(given[1]) or "").replace("\\n", "\n")
    for value in given[2:]:
        text = text.replace("%s", values.text(value) or "", 1)
    _put_text(context, given[0], text)


def _put_raw(context: Context, given: list[Value]) -> None:
    _put_bytes(context, given[0], raw(given[1]))


def _flush(context: Context, given: list[Value]) -> None:
    _aside(context, "WRITE_ERROR", _of(context, given[0], True).write_out)


def _get_line(context: Context, given: list[Value]) -> list[Value]:
    file = _of(context, given[0], False)
    most = values.number(given[2]) if len(given) > 2 else None
    line = _aside(context, "READ_ERROR", lambda: file.file.readline(file.line_bytes + 1))
    if not line:
        raise predefined("NO_DATA_FOUND")
    if not line.endswith(b"\n") and len(line) > file.line_bytes:
        raise _error("READ_ERROR", ": the line is longer than the maximum line size")
    line = line.removesuffix(b"\n")
    if most is not None and len(line) > most:
        raise predefined("VALUE_ERROR", ": the line is longer than asked for")
    try:
        return [line.decode() or None]
    except UnicodeDecodeError:
        raise _error("READ_ERROR", ": the line is no UTF-8") from None


def _get_raw(context: Context, given: list[Value]) -> list[Value]:
    file = _of(context, given[0], False)
    most = int(values.number(given[2]) if len(given) > 2 else LINE_BYTES_MAX)
    if not 1 <= most <= LINE_BYTES_MAX:
        raise predefined("VALUE_ERROR", f": 1 to {LINE_BYTES_MAX} bytes")
    data = _aside(context, "READ_ERROR", lambda: file.file.read(most))
    if not data:
        raise predefined("NO_DATA_FOUND")
    return [data]


def _fclose(context: Context, given: list[Value]) -> list[Value]:
    file = _of(context, given[0])
    del context.packages.files[given[0].fields[0]]
    _aside(context, "WRITE_ERROR", file.close)
    return [FILE_TYPE.initial()]


def _fclose_all(context: Context, given: list[Value]) -> None:
    for number in list(context.packages.files):
        _aside(context, "WRITE_ERROR", context.packages.files.pop(number).close)


def _is_open(context: Context, given: list[Value]) -> Value:
    return isinstance(given[0], Record) and given[0].fields[0] in context.packages.files


def _fremove(context: Context, given: list[Value]) -> None:
    _aside(context, "DELETE_FAILED", _path(context, given[0], given[1]).unlink)


def _frename(context: Context, given: list[Value]) -> None:
    old, new = _path(context, given[0], given[1]), _path(context, given[2], given[3])
    overwrites = len(given) > 4 and given[4] is True

    def rename() -> None:
        if overwrites:
            old.rename(new)
        else:
            os.link(old, new)  # fails if there is one
            old.unlink()

    _aside(context, "RENAME_FAILED", rename)


def _fcopy(context: Context, given: list[Value]) -> None:
    old, new = _path(context, given[0], given[1]), _path(context, given[2], given[3])
    first = int(values.number(given[4]) or 1) if len(given) > 4 else 1
    last = values.number(given[5]) if len(given) > 5 else None

    def copy() -> None:
        with _opened(old, "rb") as source, _opened(new, "wb") as target:
            for number, line in enumerate(source, 1):
                if number >= first and (last is None or number <= last):
                    target.write(line)

    _aside(context, "INVALID_OPERATION", copy)


def _fgetattr(context: Context, given: list[Value]) -> list[Value]:
    path = _path(context, given[0], given[1])
    try:
        found = context.host.aside(lambda: path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return [False, None, None]
    return [True, found.st_size, found.st_blksize]


def _procedure(
    name: str, call: Callable[[Any, list[Value]], Any], most: int, *names: str, outs: Any = ()
) -> Builtin:
    return Builtin(name, call, len(names), most, False, outs, names)


_HERE, _THERE = ("LOCATION", "FILENAME"), ("SRC_LOCATION", "SRC_FILENAME")
_TO = ("DEST_LOCATION", "DEST_FILENAME")
_ROUTINES = (
    Builtin("FOPEN", _fopen, 3, 4, True, (), (*_HERE, "OPEN_MODE", "MAX_LINESIZE")),
    Builtin("IS_OPEN", _is_open, 1, 1, True, (), ("FILE",)),
    _procedure("FCLOSE", _fclose, 1, "FILE", outs=(0,)),
    _procedure("FCLOSE_ALL", _fclose_all, 0),
    _procedure("PUT", _put, 2, "FILE", "BUFFER"),
    _procedure("PUT_LINE", _put_line, 3, "FILE", "BUFFER"),
    _procedure("NEW_LINE", _new_line, 2, "FILE"),
    _procedure("PUTF", _putf, 7, "FILE", "FORMAT"),
    _procedure("PUT_RAW", _put_raw, 3, "FILE", "BUFFER"),
    _procedure("FFLUSH", _flush, 1, "FILE"),
    _procedure("GET_LINE", _get_line, 3, "FILE", "BUFFER", outs=(1,)),
    _procedure("GET_RAW", _get_raw, 3, "FILE", "BUFFER", outs=(1,)),
    _procedure("FREMOVE", _fremove, 2, *_HERE),
    _procedure("FRENAME", _frename, 5, *_THERE, *_TO),
    _procedure("FCOPY", _fcopy, 6, *_THERE, *_TO),
    Builtin(
        "FGETATTR", _fgetattr, 5, 5, False, (2, 3, 4),
        (*_HERE, "FEXISTS", "FILE_LENGTH", "BLOCK_SIZE"),
    ),
)  # fmt: skip
UTL_FILE = PackageSymbol(
    "UTL_FILE",
    {
        **{routine.name: routine for routine in _ROUTINES},
        **_SYMBOLS,
        "FILE_TYPE": TypeSymbol(FILE_TYPE),
    },
)
