"""The management store and its change log."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgmt.model.store import Delete, Put, Store
from protocol.errors import ModelError


def test_a_write_is_one_change_and_survives(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    assert store.write(Put("k", "1", b"x"), Put("k", "2", b"y")) == 1
    assert store.write(Delete("k", "1"), Put("k", "2", b"z")) == 2
    store.close()
    store = Store(tmp_path / "a.db")
    assert store.seq == 2
    assert store.items("k") == [("2", b"z")]
    assert store.get("k", "1") is None
    store.close()


def test_a_follower_ends_up_equal_and_notices_gaps(tmp_path: Path) -> None:
    active, standby = Store(tmp_path / "a.db"), Store(tmp_path / "b.db")
    active.write(Put("k", "1", b"x"))
    active.write(Put("k", "2", b"y"), Delete("k", "1"))
    changes = active.changes_after(0)
    with pytest.raises(ModelError, match="does not follow"):
        standby.follow(*changes[1])
    for change in (*changes, changes[0]):  # the repeated one changes nothing
        standby.follow(*change)
    assert standby.items("k") == active.items("k") == [("2", b"y")]
    assert standby.seq == active.seq
    active.close()
    standby.close()
