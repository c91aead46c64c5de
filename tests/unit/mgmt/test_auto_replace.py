"""Which dead element a spare one replaces, and which are left alone."""

from __future__ import annotations

import msgspec

from mgmt.service.auto_replace import replacement
from mgmt.service.database_records import DatabaseRecord, ElementRecord

ALIVE = {"host3.i", "host4.i", "host5.i", "host6.i"}


def element(number: int, group: int, replica_set: int, **more: object) -> ElementRecord:
    return ElementRecord(
        element=number,
        instance=f"host{number + 2}.i",
        data_space=group,
        data_store="/d",
        replica_set=replica_set,
        created=True,
        **more,  # type: ignore[arg-type]
    )


def record(*elements: ElementRecord) -> DatabaseRecord:
    return DatabaseRecord(
        name="d",
        database_id="1",
        dbdef_guid="2",
        k=2,
        attributes=(),
        created_us=0,
        map_version=1,
        elements=elements,
    )


MAPPED = (element(1, 1, 1), element(2, 2, 1))


def chosen(made: DatabaseRecord, *dead: int) -> tuple[int, int] | None:
    names = {f"host{number + 2}.i" for number in dead}
    pair = replacement(made, names, ALIVE - names)
    return None if pair is None else (pair[0].element, pair[1].element)


def test_a_spare_of_the_same_group_is_taken() -> None:
    made = record(*MAPPED, element(3, 1, 0), element(4, 2, 0))
    assert chosen(made, 1) == (1, 3)
    assert chosen(made, 2) == (2, 4)
    assert chosen(made) is None
    assert chosen(made, 1, 3) is None  # the spare is dead, too
    assert chosen(record(*MAPPED, element(3, 2, 0)), 1) is None


def test_what_would_lose_rows_or_disturb_somebody_is_left_alone() -> None:
    spares = (element(3, 1, 0), element(4, 2, 0))
    assert chosen(record(*MAPPED, *spares), 1, 2) is None  # the whole set is dead
    assert chosen(record(*MAPPED, element(3, 1, 0, gone="removed")), 1) is None
    marked = record(*MAPPED, element(3, 1, 0, add_next=True), element(4, 2, 0))
    assert chosen(marked, 1) is None
    unloaded = msgspec.structs.replace(record(*MAPPED, *spares), intent="created")
    assert chosen(unloaded, 1) is None
