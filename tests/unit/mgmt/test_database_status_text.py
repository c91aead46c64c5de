"""dbStatus in the documented form."""

from __future__ import annotations

import msgspec

from mgmt.api.schema_databases import (
    DatabaseStatus,
    DbStatusReply,
    ElementStatus,
    InstanceOfDatabase,
    Overall,
    SetReadiness,
)
from mgmt.cli.command import parse
from mgmt.cli.commands import find
from mgmt.cli.nouns.database_status import status_text
from mgmt.cli.render import long_moment, moment

WHEN = 1_519_313_848_000_000
WORDS = ("created", "loaded-functional", "open")


def reply() -> DbStatusReply:
    """The grid G2 of the guide with host4 down."""
    instances = tuple(
        InstanceOfDatabase(
            host_name=f"host{n + 2}",
            host_addr=f"127.0.0.{n + 12}",
            instance_name="instance1",
            instance_home="/grid/instance1",
            instance_guid="guid",
            data_space_group=2 - n % 2,
            in_membership=n != 2,
            reachable=n != 2,
            opened=n != 2,
            elements=(
                ElementStatus(
                    element_number=n,
                    data_space=2 - n % 2,
                    sync_replica_set=(n + 1) // 2,
                    state="down" if n == 2 else "opened",
                    last_change_start=0 if n == 2 else WHEN,
                    role="" if n == 2 else "copy",
                    epoch=0 if n == 2 else 12,
                    epoch_done={2: 0, 3: 10}.get(n, 11),
                ),
            ),
        )
        for n in range(1, 7)
    )
    overall = Overall(
        n_instances=6,
        n_instances_in_map=6,
        n_created=6,
        n_creating=0,
        n_create_failed=0,
        n_loading=0,
        n_instances_loaded=5,
        n_instances_opened=5,
        n_down=1,
        n_replica_sets=3,
        n_rs_created=3,
        n_rs_loaded=2,
        summary=WORDS,
    )
    database = DatabaseStatus(
        name="database1",
        db_guid="guid",
        dbdef_guid="guid",
        k=2,
        loaded=True,
        opened=True,
        pt_version=1,
        as_of=WHEN,
        overall=overall,
        load_state="Loadable",
        readiness=tuple(SetReadiness(replica_set=n, state="Loaded") for n in (1, 2, 3)),
        instances=instances,
    )
    return DbStatusReply(databases=(database,), k=2, space_warn=90)


def shown(*options: str) -> list[str]:
    command = find("dbstatus")
    assert command is not None
    return status_text(reply(), parse(command, ["database1", *options])).splitlines()


def test_summary() -> None:
    assert shown() == [
        f"Database database1 summary status as of {long_moment(WHEN)}",
        "",
        "created,loaded-functional,open",
        "Completely created elements: 6 (of 6)",
        "Completely loaded elements: 5 (of 6)",
        "Completely created replica sets: 3 (of 3)",
        "Completely loaded replica sets: 2 (of 3)",
        "",
        "Open elements: 5 (of 6)",
    ]


def test_element_table() -> None:
    event = moment(WHEN)
    assert shown("-element")[:6] == [
        f"Database database1 element level status as of {long_moment(WHEN)}",
        "",
        "Host  Instance  Elem Status Date/Time of Event  Message",
        "----- --------- ---- ------ ------------------- -------",
        f"host3 instance1    1 opened {event}",
        "host4 instance1    2 down",
    ]


def test_replica_set_and_data_space_tables_print_their_number_once() -> None:
    event = moment(WHEN)
    assert shown("-replicaset")[2:7] == [
        "RS DS Elem Host  Instance  Status Date/Time of Event  Message",
        "-- -- ---- ----- --------- ------ ------------------- -------",
        f" 1  1    1 host3 instance1 opened {event}",
        "    2    2 host4 instance1 down",
        f" 2  1    3 host5 instance1 opened {event}",
    ]
    assert shown("-dataSpaceGroup")[2:8] == [
        "DS RS Elem Host  Instance  Status Date/Time of Event  Message",
        "-- -- ---- ----- --------- ------ ------------------- -------",
        f" 1  1    1 host3 instance1 opened {event}",
        f"    2    3 host5 instance1 opened {event}",
        f"    3    5 host7 instance1 opened {event}",
        " 2  1    2 host4 instance1 down",
    ]


def test_all_is_the_four_documented_parts_in_order() -> None:
    titles = [line for line in shown("-all") if line.startswith("Database ")]
    assert [t.partition(" as of")[0] for t in titles] == [
        "Database database1 summary status",
        "Database database1 element level status",
        "Database database1 Replica Set status",
        "Database database1 Data Space Group status",
    ]


def test_load_readiness() -> None:
    lines = shown("-loadReadiness")
    assert "Data Elements:" in lines
    assert "database1 load state: Loadable" in lines
    assert lines[-1] == "Total Elements Loaded:5/6"


def test_epochs() -> None:
    lines = shown("-epochs")
    assert lines[0] == f"Database database1 epochs as of {long_moment(WHEN)}"
    assert lines[2].split() == ["Host", "Instance", "Elem", "RS", "Status", "Newest", "Epoch"]
    assert lines[4].split() == ["host3", "instance1", "1", "1", "opened", "12"]
    assert lines[5].split() == ["host4", "instance1", "2", "1", "down"]
    assert lines[-1] == "Best epoch for recovery: 11"


def test_json_has_the_documented_keys() -> None:
    database = msgspec.to_builtins(reply())["databases"][0]
    assert {"dbGuid", "name", "loaded", "opened", "ptVersion", "overall", "instances"} <= set(
        database
    )
    assert {"nInstancesLoaded", "nRSLoaded", "summary", "nDown"} <= set(database["overall"])
    element = database["instances"][0]["elements"][0]
    assert {"elementNumber", "syncReplicaSet", "inCurDistMap", "addInNextDistMap"} <= set(element)
