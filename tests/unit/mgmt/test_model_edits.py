"""Commands on hosts, installations and instances as edits of the model."""

from __future__ import annotations

import msgspec
import pytest

from mgmt.api import schema
from mgmt.model import compare, diff, document
from mgmt.model.types import Connectable, DatabaseDefinition, Model
from mgmt.service import hosts, installations, instances, models
from protocol.errors import (
    DuplicateModelObjectError,
    GridError,
    ModelError,
    ParameterError,
    UnknownModelObjectError,
)
from tests.support.models import empty, two_hosts, with_data_instance, with_host


def host_request(**changes: object) -> schema.HostCreate:
    base = schema.HostCreate(internal_address="10.0.0.9", external_address="10.0.1.9")
    return msgspec.structs.replace(base, **changes)


def test_like_and_cascade_copy_everything_below_the_host() -> None:
    request = host_request(like="host3", cascade=True, data_space_group=2)
    model, lines = hosts.added(two_hosts(), "host9", request)
    assert lines == (
        "Host host9 created in Model",
        "Installation installation1 created in Model",
        "Instance instance1 created in Model",
    )
    copied = model.instance("host9.instance1")
    original = model.instance("host3.instance1")
    assert copied is not None
    assert original is not None
    assert copied.guid != original.guid
    assert copied.home == "/grid/host9/instance1"
    assert copied.daemon_port == original.daemon_port


def test_like_without_cascade_copies_only_attributes() -> None:
    model, _ = hosts.added(two_hosts(), "host9", host_request(like="host4"))
    host = model.host("host9")
    assert host is not None
    assert host.data_space_group == 2
    assert not model.instances_of(host="host9")


def test_names_and_addresses_are_unique() -> None:
    with pytest.raises(DuplicateModelObjectError, match="host3 exists"):
        hosts.added(two_hosts(), "host3", host_request())
    with pytest.raises(DuplicateModelObjectError, match="host3"):
        hosts.added(two_hosts(), "host9", host_request(internal_address="127.0.0.11"))


def test_groups_are_1_to_k() -> None:
    with pytest.raises(ParameterError, match="1 to 2"):
        hosts.added(empty(), "host9", host_request(data_space_group=3))


def test_a_data_instance_needs_a_group() -> None:
    model = with_host(empty(), "host3", 0)
    with pytest.raises(ModelError, match="no data space group"):
        with_data_instance(model, "host3")


def test_a_third_management_instance_is_refused() -> None:
    model = two_hosts()
    for number in (1, 2, 3):
        request = schema.InstanceCreate(
            host="host3",
            name=f"mgmt{number}",
            kind="mgmt",
            location="/grid",
            daemon_port=7000 + number,
            cs_port=7100 + number,
            mgmt_port=7200 + number,
        )
        if number < 3:
            model, _ = instances.added(model, request)
        else:
            with pytest.raises(ModelError, match="third"):
                instances.added(model, request)


def test_ports_of_one_host_do_not_collide() -> None:
    request = schema.InstanceCreate(host="host3", name="instance2", location="/grid")
    with pytest.raises(ModelError, match="6624"):
        instances.added(two_hosts(), request)
    other = msgspec.structs.replace(request, daemon_port=6700, cs_port=6701)
    model, lines = instances.added(two_hosts(), other)
    assert lines == ("Instance instance2 on Host host3 created in Model",)
    assert model.instance("host3.instance2") is not None


def test_a_second_instance_of_an_earlier_host_is_exported_whole() -> None:
    request = schema.InstanceCreate(
        host="host3", name="instance2", location="/grid", daemon_port=6700, cs_port=6701
    )
    model, _ = instances.added(two_hosts(), request)
    read, _ = document.from_text(document.to_text(model, grid="g", k=2, version=2))
    assert document.is_faithful(read, model)
    changed = msgspec.structs.replace(read.instances[0], cs_port=1)
    other = msgspec.structs.replace(read, instances=(changed, *read.instances[1:]))
    assert not document.is_faithful(other, model)


