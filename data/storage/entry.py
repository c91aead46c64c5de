"""Log entries and what they carry: values and their bytes. Pure.

An entry is identified by (term, lsn); the same pair means the same entry on every copy. The bytes
are stored on disk and sent between instances: fields are positional, new ones go to the end with a
default.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from protocol.ids import TxnId


class EntryKind(IntEnum):
    """What an entry does. Stored: values never change."""

    COMMIT = 1  # row changes and DDL of a transaction; or the decision on a prepared one
    PREPARE = 2  # the same, promised but without effect until its COMMIT
    ABORT = 3  # the decision against a transaction, prepared here or not
    DDL = 4  # unused: DDL travels in COMMIT and PREPARE. So are 6 and 7
    EPOCH = 5  # a globally consistent cut; payload: encode_epoch
    FORGET = 8  # decisions nobody can ask about any more; payload: encode_txns
    PART = 9  # row changes of a large open transaction, without effect until its COMMIT names them
    APPLIED = 10  # a COMMIT that takes effect later has it, here at the latest; payload: Later


class LogEntry(msgspec.Struct, frozen=True, array_like=True):
    """One record of a replica set's log. `payload`: see the kind; COMMIT, PREPARE: TxnPayload."""

    term: int
    lsn: int
    kind: int  # EntryKind
    txn: TxnId | None
    payload: bytes = b""


class TxnPayload(msgspec.Struct, frozen=True, array_like=True):
    """What a COMMIT or PREPARE carries.

    The COMMIT of a prepared transaction has neither changes nor ddl: they are in its PREPARE.
    On a copy the DDL takes effect before the row changes.
    """

    changes: bytes = b""  # row changes, encoded by data/storage/changes.py
    ddl: bytes = b""  # an encoded CatalogChange, b"" for none
    participants: tuple[int, ...] = ()  # replica sets, the anchor first; () if it is only one
    locks: bytes = b""  # opaque here: the locks a new lead must rebuild (data/txn)
    parts: tuple[int, ...] = ()  # LSNs of PART entries whose changes come before `changes`
    later: bool = False  # of a COMMIT: it takes effect bit by bit, until an APPLIED entry


class Later(msgspec.Struct, frozen=True, array_like=True):
    """How far a COMMIT that takes effect later is; payload of its APPLIED entry."""

    lsn: int  # of the COMMIT
    at: int  # how many of its units are in effect: its PARTs, then its own changes
    total: int  # units
    first_lsn: int  # the oldest entry it needs


class PreparedTxn(msgspec.Struct, frozen=True):
    """A transaction that is prepared and undecided on this element."""

    txn: TxnId
    entry: LogEntry  # its PREPARE
    payload: TxnPayload


class Decision(msgspec.Struct, frozen=True):
    """A recorded decision on a transaction; kept until a FORGET, whatever log is cut."""

    txn: TxnId
    committed: bool
    lsn: int
    participants: tuple[int, ...]


_encoder = msgspec.msgpack.Encoder()
_payload_decoder = msgspec.msgpack.Decoder(TxnPayload)
_txn_decoder = msgspec.msgpack.Decoder(TxnId)
_int_decoder = msgspec.msgpack.Decoder(int)
_txns_decoder = msgspec.msgpack.Decoder(tuple[TxnId, ...])
_later_decoder = msgspec.msgpack.Decoder(Later)

encode_payload = _encoder.encode  # TxnPayload -> bytes
decode_payload = _payload_decoder.decode  # bytes -> TxnPayload; raises msgspec.DecodeError
encode_txn = _encoder.encode  # TxnId -> bytes: the key under which `_log` finds a transaction
decode_txn = _txn_decoder.decode


def encode_epoch(epoch: int) -> bytes:
    """Payload of an EPOCH entry."""
    return _encoder.encode(epoch)


def decode_epoch(payload: bytes) -> int:
    """The number in an EPOCH entry. Raises msgspec.DecodeError."""
    return _int_decoder.decode(payload)


def encode_later(later: Later) -> bytes:
    """Payload of an APPLIED entry."""
    return _encoder.encode(later)


def decode_later(payload: bytes) -> Later:
    """What an APPLIED entry ends. Raises msgspec.DecodeError."""
    return _later_decoder.decode(payload)


def encode_txns(txns: tuple[TxnId, ...]) -> bytes:
    """Payload of a FORGET entry."""
    return _encoder.encode(txns)


def decode_txns(payload: bytes) -> tuple[TxnId, ...]:
    """The transactions of a FORGET entry. Raises msgspec.DecodeError."""
    return _txns_decoder.decode(payload)
