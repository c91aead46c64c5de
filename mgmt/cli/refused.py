"""Commands of TimesTen Scaleout that are not here, and why: who types one is told."""

from __future__ import annotations

from typing import NamedTuple

from protocol.errors import NotSupportedError


class Refusal(NamedTuple):
    """Why a command is not there, and what to do instead."""

    why: str
    instead: str


_NO_CACHE = Refusal(
    "there are no cache groups: a grid does not cache tables of an Oracle Database",
    "Copy the rows with COPY ... FROM STDIN.",
)
_NO_ORACLE_FILES = Refusal(
    "clients do not read Oracle network files: they speak the PostgreSQL protocol",
    "gridClientExport writes the file that they read.",
)
_NO_CONFIG_FILE = Refusal(
    "what is set for an instance is in the model; instance.toml is written from it",
    "instanceModify and modelApply change it.",
)
REFUSED: dict[str, Refusal] = {
    "dbCacheCredentialSet": _NO_CACHE,
    "dbCacheStart": _NO_CACHE,
    "dbCacheStop": _NO_CACHE,
    "instanceConfigExport": _NO_CONFIG_FILE,
    "instanceConfigImport": _NO_CONFIG_FILE,
    "SQLNetExport": _NO_ORACLE_FILES,
    "SQLNetImport": _NO_ORACLE_FILES,
    "TNSNamesExport": _NO_ORACLE_FILES,
    "TNSNamesImport": _NO_ORACLE_FILES,
}
_BY_NAME = {name.lower(): name for name in REFUSED}


def refusal(word: str) -> NotSupportedError | None:
    """The error for a command that is not here on purpose; None for any other word."""
    name = _BY_NAME.get(word.lower())
    if name is None:
        return None
    return NotSupportedError(f"{name}: {REFUSED[name].why}", hint=REFUSED[name].instead)
