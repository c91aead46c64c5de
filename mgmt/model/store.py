"""The management instance's SQLite file: named values and the log of their changes.

Everything management remembers (grid facts, model versions, operations, what is placed where,
database records) is a value under (kind, key). Every write is one transaction that also appends
to the change log under the next sequence number, `seq`, and the term of the active that made it:
a standby follows by applying the log (mgmt/ha). Two logs that agree on the term of a number agree
on everything up to it. The only user of apsw in mgmt.

Services write here and nowhere else, and write() only notes the change on this disk: what follows
from it outside (an answer, a command to a host or a data instance) waits for
`Management.secured()` first.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from protocol.errors import ModelError

CHANGES_KEPT = 10_000  # a standby further behind takes a full copy
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
SCHEMA = """
CREATE TABLE IF NOT EXISTS object(
  kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change(
  seq INTEGER PRIMARY KEY, body BLOB NOT NULL, term INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS own(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""  # own: of this file, never replicated


class Put(msgspec.Struct, frozen=True, array_like=True, tag="put"):
    """Set the value under (kind, key)."""

    kind: str
    key: str
    body: bytes


class Delete(msgspec.Struct, frozen=True, array_like=True, tag="delete"):
    """Remove (kind, key); nothing happens if it is not there."""

    kind: str
    key: str


Change = Put | Delete
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Change, ...]).decode
_decode_all = msgspec.msgpack.Decoder(tuple[Put, ...]).decode


class Position(NamedTuple):
    """A place in the change log: the number of a change and the term in which it was made."""

    seq: int
    term: int


class Logged(NamedTuple):
    """One change of the log."""

    seq: int
    term: int
    body: bytes


class Store:
    """One open file. Not for two threads; calls are short (one flush to disk per write)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = apsw.Connection(str(path))
        self._connection.execute(PRAGMAS + SCHEMA).fetchall()  # all of it, not only the first
        self._add_missing_column()
        # gives the term to write under; raises NotActiveManagementError where nobody may write
        self.authority: Callable[[], int] = lambda: self._last.term
        self.on_write: Callable[[], None] = lambda: None
        if self.own("copy") is None:
            self.set_own("copy", secrets.token_hex(8))
        self._last = self._newest()

    @property
    def seq(self) -> int:
        """Sequence number of the newest change; larger is newer."""
        return self._last.seq

    @property
    def last(self) -> Position:
        """The newest change."""
        return self._last

    @property
    def copy_id(self) -> str:
        """Identity of this file: one made anew, under whatever name, has another."""
        found = self.own("copy")
        assert found is not None
        return found

    # -- values ----------------------------------------------------------------------------------
    def get(self, kind: str, key: str) -> bytes | None:
        """The value under (kind, key)."""
        row = self._connection.execute(
            "SELECT body FROM object WHERE kind=? AND key=?", (kind, key)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def items(self, kind: str) -> list[tuple[str, bytes]]:
        """All (key, value) of a kind, ordered by key."""
        rows = self._connection.execute(
            "SELECT key, body FROM object WHERE kind=? ORDER BY key", (kind,)
        )
        return [(key, bytes(body)) for key, body in rows]

    def write(self, *changes: Change) -> int:
        """Make the changes as one; on this disk when this returns. Returns their number.

        Raises NotActiveManagementError unless this is the active management instance.
        """
        self._apply(Position(self._last.seq + 1, self.authority()), changes)
        self.on_write()
        return self._last.seq

    # -- facts of this copy alone ----------------------------------------------------------------
    def own(self, key: str) -> str | None:
        """A fact of this file that is not replicated."""
        row = self._connection.execute("SELECT value FROM own WHERE key=?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_own(self, key: str, value: str | None) -> None:
        """Set or, with None, forget such a fact; on disk when this returns."""
        if value is None:
            self._connection.execute("DELETE FROM own WHERE key=?", (key,))
        else:
            self._connection.execute("INSERT OR REPLACE INTO own VALUES(?,?)", (key, value))

    # -- the log ---------------------------------------------------------------------------------
    def follow(self, change: Logged) -> None:
        """Standby: apply the next change of the active. Raises ModelError when one is missing."""
        if change.seq <= self._last.seq:
            return  # a repeated message changes nothing
        if change.seq != self._last.seq + 1:
            raise ModelError(f"change {change.seq} does not follow {self._last.seq}")
        self._apply(Position(change.seq, change.term), _decode(change.body))

    def changes_after(self, seq: int, limit: int = 1000) -> list[Logged]:
        """The log after `seq`, oldest first; the caller checks that the first one is seq+1."""
        rows = self._connection.execute(
            "SELECT seq, term, body FROM change WHERE seq>? ORDER BY seq LIMIT ?", (seq, limit)
        )
        return [Logged(number, term, bytes(body)) for number, term, body in rows]

    def term_at(self, seq: int) -> int | None:
        """The term of the change `seq`; None when the log does not reach back that far."""
        if seq == 0:
            return 0
        row = self._connection.execute("SELECT term FROM change WHERE seq=?", (seq,)).fetchone()
        if row is None:
            base = self._base()
            return base.term if base.seq == seq else None
        return int(row[0])

    # -- full copies -----------------------------------------------------------------------------
    def snapshot(self) -> bytes:
        """All values, as of `last`."""
        rows = self._connection.execute("SELECT kind, key, body FROM object ORDER BY kind, key")
        return _encode(tuple(Put(kind, key, bytes(body)) for kind, key, body in rows))

    def replace_all(self, snapshot: bytes, at: Position) -> None:
        """Standby: become a copy of the store that `snapshot` was taken of, at that position."""
        values = _decode_all(snapshot)
        with self._connection:
            self._connection.execute("DELETE FROM object")
            self._connection.execute("DELETE FROM change")
            self._connection.executemany(
                "INSERT INTO object(kind,key,body) VALUES(?,?,?)",
                [(value.kind, value.key, value.body) for value in values],
            )
            self.set_own("base", f"{at.seq} {at.term}")
        self._last = at

    def save_to(self, path: Path) -> None:
        """Write this store into another file, for the administrator's eyes only."""
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)  # SQLite fills an empty file
        self._connection.execute("VACUUM INTO ?", (str(path),))

    def size_bytes(self) -> int:
        """Size of the file's pages in use."""
        row = self._connection.execute(
            "SELECT page_count*page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file; the store cannot be used any more."""
        self._connection.close()

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._path

    # -- inside ----------------------------------------------------------------------------------
    def _apply(self, at: Position, changes: tuple[Change, ...]) -> None:
        with self._connection:  # one transaction: the change log and the values cannot disagree
            for change in changes:
                if isinstance(change, Put):
                    self._connection.execute(
                        "INSERT INTO object(kind,key,body) VALUES(?,?,?) "
                        "ON CONFLICT(kind,key) DO UPDATE SET body=excluded.body",
                        (change.kind, change.key, change.body),
                    )
                else:
                    self._connection.execute(
                        "DELETE FROM object WHERE kind=? AND key=?", (change.kind, change.key)
                    )
            self._connection.execute(
                "INSERT INTO change(seq, term, body) VALUES(?,?,?)", (*at, _encode(changes))
            )
            self._connection.execute("DELETE FROM change WHERE seq<=?", (at.seq - CHANGES_KEPT,))
        self._last = at

    def _newest(self) -> Position:
        row = self._connection.execute(
            "SELECT seq, term FROM change ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return self._base() if row is None else Position(int(row[0]), int(row[1]))

    def _base(self) -> Position:
        """Where the log begins: behind the newest full copy taken."""
        seq, _, term = (self.own("base") or "0 0").partition(" ")
        return Position(int(seq), int(term))

    def _add_missing_column(self) -> None:
        """Stores of earlier releases knew no terms."""
        columns = self._connection.execute("SELECT name FROM pragma_table_info('change')")
        if ("term",) not in columns.fetchall():
            self._connection.execute(
                "ALTER TABLE change ADD COLUMN term INTEGER NOT NULL DEFAULT 0"
            )
