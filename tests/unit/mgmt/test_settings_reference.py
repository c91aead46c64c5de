"""docs/reference/settings.md names every attribute, and nothing that is not one."""

from __future__ import annotations

import re
from pathlib import Path

from data.admin.settings import DatabaseSettings
from mgmt.model import attributes

TEXT = (Path(__file__).resolve().parents[3] / "docs/reference/settings.md").read_text()
PART = TEXT.partition("## `make grid`")[0]
NAMED = {name.lower() for name in re.findall(r"`([A-Za-z_]+)(?:…)?`", PART)}


def test_every_attribute_is_described() -> None:
    known = {*attributes.INTEGERS, *attributes.TEXTS, *attributes.REFUSED, *attributes.PREFIXES}
    assert known <= NAMED, known - NAMED


def test_defaults_are_those_of_the_code() -> None:
    defaults = DatabaseSettings()
    for name, value in (
        ("PermSize", defaults.perm_size_mb),
        ("TempSize", defaults.temp_size_mb),
        ("Connections", defaults.connections),
        ("EpochInterval", defaults.epoch_interval_s),
        ("LockWait", defaults.lock_wait_s),
        ("Isolation", defaults.isolation),
    ):
        line = next(line for line in PART.splitlines() if line.startswith(f"| `{name}`"))
        assert f"({value:g})" in line, line
