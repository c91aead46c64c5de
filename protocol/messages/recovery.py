"""After a loss of power: whose log is still good, and going back to an epoch.

Between data instances. Every message names the element that it is for, or all of a database's.
"""

from __future__ import annotations

import msgspec

from protocol.ids import TxnId
from protocol.messages import registry


class AskElement(msgspec.Struct, frozen=True, array_like=True, tag="recovery.ask"):
    """To the instance of an element: how is it? Reply: ElementTold."""

    db: str


class ElementTold(msgspec.Struct, frozen=True, array_like=True, tag="recovery.told"):
    """What an element knows of itself."""

    element: int
    rs: int
    damaged: bool  # it may lack what it acknowledged
    serving: bool  # it leads its replica set
    seen: int  # newest epoch its instance heard of
    tail: tuple[int, int]  # (term, LSN)
    epochs: tuple[int, ...]  # in its log, the newest ones, newest first
    was_open: bool  # to users, at any time since it was loaded


class AskCrossing(msgspec.Struct, frozen=True, array_like=True, tag="recovery.crossing"):
    """To a lead: what was committed after an epoch together with these replica sets?

    Reply: Crossing.
    """

    db: str
    rs: int
    epoch: int
    lost: tuple[int, ...]


class Crossing(msgspec.Struct, frozen=True, array_like=True, tag="recovery.crossed"):
    """(transaction, its participants, the anchor first) each; `known`: the log goes back so far."""

    known: bool
    txns: tuple[tuple[TxnId, tuple[int, ...]], ...]


class AskPrepared(msgspec.Struct, frozen=True, array_like=True, tag="recovery.prepared"):
    """To a damaged element: which of these did it prepare, and commit, before an epoch?

    Reply: PreparedBefore.
    """

    db: str
    epoch: int
    txns: tuple[TxnId, ...]


class PreparedBefore(msgspec.Struct, frozen=True, array_like=True, tag="recovery.prepared_before"):
    """Those of them."""

    prepared: tuple[TxnId, ...]
    committed: tuple[TxnId, ...]


class GoBack(msgspec.Struct, frozen=True, array_like=True, tag="recovery.go_back"):
    """To a damaged element: undo everything after an epoch. Reply: WentBack. May be repeated.

    `floor`: no epoch up to this number is given again.
    """

    db: str
    epoch: int
    floor: int


class WentBack(msgspec.Struct, frozen=True, array_like=True, tag="recovery.went_back"):
    """Done, and on disk."""

    lsn: int


class Trust(msgspec.Struct, frozen=True, array_like=True, tag="recovery.trust"):
    """To an element that went back to this epoch: its log is the truth now. Reply: Trusted."""

    db: str
    epoch: int


class Trusted(msgspec.Struct, frozen=True, array_like=True, tag="recovery.trusted"):
    """It stands for the lead of its replica set."""


class Distrust(msgspec.Struct, frozen=True, array_like=True, tag="recovery.distrust"):
    """To any element: what it has is not the truth any more. Reply: Trusted, when it knows."""

    db: str


registry.declare_module(__name__)
