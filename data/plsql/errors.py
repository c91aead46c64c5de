"""Exceptions of PL/SQL, Oracle's predefined ones by name and number. Pure."""

from __future__ import annotations

from protocol.errors import GridError

NO_DATA_FOUND = "NO_DATA_FOUND"
TOO_MANY_ROWS = "TOO_MANY_ROWS"
VALUE_ERROR = "VALUE_ERROR"
USER_DEFINED = 1  # SQLCODE of an exception without number
NO_DATA_CODE, NO_DATA_NUMBER = 100, 1403  # SQLCODE of NO_DATA_FOUND, and its ORA- number
APPLICATION_CODES = (-20999, -20000)

# name → (SQLCODE, message), from the PL/SQL Language Reference, "Predefined Exceptions"
PREDEFINED: dict[str, tuple[int, str]] = {
    "ACCESS_INTO_NULL": (-6530, "Reference to uninitialized composite"),
    "CASE_NOT_FOUND": (-6592, "CASE not found while executing CASE statement"),
    "COLLECTION_IS_NULL": (-6531, "Reference to uninitialized collection"),
    "CURSOR_ALREADY_OPEN": (-6511, "PL/SQL: cursor already open"),
    "DUP_VAL_ON_INDEX": (-1, "unique constraint violated"),
    "INVALID_CURSOR": (-1001, "invalid cursor"),
    "INVALID_NUMBER": (-1722, "invalid number"),
    "LOGIN_DENIED": (-1017, "invalid username/password; logon denied"),
    "NO_DATA_FOUND": (100, "no data found"),
    "NOT_LOGGED_ON": (-1012, "not logged on"),
    "PROGRAM_ERROR": (-6501, "PL/SQL: program error"),
    "ROWTYPE_MISMATCH": (
        -6504,
        "PL/SQL: Return types of Result Set variables or query do not match",
    ),
    "STORAGE_ERROR": (-6500, "PL/SQL: storage error"),
    "SUBSCRIPT_BEYOND_COUNT": (-6533, "Subscript beyond count"),
    "SUBSCRIPT_OUTSIDE_LIMIT": (-6532, "Subscript outside of limit"),
    "SYS_INVALID_ROWID": (-1410, "invalid ROWID"),
    "TIMEOUT_ON_RESOURCE": (-51, "timeout occurred while waiting for resource"),
    "TOO_MANY_ROWS": (-1422, "exact fetch returns more than requested number of rows"),
    "VALUE_ERROR": (-6502, "PL/SQL: numeric or value error"),
    "ZERO_DIVIDE": (-1476, "divisor is equal to zero"),
}
NAME_OF = {code: name for name, (code, _) in PREDEFINED.items()}
_NO_PARENT, _CHILD_ROWS = -2291, -2292
_CODES = {  # SQLSTATE of an error of SQL → Oracle's number
    "23505": -1,
    "23503": _NO_PARENT,
    "23502": -1400,
    "23514": -2290,
    "21000": -1427,
    "22012": -1476,
    "22001": -12899,
    "22003": -1438,
    "22P02": -1722,
    "22007": -1861,
    "22008": -1843,
    "42P01": -942,
    "42703": -904,
    "42501": -1031,
    "42601": -900,
    "55P03": -54,
    "40P01": -6002,
    "57014": -1013,
}


_TEXTS = {  # SQLERRM(code) of numbers that no predefined exception has
    -54: "resource busy and acquire with NOWAIT specified or timeout expired",
    -60: "deadlock detected while waiting for resource",
    -900: "invalid SQL statement",
    -904: "invalid identifier",
    -942: "table or view does not exist",
    -1006: "bind variable does not exist",
    -1008: "not all variables bound",
    -1013: "user requested cancel of current operation",
    -1031: "insufficient privileges",
    -1400: "cannot insert NULL",
    -1403: "no data found",
    -1426: "numeric overflow",
    -1427: "single-row subquery returns more than one row",
    -1438: "value larger than specified precision allowed for this column",
    -1843: "not a valid month",
    -1861: "literal does not match format string",
    -2290: "check constraint violated",
    -2291: "integrity constraint violated - parent key not found",
    -2292: "integrity constraint violated - child record found",
    -6512: "at line",
    -6550: "line, column",
    -12899: "value too large for column",
    -24381: "error(s) in array DML",
}


class PlError(Exception):
    """A raised exception. `lines`: where it came through, innermost first.

    `code`: SQLCODE; `name`: "" for one without name; `cause`: the error of SQL it stands for.
    """

    def __init__(
        self,
        name: str,
        code: int,
        message: str,
        cause: GridError | None = None,
        identity: object = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.code = code
        self.message = message
        self.cause = cause
        self.identity = identity  # of the declaration of a user's exception
        self.lines: list[str] = []

    @property
    def text(self) -> str:
        """SQLERRM."""
        return error_text(self.code, self.message)


def error_text(code: int, message: str) -> str:
    """SQLERRM of a code: ORA-nnnnn: message."""
    if code == 0:
        return "ORA-0000: normal, successful completion"
    if code == USER_DEFINED:
        return message or "User-Defined Exception"
    number = NO_DATA_NUMBER if code == NO_DATA_CODE else abs(code)
    return f"ORA-{number:05}: {message}"


def text_of_code(code: int) -> str:
    """SQLERRM(code)."""
    if code == 0 or code == USER_DEFINED:
        return error_text(code, "")
    if code > 0 and code != 100:
        return f"-{code}: non-ORACLE exception"
    for known, message in PREDEFINED.values():
        if known == code:
            return error_text(code, message)
    message = _TEXTS.get(code, "")
    if not message and not APPLICATION_CODES[0] <= code <= APPLICATION_CODES[1]:
        message = f"Message {-code} not found; product=RDBMS; facility=ORA"
    return error_text(code, message)


def predefined(name: str, more: str = "") -> PlError:
    """One of the predefined exceptions; `more` follows its message."""
    code, message = PREDEFINED[name]
    return PlError(name, code, f"{message}{more}")


def too_many_bound() -> PlError:
    """A value for a placeholder that is not there."""
    return PlError("", -1006, "bind variable does not exist")


def not_all_bound() -> PlError:
    """A placeholder without a value."""
    return PlError("", -1008, "not all variables bound")


def check_bound(placeholders: int, given: int) -> None:
    """Raises PlError unless there is one value for each."""
    if given > placeholders:
        raise too_many_bound()
    if given < placeholders:
        raise not_all_bound()


def of_grid_error(error: GridError) -> PlError:
    """An error of SQL as an exception: by its SQLSTATE; if it may be tried again, by TimesTen's
    number for how (protocol/remedies.py: -57005 to -57008); or by its own TimesTen number."""
    code = _CODES.get(error.sqlstate, 0) or -error.remedy.number
    code = code or -(error.tt_number or 20999)
    if code == _NO_PARENT and error.message.endswith("still refer to the row"):
        code = _CHILD_ROWS  # SQL has one error for both, as TimesTen (TT3001)
    return PlError(NAME_OF.get(code, ""), code, error.message, cause=error)
