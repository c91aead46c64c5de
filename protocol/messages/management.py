"""Between the two management instances: the change log of the store, and who they are.

Every message of the active carries its term; a standby refuses terms older than one it has seen.
"""

from __future__ import annotations

import msgspec

from protocol.messages import registry


class LoggedChange(msgspec.Struct, frozen=True, array_like=True):
    """One change of the log."""

    seq: int
    term: int
    body: bytes


class Follow(msgspec.Struct, frozen=True, array_like=True, tag="mgmt.follow"):
    """Append these changes behind the position (after_seq, after_term). Reply: Followed.

    Without changes it only asks whether that is where the standby stands.
    """

    term: int
    after_seq: int
    after_term: int
    changes: tuple[LoggedChange, ...]


class Followed(msgspec.Struct, frozen=True, array_like=True, tag="mgmt.followed"):
    """Where the standby stands; everything up to there is on its disk."""

    copy: str  # of its store
    seq: int
    term: int  # of the change `seq`
    fits: bool  # False: the changes did not fit and nothing was done


class TakeCopy(msgspec.Struct, frozen=True, array_like=True, tag="mgmt.take_copy"):
    """A piece of a full copy of the store at (seq, seq_term). Reply: Followed after each piece.

    Pieces come in order; the one that ends at `size` puts the copy in force.
    """

    term: int
    seq: int
    seq_term: int
    offset: int
    size: int
    piece: bytes


class AskManagement(msgspec.Struct, frozen=True, array_like=True, tag="mgmt.ask"):
    """How are you? Reply: ManagementTold."""


class ManagementTold(msgspec.Struct, frozen=True, array_like=True, tag="mgmt.told"):
    """What a management instance says of itself."""

    name: str
    role: str
    copy: str
    seq: int
    term: int
    message: str


class YieldActive(msgspec.Struct, frozen=True, array_like=True, tag="mgmt.yield"):
    """mgmtActiveSwitch: the standby asks the active to give the role up. Reply: Yielded."""

    copy: str  # of the asker's store, which must be in sync
    force: bool


class Yielded(msgspec.Struct, frozen=True, array_like=True, tag="mgmt.yielded"):
    """The role is free; the standby holds everything up to seq."""

    seq: int


registry.declare_module(__name__)
