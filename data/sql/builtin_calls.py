"""TimesTen's built-in procedures: CALL ttName(…). Pure.

Those that answer with rows are queries of the SYS views here, so that they work in a client, in
ttIsql and in PL/SQL alike. Those that do something are in data/exec/utility.py. What makes no sense
in a grid is refused by its name, with the reason.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from protocol.errors import NotSupportedError, ParameterError

_CALL = re.compile(
    r"\s*CALL\s+(?P<name>tt\w+)\s*(?:\((?P<arguments>.*)\))?\s*;?\s*", re.IGNORECASE | re.DOTALL
)
_ARGUMENT = re.compile(r"\s*(?:'((?:[^']|'')*)'|([\w$#.+-]+))\s*(?:,|$)")


class Query(NamedTuple):
    """A procedure with a result. `filter`: of the rows, if it has an argument ({} is it)."""

    text: str
    summary: str
    filter: str = ""


_STATEMENTS = "sqlcmdid, privatecommandconnectionid, executions, prepares, reprepares, freeable"
QUERIES = {
    "ttBackupStatus": Query(
        "SELECT status, destination, progress, error FROM SYS.V$BACKUP_STATUS",
        "backups of this element",
    ),
    "ttBlockInfo": Query(
        "SELECT totalblocks, freeblocks, freebytes, largestfree FROM SYS.V$BLOCK_INFO",
        "blocks of this element's file",
    ),
    "ttBookmark": Query(
        "SELECT writelfn, writelfo, forcelfn, forcelfo, holdlfn, holdlfo FROM SYS.V$BOOKMARK",
        "places in the log",
    ),
    "ttCkptHistory": Query(
        "SELECT starttime, endtime, type, status, initiator, error, ckptfilenum, ckptvno, blocks,"
        " bytes, percentcomplete, logspurged, bookmarkname FROM SYS.V$CKPT_HISTORY",
        "checkpoints of this element",
    ),
    "ttConfiguration": Query(
        "SELECT paramname, paramvalue FROM SYS.V$CONFIGURATION",
        "attributes of the database; with a name, one of them",
        "UPPER(paramname) = UPPER({})",
    ),
    "ttDataStoreStatus": Query(
        "SELECT database, state, connections FROM SYS.V$DATASTORE_STATUS",
        "the database on this instance",
    ),
    "ttDistributionProgress": Query(
        "SELECT * FROM SYS.V$DISTRIBUTION_PROGRESS", "how far a redistribution is"
    ),
    "ttHostNameGet": Query("SELECT hostname FROM SYS.V$HOST_NAME", "the host of this instance"),
    "ttLogHolds": Query(
        "SELECT holdlfn, holdlfo, type, description FROM SYS.V$LOG_HOLDS", "what keeps the log"
    ),
    "ttSQLCmdCacheInfo": Query(
        f"SELECT {_STATEMENTS}, size, owner, querytext FROM SYS.V$SQL_CMD_CACHE",
        "statements this instance keeps; with a number, one of them",
        "sqlcmdid = {}",
    ),
    "ttSQLExecutionTimeHistogram": Query(
        "SELECT sqlcmdid, exectimelimit, executions FROM SYS.V$SQL_EXECUTION_TIME",
        "how many executions took at most so long; with a number, of one statement",
        "sqlcmdid = {}",
    ),
    "ttSqlCmdCacheInfoGet": Query(
        "SELECT COUNT(*) AS cmdcount, SUM(freeable) AS freeablecount, SUM(size) AS size"
        " FROM SYS.V$SQL_CMD_CACHE",
        "how many they are",
    ),
    "ttUserPrivileges": Query(
        "SELECT username, privilege FROM SYS.USER_SYS_PRIVS", "system privileges of this user"
    ),
    "ttVersion": Query(
        "SELECT CAST(split_part(substr(value, 9), '.', 1) AS integer) AS major1,"
        " CAST(split_part(substr(value, 9), '.', 2) AS integer) AS major2,"
        " CAST(split_part(substr(value, 9), '.', 3) AS integer) AS patchset,"
        " 0 AS patch, 0 AS reserved FROM SYS.V$VERSION",
        "the release, in five parts",
    ),
}
DOES = {  # what data/exec/utility.py does
    "ttApplicationContext": "a text for the log of statements: application_name",
    "ttCkpt": "what was committed is on disk on all elements when it returns: an epoch",
    "ttCkptBlocking": "the same",
    "ttCompact": "nothing: freed space is used again by itself",
    "ttEpochCreate": "the next commit makes an epoch",
    "ttLockWait": "how long this session waits for locks, in seconds",
    "ttOptClearStats": "statistics are forgotten",
    "ttOptEstimateStats": "statistics are taken",
    "ttOptSetFlag": "a hint for this transaction",
    "ttOptSetOrder": "the order of joins for this transaction",
    "ttOptUpdateStats": "statistics are taken",
    "ttOptUseIndex": "which indexes this transaction uses",
}
_CLASSIC = "it is for TimesTen Classic"
_MONITORING = "the instances tell it to Prometheus: see docs/monitoring.md"
REFUSED = {  # procedure, or how its name begins with *: why
    "ttCache*": f"{_CLASSIC}: there are no cache groups here",
    "ttCkptConfig": "checkpoints follow the log by themselves",
    "ttComputeTabSizes": "sizes of elements are in SYS.MONITOR; of tables they are not kept",
    "ttDurableCommit": "commits are durable as the Durability of the database says; ttEpochCreate"
    " makes what is committed durable everywhere",
    "ttHostNameSet": f"{_CLASSIC}: hosts are part of the grid's model (ttGridAdmin)",
    "ttLoadFromOracle": "there is no connection to an Oracle database; load files with ttBulkCp",
    "ttLockLevel": "locks are of rows; the hints TT_TblLock(1) and TT_RowLock(0) make a statement"
    " lock its table",
    "ttMonitorHighWaterReset": _MONITORING,
    "ttOptShowJoinOrder": "EXPLAIN shows it",
    "ttRam*": f"{_CLASSIC}: ttGridAdmin dbLoad and dbUnload say when a database is in memory",
    "ttRep*": f"{_CLASSIC}: each replica set replicates by itself",
    "ttSQLCmdQueryPlan": "EXPLAIN shows the plan of a statement",
    "ttSize": "sizes of elements are in SYS.MONITOR; of tables they are not kept",
    "ttStatsConfig*": _MONITORING,
    "ttTableSchemaFromOraQueryGet": "there is no connection to an Oracle database",
    "ttXla*": f"{_CLASSIC}: there is no XLA here",
}
_BY_NAME = {name.upper(): query for name, query in QUERIES.items()}
_DOES = frozenset(name.upper() for name in DOES)


def call_as_query(text: str) -> str | None:
    """The query a CALL of a built-in procedure is; None if it is something else.

    Raises NotSupportedError for those that are refused, ParameterError for wrong arguments.
    """
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    name = match["name"].upper()
    query = _BY_NAME.get(name)
    if query is None:
        if name not in _DOES:
            _refuse(match["name"])
        return None
    arguments = _arguments(match["arguments"] or "", match["name"])
    if not arguments:
        return query.text
    if len(arguments) > 1 or not query.filter:
        raise ParameterError(f"{match['name']} takes no such arguments")
    return f"{query.text} WHERE {query.filter.format(arguments[0])}"


def _refuse(name: str) -> None:
    for known, reason in REFUSED.items():
        exact = known.rstrip("*").upper()
        if name.upper() == exact or (known.endswith("*") and name.upper().startswith(exact)):
            raise NotSupportedError(f"{name} is not supported: {reason}")


def _arguments(text: str, name: str) -> list[str]:
    """As literals of SQL."""
    found: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        match = _ARGUMENT.match(text, at)
        if match is None:
            raise ParameterError(f"the arguments of {name} are literals")
        found.append(match[0].strip().rstrip(",").strip())
        at = match.end()
    return found
