"""What management tells monitoring of the grid, from its picture."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from membership.port import ClusterView, SetState
from mgmt.api.schema_picture import (
    DatabasePicture,
    ElementPicture,
    InstancePicture,
    Picture,
    ServerPicture,
    SetPicture,
)
from mgmt.service.exported import Exported, of_picture, of_view
from protocol.instance_file import InstanceSettings

ME = "host1.instance1"


def picture(state: str = "ok", roles: tuple[str, str] = ("lead", "copy")) -> Picture:
    elements = tuple(
        ElementPicture(
            element=n, instance=f"host{n}.i", host=f"host{n}", data_space=n, replica_set=1,
            state="opened", role=role, since_us=0,
        )
        for n, role in enumerate(roles, 1)
    )  # fmt: skip
    database = DatabasePicture(
        name="sales",
        words=("created", "loaded-complete", "open"),
        k=2,
        map_version=1,
        data_spaces=2,
        sets=(SetPicture(replica_set=1, state=state, lead=1, term=3, in_sync=(1, 2), buckets=1),),
        elements=elements,
    )
    instances = tuple(
        InstancePicture(
            name=f"host{n}.i", host=f"host{n}", address="", external_address="", cs_port=1,
            data_space_group=n, alive=bool(role),
        )
        for n, role in enumerate(roles, 1)
    )  # fmt: skip
    return Picture(
        as_of_us=0,
        grid="grid1",
        k=2,
        warn_threshold_pct=90,
        active=ME,
        model_latest=1,
        model_current=1,
        management=(),
        servers=(
            ServerPicture(address="a!1", role="leader"),
            ServerPicture(address="b!1", role="follower"),
            ServerPicture(address="c!1", role="down"),
        ),
        instances=instances,
        databases=(database,),
        operations=(),
    )


def test_membership_servers_and_instances() -> None:
    tables = of_picture(ME, picture(roles=("lead", "")))
    assert tables["membership_servers"][1] == [((ME,), 3)]
    assert tables["membership_servers_serving"][1] == [((ME,), 2)]
    assert dict(tables["membership_server_leader"][1])[ME, "a!1"] == 1
    assert dict(tables["membership_server_serving"][1])[ME, "c!1"] == 0
    assert dict(tables["instance_alive"][1]) == {
        (ME, "host1.i", "host1"): 1,
        (ME, "host2.i", "host2"): 0,
    }


def test_a_lost_copy_is_not_normal() -> None:
    assert of_picture(ME, picture())["scaleout_state_normal"][1] == [(("sales", ME), 1)]
    lost = of_picture(ME, picture("degraded"))
    assert lost["scaleout_state_normal"][1] == [(("sales", ME), 0)]


def test_replica_sets_as_membership_has_them() -> None:
    view = ClusterView(sets={("sales", 1): SetState(3, 1, "x", (1, 2), "x", 1)})
    tables = of_view(ME, picture(roles=("lead", "")), view)
    where = ("sales", ME, "1")
    assert tables["replica_set_known_in_sync"][1] == [(where, 1)], "the other one is down"
    assert tables["replica_set_known_copies"][1] == [(where, 2)]
    assert tables["replica_set_known_term"][1] == [(where, 3)]


async def test_what_management_tells_of_itself() -> None:
    settings = InstanceSettings(name=ME, kind="mgmt", home="/nowhere")
    management = SimpleNamespace(settings=settings, rpc=None, membership=None, keeper=None)
    exported = Exported(cast(Any, management), cast(Any, None))
    numbers = exported.numbers()
    assert numbers["process_resident_bytes"] > 0
    assert "certificate_expires_seconds" not in numbers, "it has none"
    assert await exported.grid() == {"mgmt_active": (("instance",), [((ME,), 0)])}
