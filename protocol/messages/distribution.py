"""Between data instances: what an element sees of the database's distribution (GV$ views)."""

from __future__ import annotations

import msgspec

from protocol.messages import registry


class AskDistribution(msgspec.Struct, frozen=True, array_like=True, tag="distribution.ask"):
    """To the instance of an element. Reply: DistributionTold."""

    db: str


class DistributionTold(msgspec.Struct, frozen=True, array_like=True, tag="distribution.told"):
    """The picture of one element; others may see something else at the same time."""

    element: int
    map_version: int
    states: tuple[
        tuple[int, str], ...
    ]  # element -> Active, Recovering, Down, ...; see data/exec/distribution_views.py


class AskElementState(msgspec.Struct, frozen=True, array_like=True, tag="distribution.ask_state"):
    """To an instance: how is your element of this database? Reply: ElementStateTold."""

    db: str


class ElementStateTold(msgspec.Struct, frozen=True, array_like=True, tag="distribution.state"):
    """A word of V$DISTRIBUTION_STATE, "" if it has no element; of itself."""

    element: int
    state: str


registry.declare_module(__name__)
