"""What daemons log: into which file, and that nothing secret gets there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemons.logs import HIDDEN, redact, redact_text, set_up_logging


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with logging into it; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    set_up_logging(tmp_path, level="info")
    yield tmp_path
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def lines(home: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "diag" / name).read_text().splitlines()]


def test_errors_go_into_both_files_and_the_rest_into_one(home: Path) -> None:
    log = structlog.get_logger("test.part")
    log.debug("part.detail")
    log.info("part.done", rows=3)
    log.error("part.failed", why="disk")
    assert [line["event"] for line in lines(home, "ttmesg.log")] == ["part.done", "part.failed"]
    assert [line["event"] for line in lines(home, "tterrors.log")] == ["part.failed"]
    first = lines(home, "ttmesg.log")[0]
    assert (first["rows"], first["level"], first["logger"]) == (3, "info", "test.part")
    assert first["timestamp"].endswith("Z")


def test_libraries_warnings_come_through_and_their_chatter_does_not(home: Path) -> None:
    logging.getLogger("kazoo").info("chatter")
    logging.getLogger("kazoo").warning("dropped %s", "x")
    assert [line["event"] for line in lines(home, "ttmesg.log")] == ["dropped x"]


def test_an_exception_shows_its_trace_but_no_local_values(home: Path) -> None:
    log = structlog.get_logger("test")

    def fails(password: str) -> None:
        raise ValueError("no" if password else "none")

    password = "ti" + "ger"  # the source line of a trace may show no more than this
    try:
        fails(password)
    except ValueError:
        log.exception("part.failed")
    (line,) = lines(home, "tterrors.log")
    assert "ValueError: no" in line["exception"]
    assert "tiger" not in json.dumps(line)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://terry:tiger@host:6625/db", "tiger"),
        ("CREATE USER terry IDENTIFIED BY 'tiger'", "tiger"),
        ("create user x identified by tiger", "tiger"),
        ("ALTER USER terry PASSWORD 'ti ger'", "ti ger"),
    ],
)
def test_passwords_in_text_are_hidden(text: str, secret: str) -> None:
    cleaned = redact_text(text)
    assert secret not in cleaned
    assert HIDDEN in cleaned


def test_secret_keys_are_hidden_and_others_are_not() -> None:
    event = redact(None, "info", {"grid_secret": "x", "Password": "y", "token": "z", "rows": 1})
    assert event == {"grid_secret": HIDDEN, "Password": HIDDEN, "token": HIDDEN, "rows": 1}
    plain = "select * from accounts where name = 'a@b'"
    assert redact_text(plain) == plain
