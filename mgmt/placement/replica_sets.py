"""Data space groups and K → replica sets. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.errors import ModelError
from protocol.topology import ElementPlace


def form(new: Iterable[ElementPlace], *, k: int, first_number: int = 1) -> tuple[ElementPlace, ...]:
    """The new elements with their replica sets, numbered from `first_number`, by element number.

    The n-th element of each data space group, in element order, belongs to the n-th replica set:
    so every set has one element in each data space. Raises ModelError unless all K groups are
    equally large.
    """
    groups: dict[int, list[ElementPlace]] = {group: [] for group in range(1, k + 1)}
    for place in sorted(new, key=lambda e: e.element):
        if place.data_space not in groups:
            raise ModelError(
                f"{place.instance} is in no data space group (1 to {k})",
                hint="Give its host one (hostModify HOST -dataSpaceGroup N), then modelApply.",
            )
        groups[place.data_space].append(place)
    sizes = {group: len(places) for group, places in groups.items()}
    if len(set(sizes.values())) != 1:
        listed = ", ".join(f"group {group}: {size}" for group, size in sizes.items())
        raise ModelError(
            f"a replica set needs one element of each of the {k} data space groups ({listed})",
            hint="Add as many elements of every group; dbDistribute -reset takes marks back.",
        )
    placed = [
        ElementPlace(p.element, p.instance, first_number + index, p.data_space)
        for places in groups.values()
        for index, p in enumerate(places)
    ]
    return tuple(sorted(placed, key=lambda e: e.element))