def test_deleting_a_host_needs_cascade_and_names_what_goes() -> None:
    request = schema.HostDelete(name="host4")
    with pytest.raises(ModelError, match="1 installations and 1 instances"):
        hosts.removed(two_hosts(), request, own="host1.instance1")
    request = schema.HostDelete(name="host4", cascade=True)
    model, lines = hosts.removed(two_hosts(), request, own="host1.instance1")
    assert lines == (
        "Instance instance1 on Host host4 deleted from Model",
        "Installation installation1 on Host host4 deleted from Model",
        "Host host4 deleted from Model",
    )
    assert [h.name for h in model.hosts] == ["host3"]


def test_an_installation_in_use_stays() -> None:
    with pytest.raises(ModelError, match=r"host3\.instance1"):
        installations.removed(two_hosts(), "host3")


def test_unknown_objects_are_named() -> None:
    with pytest.raises(UnknownModelObjectError, match="host7"):
        installations.removed(two_hosts(), "host7.installation1")


def test_a_document_is_read_back_without_loss() -> None:
    model = two_hosts()
    text = document.to_text(model, grid="grid1", k=2, version=4)
    assert document.from_text(text)[0] == model


def test_a_damaged_document_is_refused() -> None:
    text = document.to_text(two_hosts(), grid="grid1", k=2, version=4)
    with pytest.raises(ParameterError, match="not an exported model"):
        document.from_text(text.replace('"hosts"', '"hots"'))
    with pytest.raises(ModelError, match="same internal address"):
        document.from_text(text.replace("127.0.0.12", "127.0.0.11"))


def with_database(model: Model) -> Model:
    """A database definition with its direct connectable, and one for clients of host3."""
    settings = (("DataStore", "/data"), ("DatabaseCharacterSet", "AL32UTF8"))
    definition = DatabaseDefinition(name="db", guid="D", changed_us=1, attributes=settings)
    direct = Connectable(name="db", guid="C", database="db", kind="direct")
    client = Connectable(
        name="dbclient",
        guid="E",
        database="db",
        kind="cs",
        only=("host3.instance1",),
        attributes=(("LockWait", "3"),),
    )
    return msgspec.structs.replace(model, databases=(definition,), connectables=(direct, client))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"daemonPort": 6624', '"daemonPort": 66240', "a port is 1 to 65535"),
        ('"csPort": 6625', '"csPort": 6624', "its ports must differ"),
        ('"/grid/!!HOST_NAME!!"', '"grid"', "an absolute path"),
        ("127.0.1.12", "-oProxyCommand=x", "cannot be the address"),
        ('"DataStore"', '"DateStore"', "no attribute DateStore"),
        ('"/data"', '"data"', "must be absolute"),
        ('"LockWait"', '"PermSize"', "is an attribute of databases"),
        ('"LockWait": "3"', '"LockWait": "soon"', "must be a number"),
        ("host3.instance1", "host9.instance1", "host9 does not exist"),
        ('"type": "direct"', '"type": "cs"', "lacks its direct connectable"),
        ("127.0.0.1!2181", "127.0.0.1", "is not HOST!PORT"),
    ],
)
def test_an_import_is_checked_as_single_commands_are(old: str, new: str, message: str) -> None:
    text = document.to_text(with_database(two_hosts()), grid="grid1", k=2, version=4)
    before, after = (document.from_text(t)[0] for t in (text, text.replace(old, new)))
    models.check_parts(empty(), before, k=2)
    with pytest.raises(GridError, match=message):
        models.check_parts(empty(), after, k=2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"location": "/grid/', '"location": "/other/', r"location of installation host3\."),
        ('"type": "data"', '"type": "management"', r"type of instance host3\.instance1"),
        ("127.0.1.12", "127.0.1.99", "addresses of host host4"),
        ('"dataSpaceGroup": 2', '"dataSpaceGroup": 1', "group of host host4"),
    ],
)
def test_what_was_applied_is_not_changed_by_an_import(old: str, new: str, message: str) -> None:
    text = document.to_text(two_hosts(), grid="grid1", k=2, version=4)
    after = document.from_text(text.replace(old, new))[0]
    with pytest.raises(ModelError, match=message):
        models.check_fixed(two_hosts(), after)
    models.check_fixed(empty(), after)
    first, second = two_hosts().instances
    moved = msgspec.structs.replace(two_hosts(), instances=(
        first, msgspec.structs.replace(second, location="/elsewhere")))  # fmt: skip
    with pytest.raises(ModelError, match=r"location of instance host4\.instance1"):
        models.check_fixed(two_hosts(), moved)


