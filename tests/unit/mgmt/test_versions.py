"""Model versions: what is writable, what is kept."""

from __future__ import annotations

import pytest

from mgmt.model import versions
from mgmt.model.versions import DAY_US, Versions
from protocol.errors import ModelError


def applied(register: Versions, now_us: int) -> Versions:
    return versions.finish_apply(versions.begin_apply(register), now_us)


def test_an_apply_makes_n_current_and_n_plus_1_writable() -> None:
    register = applied(versions.first(1), 2)
    assert (register.current, register.latest, register.applying) == (1, 2, 0)
    assert [register.state_of(e.number) for e in register.entries] == ["Current", "Latest"]
    assert register.entries[0].applied_us == 2


def test_nothing_is_written_while_a_version_is_applied() -> None:
    register = versions.begin_apply(versions.first(1))
    with pytest.raises(ModelError, match="being applied"):
        versions.check_writable(register)
    with pytest.raises(ModelError):
        versions.begin_apply(register)
    versions.check_writable(versions.abort_apply(register))


def test_only_older_versions_can_be_deleted() -> None:
    register = applied(applied(versions.first(1), 2), 3)
    assert [e.number for e in versions.without(register, 1).entries] == [2, 3]
    for number in (2, 3, 9):
        with pytest.raises(ModelError):
            versions.without(register, number)


@pytest.mark.parametrize(
    ("days", "count", "expected"),
    [
        (0, 0, []),  # no rule: never
        (1, 0, [1, 2, 3]),  # by age only; 4 is current, 5 latest
        (0, 3, [1, 2]),  # by number only: 3, 4, 5 are the newest three
        (1, 4, [1]),  # both rules must allow it
        (30, 3, []),  # young enough
    ],
)
def test_retention_needs_both_rules(days: int, count: int, expected: list[int]) -> None:
    register = versions.first(1)
    for number in range(1, 5):
        register = applied(register, number)
    now_us = 2 * DAY_US
    found = versions.prunable(register, retain_days=days, retain_versions=count, now_us=now_us)
    assert found == expected
