"""Epochs: points that the whole database can be brought back to. Between data instances.

An epoch has a number; its EPOCH entry stands in the log of every replica set. `SawEpoch` goes ahead
of everything else on a connection: so whoever receives a message knows every epoch that its sender
knew, and writes the newest one into its log first. That makes the entries a consistent cut.
"""

from __future__ import annotations

import msgspec

from protocol.messages import registry


class SawEpoch(msgspec.Struct, frozen=True, array_like=True, tag="epoch.saw"):
    """One way: what follows on this connection was sent by somebody who knows this epoch."""

    db: str
    number: int


class AskEpoch(msgspec.Struct, frozen=True, array_like=True, tag="epoch.ask"):
    """To the lead of a replica set: how is its log? Reply: EpochIs."""

    db: str
    rs: int


class EpochIs(msgspec.Struct, frozen=True, array_like=True, tag="epoch.is"):
    """`number`: newest epoch in the log, 0 none; `changed`: something else came after it."""

    number: int
    changed: bool


class LogEpoch(msgspec.Struct, frozen=True, array_like=True, tag="epoch.log"):
    """To the lead of a replica set: have this epoch in the log, flushed on every in-sync copy.

    Reply: EpochLogged.
    """

    db: str
    rs: int
    number: int


class EpochLogged(msgspec.Struct, frozen=True, array_like=True, tag="epoch.logged"):
    """Done: this epoch, or a newer one."""

    number: int


class FlushLog(msgspec.Struct, frozen=True, array_like=True, tag="epoch.flush"):
    """Lead to copy: what you hold, at least up to `lsn`, must be on disk. Reply: LogFlushed."""

    db: str
    lsn: int


class LogFlushed(msgspec.Struct, frozen=True, array_like=True, tag="epoch.flushed"):
    """It is."""

    lsn: int


class EpochDone(msgspec.Struct, frozen=True, array_like=True, tag="epoch.done"):
    """One way: this epoch is flushed on every copy of every replica set."""

    db: str
    number: int


class CreateEpoch(msgspec.Struct, frozen=True, array_like=True, tag="epoch.create"):
    """To the lead of the lowest replica set: make an epoch that begins now. Reply: EpochLogged,

    when it is flushed on every copy of every replica set.
    """

    db: str
    rs: int


registry.declare_module(__name__)
