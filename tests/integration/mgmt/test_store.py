"""The management store and its change log."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from mgmt.model.store import Delete, Logged, Position, Put, Store
from protocol.errors import ModelError, NotActiveManagementError


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
    active.authority = lambda: 4
    active.write(Put("k", "1", b"x"))
    active.write(Put("k", "2", b"y"), Delete("k", "1"))
    changes = active.changes_after(0)
    with pytest.raises(ModelError, match="does not follow"):
        standby.follow(changes[1])
    for change in (*changes, changes[0]):  # the repeated one changes nothing
        standby.follow(change)
    assert standby.items("k") == active.items("k") == [("2", b"y")]
    assert standby.last == active.last == (2, 4)
    active.close()
    standby.close()


def test_a_full_copy_replaces_everything_but_the_copys_own_facts(tmp_path: Path) -> None:
    active, standby = Store(tmp_path / "a.db"), Store(tmp_path / "b.db")
    active.write(Put("k", "1", b"x"))
    standby.write(Put("k", "old", b"?"))
    standby.write(Put("k", "older", b"?"))
    standby.set_own("mark", "1")
    identity = standby.copy_id
    standby.replace_all(active.snapshot(), Position(1, 3))
    standby.close()
    standby = Store(tmp_path / "b.db")
    assert standby.items("k") == [("1", b"x")]
    assert standby.last == (1, 3)
    assert (standby.term_at(1), standby.term_at(2), standby.term_at(0)) == (3, None, 0)
    assert (standby.own("mark"), standby.copy_id) == ("1", identity)
    assert identity != active.copy_id
    standby.follow(Logged(2, 3, changes_of(active, tmp_path)))
    assert standby.seq == 2
    active.close()
    standby.close()


def changes_of(store: Store, folder: Path) -> bytes:
    """The body of one more change."""
    store.write(Put("k", "2", b"z"))
    return store.changes_after(1)[0].body


def test_a_store_of_an_earlier_release_gets_terms(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.execute("CREATE TABLE change(seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    connection.execute("INSERT INTO change VALUES(7, x'90')")
    connection.close()
    store = Store(tmp_path / "a.db")
    assert store.last == (7, 0)
    assert store.write(Put("k", "1", b"x")) == 8
    store.close()


def test_nobody_writes_without_authority(tmp_path: Path) -> None:
    def nobody() -> int:
        raise NotActiveManagementError("no")

    store = Store(tmp_path / "a.db")
    store.authority = nobody
    with pytest.raises(NotActiveManagementError):
        store.write(Put("k", "1", b"x"))
    assert (store.seq, store.items("k")) == (0, [])
    store.close()