def test_what_is_in_the_model_already_may_be_imported_again() -> None:
    old = with_database(two_hosts())
    direct, client = old.connectables
    client = msgspec.structs.replace(client, attributes=(("PermSize", "64"),))  # of an old release
    old = msgspec.structs.replace(old, connectables=(direct, client))
    models.check_parts(old, old, k=2)


@pytest.mark.parametrize(
    "address", ["", "-oProxyCommand=x", "a b", "10.0.0.1/24", "[fe80::1]", "a;b"]
)
def test_what_cannot_be_an_address_is_refused(address: str) -> None:
    for option in ("internal_address", "external_address"):
        with pytest.raises(ParameterError, match="cannot be the address"):
            hosts.check_addresses(host_request(**{option: address}))
    for good in ("host1", "db-1.example.com", "10.0.0.1", "fe80::1%eth0", "::1"):
        hosts.check_addresses(host_request(internal_address=good, external_address=good))


def test_compare_names_additions_removals_and_changes() -> None:
    old, new = two_hosts(), with_host(two_hosts(), "host9", 1)
    assert compare.compare(old, new) == [compare.Difference("added", "host", "host9")]
    assert compare.compare(new, old) == [compare.Difference("removed", "host", "host9")]
    assert compare.compare(old, old) == []
    request = schema.HostDelete(name="host4", cascade=True)
    fewer, _ = hosts.removed(old, request, own="")
    assert [d.name for d in compare.compare(old, fewer)] == [
        "host4",
        "host4.installation1",
        "host4.instance1",
    ]


def test_the_script_deletes_from_below_and_creates_from_above() -> None:
    old = two_hosts()
    fewer, _ = hosts.removed(old, schema.HostDelete(name="host4", cascade=True), own="")
    deleting = [line for line in compare.script(old, fewer).splitlines() if "Delete" in line]
    assert [line.split()[1] for line in deleting] == [
        "instanceDelete",
        "installationDelete",
        "hostDelete",
    ]
    creating = [line for line in compare.script(fewer, old).splitlines() if "Create" in line]
    assert [line.split()[1] for line in creating] == [
        "hostCreate",
        "installationCreate",
        "instanceCreate",
    ]


def steps(model: Model, installed: list[str], created: list[str]) -> list[str]:
    todo = diff.work(model, installations=installed, instances=created)
    return [step.title for step in diff.apply_steps(todo, version=1, start=True)]


def test_the_first_apply_shows_the_documented_lines() -> None:
    assert steps(two_hosts(), [], []) == [
        "Creating new model version",
        "Exporting current model (version 1)",
        "Identifying any deleted objects",
        "Verifying installations",
        "Creating new installations",
        "Verifying instances",
        "Creating new instances",
        "Updating grid state",
        "Configuring instance authentication",
        "Pushing new configuration files to each instance",
        "Making model version 1 current, version 2 writable",
        "Checking ssh connectivity of new instances",
        "Starting new data instances",
    ]


def test_what_is_in_place_but_not_wanted_goes_first() -> None:
    installed = ["host3.installation1", "host4.installation1", "host9.installation1"]
    created = ["host3.instance1", "host4.instance1", "host9.instance1"]
    titles = steps(two_hosts(), installed, created)
    assert titles.index("Deleting instances") < titles.index("Deleting installations")
    assert titles.index("Deleting installations") < titles.index("Verifying installations")
    assert "Creating new instances" not in titles
