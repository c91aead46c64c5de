"""Logging is configured here and nowhere else: JSON lines in the instance home, or a console.

`<home>/diag/ttmesg.log` has everything from the chosen level on, `tterrors.log` the errors only
(TimesTen's names), `ttaudit.log` what administrators did (protocol/audit.py).
Elsewhere: log = structlog.get_logger(__name__); log.info("noun.verb", key=1).
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from protocol import audit_file, trace_id

FILE_BYTES_MAX = 10 * 1024 * 1024
FILES_KEPT = 5
AUDIT_FILES_KEPT = 20  # it grows slowly, and is asked for later
HIDDEN = "***"

_SECRET_KEY = re.compile(r"passw|secret|token|verifier|credential|private_?key|authorization", re.I)
_SECRET_IN_URL = re.compile(r"(://[^/\s:@]+:)[^@\s]+@")
_SECRET_IN_SQL = re.compile(r"(identified\s+by\s+|password\s+)('[^']*'|\"[^\"]*\"|\S+)", re.I)


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take secrets out of a log event: by the name of a key, and in URLs and SQL text."""
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = HIDDEN
        elif isinstance(value, str):
            event[key] = redact_text(value)
    return event


def _add_trace(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The trace id of the statement that this is about, if it has one."""
    trace = trace_id.current.get()
    if trace:
        event.setdefault("trace", trace)
    return event


def redact_text(text: str) -> str:
    """Text without the passwords it shows in URLs and in SQL."""
    if "://" in text:
        text = _SECRET_IN_URL.sub(rf"\1{HIDDEN}@", text)
    lowered = text.lower()
    if "identified" in lowered or "password" in lowered:
        text = _SECRET_IN_SQL.sub(rf"\1{HIDDEN}", text)
    return text


def set_up_logging(home: Path | None, *, console: bool = False, level: str = "info") -> None:
    """Configure logging of this process, once, before anything else logs.

    home: log into its folder `diag`; None: only to the console. console: also to standard error,
    for people. level: debug, info, warning or error. Raises OSError if the files cannot be opened.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _add_trace,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in _handlers(home, console or home is None, shared):
        root.addHandler(handler)
    root.setLevel(number)
    _set_up_audit(home, shared)
    # What libraries say about their own inside is noise unless it is a warning.
    for library in ("kazoo", "asyncio", "aiohttp", "asyncssh", "sqlglot"):
        logging.getLogger(library).setLevel(max(number, logging.WARNING))


def _set_up_audit(home: Path | None, shared: list[Any]) -> None:
    """Into a file of its own, whatever the level; without a home where the rest goes."""
    logger = logging.getLogger(audit_file.NAME)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.INFO)
    logger.propagate = home is None
    if home is not None:
        as_json = _formatter(shared, structlog.processors.JSONRenderer())
        logger.addHandler(_rotating(home / audit_file.FILE, as_json, AUDIT_FILES_KEPT))
        os.chmod(home / audit_file.FILE, 0o600)


def _rotating(
    file: Path, formatter: logging.Formatter, kept: int
) -> logging.handlers.RotatingFileHandler:
    handler = logging.handlers.RotatingFileHandler(file, maxBytes=FILE_BYTES_MAX, backupCount=kept)
    handler.setFormatter(formatter)
    return handler


def _handlers(home: Path | None, console: bool, shared: list[Any]) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    if home is not None:
        diag = home / "diag"
        diag.mkdir(parents=True, exist_ok=True)
        as_json = _formatter(shared, structlog.processors.JSONRenderer())
        for name, from_level in (("ttmesg.log", logging.NOTSET), ("tterrors.log", logging.ERROR)):
            handler = _rotating(diag / name, as_json, FILES_KEPT)
            handler.setLevel(from_level)
            handlers.append(handler)
    if console:
        stream = logging.StreamHandler(sys.stderr)
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        stream.setFormatter(_formatter(shared, renderer))
        handlers.append(stream)
    return handlers


def _formatter(shared: list[Any], renderer: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,  # plain text: no values of local variables
            redact,
            renderer,
        ],
    )
