"""What administrators did and who was refused, for `diag/ttaudit.log` of the instance.

Written whatever the level of the other logs is. Where the lines go is said in daemons/logs.py;
secrets in them are hidden there too.
"""

from __future__ import annotations

import logging

import structlog

from protocol.audit_file import NAME, TEXT_CHARS_MAX

_log = structlog.wrap_logger(logging.getLogger(NAME), wrapper_class=structlog.stdlib.BoundLogger)


def command(who: str, what: str, result: str, seconds: float, **more: object) -> None:
    """An administrator's command ended. result: DONE or the code of the error."""
    _log.info(
        "audit.command",
        who=who,
        command=what[:TEXT_CHARS_MAX],
        result=result,
        seconds=round(seconds, 3),
        **more,
    )


def refused(who: str, why: str, address: str, **more: object) -> None:
    """Somebody was not let in."""
    _log.info("audit.refused", who=who, why=why, address=address, **more)
