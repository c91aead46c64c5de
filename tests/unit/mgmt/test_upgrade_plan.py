"""The order of an upgrade, and what stands against it."""

from __future__ import annotations

import msgspec
import pytest

from membership.port import SetState
from mgmt.model.types import Host, Installation, Instance, InstanceKind, Model
from mgmt.placement import map_builder
from mgmt.service import upgrade_plan as plan
from protocol.errors import ModelError, ParameterError, UnknownModelObjectError
from protocol.topology import DistributionMap, ElementPlace


def model(*, with_new: bool = True) -> Model:
    """host1 with management; host3 to host6 in groups 1, 2, 1, 2."""
    kinds: dict[str, InstanceKind] = {"host1": "mgmt"}
    groups = {"host1": 0, "host3": 1, "host4": 2, "host5": 1, "host6": 2}
    hosts = tuple(
        Host(name=n, guid=n, internal_address="a", external_address="a", data_space_group=g)
        for n, g in groups.items()
    )
    releases = {"installation1": "0.1.0"} | ({"new": "0.1.1"} if with_new else {})
    installations = tuple(
        Installation(host=h, name=n, guid=h + n, location=f"/sw/{h}", release=r)
        for h in groups
        for n, r in releases.items()
    )
    instances = tuple(
        Instance(
            host=h,
            name="instance1",
            guid=h,
            kind=kinds.get(h, "data"),
            installation="installation1",
            location="/i",
            daemon_port=1,
            cs_port=2,
        )
        for h in groups
    )
    return Model(data_space_groups=2, hosts=hosts, installations=installations, instances=instances)


def test_releases_are_found_in_texts_and_paths() -> None:
    assert plan.release_in("0.1.1\n") == "0.1.1"
    assert plan.release_in("sh: not found") == ""
    assert plan.release_in_path("/sw/tengrid-0.1.1.tar.gz") == "0.1.1"
    assert plan.release_in_path("/sw/tengrid-1.2.3") == "1.2.3"
    assert plan.release_in_path("/sw/new.tar.gz") == ""


def test_only_newer_releases_of_one_series_run_side_by_side() -> None:
    assert plan.incompatible("0.1.0", "0.1.10") == ""
    assert plan.incompatible("0.1.0", "0.1.0") == ""
    assert "older" in plan.incompatible("0.1.10", "0.1.9")
    assert "series" in plan.incompatible("0.1.0", "0.2.0")


def test_new_installations_stand_beside_those_in_use_on_hosts_with_instances() -> None:
    before = model(with_new=False)
    spare = Host(name="host9", guid="h", internal_address="a", external_address="a")
    before = msgspec.structs.replace(before, hosts=(*before.hosts, spare))
    made = plan.new_installations(before, "0.1.1", "/src", name="", location="")
    assert [i.host for i in made] == ["host1", "host3", "host4", "host5", "host6"]
    assert (made[0].name, made[0].path) == ("installation-0_1_1", "/sw/host1/tengrid-0.1.1")
    again = msgspec.structs.replace(before, installations=(*before.installations, *made))
    assert plan.new_installations(again, "0.1.1", "/src", name="", location="") == ()


def test_a_directory_that_is_taken_is_refused() -> None:
    with pytest.raises(ModelError, match="is installation installation1 already"):
        plan.new_installations(model(), "0.1.0", "/src", name="patch", location="")
    made = plan.new_installations(model(), "0.1.0", "/src", name="patch", location="/other")
    assert made[0].path == "/other/tengrid-0.1.0"


def test_group_after_group_and_only_what_is_left() -> None:
    after = plan.moved(model(), "data", "0.1.1")
    assert [i.installation for i in after.instances] == ["installation1", *["new"] * 4]
    old = {i.full_name: "installation1" for i in after.instances}
    names = [i.host for i in plan.left(after, "data", old)]
    assert names == ["host3", "host5", "host4", "host6"]
    done = old | {"host3.instance1": "new", "host4.instance1": "new"}
    assert [i.host for i in plan.left(after, "data", done)] == ["host5", "host6"]
    assert plan.moved(model(), "data", "new") == after  # by name as by release


def test_no_installation_or_several_are_refused() -> None:
    with pytest.raises(UnknownModelObjectError, match=r"host1 has no installation .* 0\.1\.1"):
        plan.moved(model(with_new=False), "mgmt", "0.1.1")
    twice = model()
    more = tuple(
        msgspec.structs.replace(i, name="newer", location="/x")
        for i in twice.installations
        if i.name == "new"
    )
    twice = msgspec.structs.replace(twice, installations=(*twice.installations, *more))
    with pytest.raises(ModelError, match=r"several installations of release 0\.1\.1: new, newer"):
        plan.moved(twice, "data", "0.1.1")


def test_management_goes_first() -> None:
    after = plan.moved(model(), "data", "new")
    with pytest.raises(ModelError, match=r"management instances are not of release 0\.1\.1 yet"):
        plan.check_releases(model(), after, "data")
    managed = plan.moved(model(), "mgmt", "new")
    plan.check_releases(model(), managed, "mgmt")
    plan.check_releases(managed, plan.moved(managed, "data", "new"), "data")
    with pytest.raises(ParameterError, match=r"release 0\.1\.0 is older than 0\.1\.1"):
        plan.check_releases(managed, plan.moved(managed, "mgmt", "0.1.0"), "mgmt")


def grid_map(k: int) -> DistributionMap:
    places = [
        ElementPlace(10 * (n + 1), f"host{n + 3}.instance1", n // k + 1, n % k + 1)
        for n in range(2 * k)
    ]
    return map_builder.without_ranges("d", k, places)


def state(lead: int, *in_sync: int) -> SetState:
    return SetState(1, lead, "x", in_sync, "w", 1)


def test_what_keeps_replica_sets_from_being_whole() -> None:
    new = grid_map(2)
    alive = {f"host{n}.instance1" for n in (3, 4, 5, 6)}
    whole = {("d", 1): state(10, 10, 20), ("d", 2): state(30, 30, 40)}
    assert plan.lacking([new], whole, alive) == []
    assert plan.lacking([new], whole, alive - {"host6.instance1"}) == [
        "replica set 2 of d lacks the copy of host6.instance1"
    ]
    assert plan.lacking([new], whole | {("d", 1): state(10, 10)}, alive) == [
        "replica set 1 of d lacks the copy of host4.instance1"
    ]
    assert plan.lacking([new], {("d", 1): whole["d", 1]}, alive) == [
        "replica set 2 of d has no lead"
    ]


def test_with_one_copy_nothing_may_stop() -> None:
    assert plan.alone([grid_map(2)], ["host3.instance1", "host4.instance1"]) == []
    assert plan.alone([grid_map(1)], ["host4.instance1"]) == [
        "replica set 2 of d has only the copy of host4.instance1"
    ]
