"""Builders of grid models for tests."""

from __future__ import annotations

from mgmt.api.schema import HostCreate, InstallationCreate, InstanceCreate
from mgmt.model.types import Model
from mgmt.service import hosts, installations, instances


def empty(k: int = 2) -> Model:
    """A model without hosts."""
    return Model(data_space_groups=k, membership_servers=("127.0.0.1!2181",))


def with_host(model: Model, name: str, group: int, *, like: str = "") -> Model:
    """One more host, through the same edit as hostCreate."""
    number = len(model.hosts) + 1
    request = HostCreate(
        internal_address=f"127.0.0.{10 + number}",
        external_address=f"127.0.1.{10 + number}",
        data_space_group=group,
        like=like,
        cascade=bool(like),
    )
    return hosts.added(model, name, request)[0]


def with_data_instance(model: Model, host: str) -> Model:
    """An installation and a data instance on a host."""
    location = "/grid/!!HOST_NAME!!"
    model = installations.added(model, InstallationCreate(host=host, location=location), "0.1.0")[0]
    return instances.added(model, InstanceCreate(host=host, location=location))[0]


def two_hosts() -> Model:
    """host3 in group 1 and host4, made like it, in group 2."""
    model = with_data_instance(with_host(empty(), "host3", 1), "host3")
    return with_host(model, "host4", 2, like="host3")
