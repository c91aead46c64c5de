"""Management → data instance: run one statement as the instance administrator, for the console."""

from __future__ import annotations

import msgspec

from protocol.messages import registry


class RunSql(msgspec.Struct, frozen=True, array_like=True, tag="worksheet.run"):
    """Run one statement as the instance administrator; it commits by itself. Reply: SqlRan.

    `schema`: where names without an owner are looked for; "": the administrator's own.
    """

    database: str
    number: str  # chosen by the caller, to cancel it
    text: str
    rows_max: int
    timeout_ms: int
    schema: str = ""


class SqlFailure(msgspec.Struct, frozen=True, array_like=True):
    """What a client would have been told."""

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    position: int = 0  # of the character, from 1; 0: not known


class SqlRan(msgspec.Struct, frozen=True, array_like=True, tag="worksheet.ran"):
    """Reply to RunSql: values as text, None for NULL."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    tag: str  # of the command: "SELECT 3"
    more: bool  # there were more rows than `rows_max`, or more than fit
    elapsed_us: int
    notices: tuple[str, ...] = ()
    failure: SqlFailure | None = None


class CancelSql(msgspec.Struct, frozen=True, array_like=True, tag="worksheet.cancel"):
    """Cancel a RunSql under way; nothing happens if there is none. Reply: SqlCancelled."""

    number: str


class SqlCancelled(msgspec.Struct, frozen=True, array_like=True, tag="worksheet.cancelled"):
    """Reply to CancelSql. `found`: it was under way."""

    found: bool


registry.declare_module(__name__)
