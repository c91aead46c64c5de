"""TimesTen's built-in procedures that tell of the statement cache: CALL is a query of a view.

| call | rows of |
|---|---|
| ttSQLCmdCacheInfo([id]), ttSqlCmdCacheInfoGet() | SYS.V$SQL_CMD_CACHE_INFO, as privileged |
| ttSQLExecutionTimeHistogram([id]) | SYS.V$SQL_EXECUTION_TIME, of all statements or of one |
"""

from __future__ import annotations

import re

from protocol.errors import ParameterError

_CALL = re.compile(
    r"\s*CALL\s+(?P<name>ttSQLCmdCacheInfo|ttSqlCmdCacheInfoGet|ttSQLExecutionTimeHistogram)"
    r"\s*(?:\((?P<argument>[^()]*)\))?\s*;?\s*",
    re.IGNORECASE,
)
_SUMS = (
    "SELECT COUNT(*) AS cmdcount, SUM(freeable) AS freeablecount, SUM(size) AS size"
    " FROM sys.v$sql_cmd_cache_info"
)
_ALL_STATEMENTS = -1  # of V$SQL_EXECUTION_TIME


def as_query(text: str) -> str | None:
    """The query that a CALL of one of these is; None for another text. Raises ParameterError."""
    match = _CALL.fullmatch(text) if text.lstrip()[:4].upper() == "CALL" else None
    if match is None:
        return None
    name, argument = match["name"].lower(), (match["argument"] or "").strip()
    if name == "ttsqlcmdcacheinfoget":
        if argument:
            raise ParameterError("ttSqlCmdCacheInfoGet takes no arguments")
        return _SUMS
    if argument and argument.upper() != "NULL" and not argument.lstrip("-").isdigit():
        raise ParameterError(f"{match['name']} takes the number of a statement (SQLCMDID)")
    number = int(argument) if argument and argument.upper() != "NULL" else _ALL_STATEMENTS
    if name == "ttsqlcmdcacheinfo":
        where = "" if number < 0 else f" WHERE sqlcmdid = {number}"
        return f"SELECT * FROM sys.v$sql_cmd_cache_info{where} ORDER BY sqlcmdid"
    return (
        "SELECT a.exectimelimit, COALESCE(s.executions, 0) AS executions"
        " FROM sys.v$sql_execution_time a LEFT JOIN sys.v$sql_execution_time s"
        f" ON s.sqlcmdid = {max(number, _ALL_STATEMENTS)} AND s.exectimelimit = a.exectimelimit"
        f" WHERE a.sqlcmdid = {_ALL_STATEMENTS} ORDER BY a.exectimelimit"
    )
