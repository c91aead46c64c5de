"""The file of ttGridRollout."""

from __future__ import annotations

import pytest

from mgmt.cli.rollout_file import parse
from protocol.errors import ParameterError

SAMPLE = """# the documented sample
grid_name = grid1
zoo_conf = /grid/membership.conf
instance_location = /grid
dbdef_file = /grid/sampledb.dbdef
cs_connect_files = /grid/sampledbCS.connect
init_script = /grid/init.sql
mgmt_instances = [
  { "host":"host1", "address":"int-host1", "instance":"grid1mgmt", "daemonport":6624,
    "csport":6625, "mgmtport":3754 },
]
data_instances = [
  { "host":"host3", "internalAddress":"int-host3", "externalAddress":"ext-host3",
    "dataspacegroup":1, "instance":"i1", "daemonport":"6624", "csport":"6625" },
  { "host":"host4", "address":"host4", "dataspacegroup":2, "instance":"i1" },
  { "host":"host5", "address":"host5", "dataspacegroup":1, "instance":"i1" },
  { "host":"host6", "address":"host6", "dataspacegroup":2, "instance":"i1" }
]
"""


def test_the_documented_sample() -> None:
    plan = parse(SAMPLE)
    assert plan.grid_name == "grid1"
    assert plan.k == 2
    assert plan.cs_connect_files == ("/grid/sampledbCS.connect",)
    assert [m.instance for m in plan.mgmt_instances] == ["grid1mgmt"]
    assert [d.data_space_group for d in plan.data_instances] == [1, 2, 1, 2]
    assert plan.data_instances[0].external_address == "ext-host3"
    assert plan.data_instances[0].daemon_port == 6624


SHORT = "grid_name=g\nzoo_conf=m\ninstance_location=/i\ndbdef_file=d.dbdef\n"


def test_without_hosts_the_shape_is_made_on_this_machine() -> None:
    plan = parse(SHORT + "shape = 3x2\n")
    assert plan.k == 3
    assert [d.host for d in plan.data_instances] == [f"host{n}" for n in range(3, 9)]
    assert [d.data_space_group for d in plan.data_instances] == [1, 2, 3, 1, 2, 3]
    assert plan.mgmt_instances[0].internal_address == "127.0.0.11"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid_name=g\n", "zoo_conf is missing"),
        (SHORT + "gird_name=h\n", "unknown key gird_name"),
        (SHORT + "grid_name=h\n", "given twice"),
        (SHORT + "k=two\n", "k must be a number"),
        (SHORT + "data_instances=[{]\n", "data_instances"),
        (SHORT + 'data_instances=[{"host":"a"}]\n', "give both"),
        (SHORT + 'mgmt_instances=[{"hots":"a"}]\ndata_instances=[]\n', "no key hots"),
        ("what is this\n", "belongs to no key"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse(text)
