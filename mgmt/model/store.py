"""The management instance's SQLite file: named values and the log of their changes.

Everything management remembers (grid facts, model versions, operations, what is placed where,
database records) is a value under (kind, key). Every write is one transaction that also appends
to the change log under the next sequence number, `seq`: a standby follows by applying the log.
The only user of apsw in mgmt.
"""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec

from protocol.errors import ModelError

CHANGES_KEPT = 10_000  # a standby further behind takes a full copy
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
SCHEMA = """
CREATE TABLE IF NOT EXISTS object(
  kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change(seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""


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


class Store:
    """One open file. Not for two threads; calls are short (one flush to disk per write)."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.execute(PRAGMAS + SCHEMA).fetchall()  # all of it, not only the first
        row = self._connection.execute("SELECT max(seq) FROM change").fetchone()
        self._seq = int(row[0] or 0) if row else 0

    @property
    def seq(self) -> int:
        """Sequence number of the newest change; larger is newer."""
        return self._seq

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
        """Make the changes as one; durable when this returns. Returns their sequence number."""
        self._apply(self._seq + 1, changes)
        return self._seq

    def follow(self, seq: int, body: bytes) -> None:
        """Standby: apply the change `seq` of the active. Raises ModelError when one is missing."""
        if seq <= self._seq:
            return  # a repeated message changes nothing
        if seq != self._seq + 1:
            raise ModelError(f"change {seq} does not follow {self._seq}: take a full copy")
        self._apply(seq, _decode(body))

    def changes_after(self, seq: int, limit: int = 1000) -> list[tuple[int, bytes]]:
        """The log after `seq`, oldest first; the caller checks that the first one is seq+1."""
        rows = self._connection.execute(
            "SELECT seq, body FROM change WHERE seq>? ORDER BY seq LIMIT ?", (seq, limit)
        )
        return [(number, bytes(body)) for number, body in rows]

    def size_bytes(self) -> int:
        """Size of the file's pages in use."""
        row = self._connection.execute(
            "SELECT page_count*page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file; the store cannot be used any more."""
        self._connection.close()

    def _apply(self, seq: int, changes: tuple[Change, ...]) -> None:
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
                "INSERT INTO change(seq, body) VALUES(?,?)", (seq, _encode(changes))
            )
            self._connection.execute("DELETE FROM change WHERE seq<=?", (seq - CHANGES_KEPT,))
        self._seq = seq
