"""Which data instances get an element of a database."""

from __future__ import annotations

from mgmt.model.types import Host, Model
from mgmt.service.database_reach import with_missing_elements
from mgmt.service.database_records import DatabaseRecord
from tests.support.models import two_hosts


def _elements(store: str, *, shared: bool, model: Model | None = None) -> list[tuple[str, str]]:
    """Instance and folder of each element. `shared`: both hosts are one machine."""
    record = DatabaseRecord(
        name="db", database_id="1", dbdef_guid="g", k=2,
        attributes=(("DataStore", store),), created_us=0,
    )  # fmt: skip

    def same_machine(one: Host, other: Host) -> bool:
        return shared or one.internal_address == other.internal_address

    made = with_missing_elements(record, model or two_hosts(), same_machine)
    return [(e.instance, e.data_store) for e in made.elements]


def test_the_same_folder_on_two_machines_is_two_elements() -> None:
    assert _elements("/databases/db", shared=False) == [
        ("host3.instance1", "/databases/db"),
        ("host4.instance1", "/databases/db"),
    ]


def test_a_folder_on_one_machine_belongs_to_one_element() -> None:
    assert len(_elements("/databases/db", shared=True)) == 1
    assert len(_elements("/databases/!!INSTANCE_NAME!!", shared=True)) == 2
