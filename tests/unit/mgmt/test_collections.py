"""Manifests, names of collections, and where a restore or an import puts everything."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from mgmt.model import collections
from mgmt.model.collections import Manifest, ManifestFile, ManifestSet
from mgmt.placement.map_builder import even_ranges
from mgmt.service.database_records import DatabaseRecord, ElementRecord
from mgmt.service.restores import map_for
from protocol.errors import CollectionError, ModelError, ParameterError
from protocol.messages.backup import SetFacts
from protocol.topology import BucketRange, DistributionMap

FILE = ManifestFile(path="RS1/element.db", size=5, raw_size=9, checksum="ab", packed=True)
MANIFEST = Manifest(
    format=1,
    kind="backup",
    name="b1",
    grid="grid1",
    database="database1",
    database_id="id",
    k=2,
    epoch=7,
    started_us=1,
    finished_us=2,
    release="0.1.0",
    map_version=4,
    ranges=(BucketRange(0, 99, 3), BucketRange(100, 4095, 1)),
    versions=((3, 2),),
    sets=tuple(
        ManifestSet(rs=rs, element=rs, instance="host3.instance1", term=1, lsn=5, schema=2)
        for rs in (1, 3)
    ),
    files=(FILE,),
)


def record(*groups: int, k: int) -> DatabaseRecord:
    elements = tuple(
        ElementRecord(
            element=n, instance=f"host{n}.instance1", data_space=group, data_store="", add_next=True
        )
        for n, group in enumerate(groups, 1)
    )
    return DatabaseRecord(
        name="database1",
        database_id="new",
        dbdef_guid="",
        k=k,
        attributes=(),
        created_us=0,
        elements=elements,
    )


def test_a_manifest_comes_back_and_every_change_of_a_value_is_seen() -> None:
    text = collections.encode_manifest(MANIFEST)
    assert collections.decode_manifest(text, "m") == MANIFEST
    inner = json.loads(text)["manifest"]
    for name, value in inner.items():
        changed = value + 1 if isinstance(value, int) else value[:-1]
        damaged = json.loads(text)
        damaged["manifest"][name] = changed
        with pytest.raises(CollectionError, match="m is damaged"):
            collections.decode_manifest(json.dumps(damaged).encode(), "m")
    with pytest.raises(CollectionError, match="m is damaged"):
        collections.decode_manifest(text[: len(text) // 2], "m")


def test_files_must_be_there_in_their_sizes() -> None:
    collections.check_files(MANIFEST, {"RS1/element.db": 5, "more": 1}, "/r/b1")
    with pytest.raises(CollectionError, match=r"/r/b1/RS1/element\.db is missing"):
        collections.check_files(MANIFEST, {}, "/r/b1")
    with pytest.raises(CollectionError, match="it has 4 bytes, 5 were written"):
        collections.check_files(MANIFEST, {"RS1/element.db": 4}, "/r/b1")


def test_buckets_are_where_the_images_say() -> None:
    def facts(rs: int, version: int, *owned: tuple[int, int]) -> SetFacts:
        return SetFacts(rs, rs, "", 1, 1, 1, 1, (), version, owned)

    map_ = DistributionMap("d", 3, 1, (), (BucketRange(0, 99, 1), BucketRange(100, 4095, 2)))
    assert collections.placement(map_, [facts(1, -1), facts(2, 4, (0, 4095))]) == (map_.ranges, ())
    there = [facts(2, 4, (0, 9), (4000, 4095)), facts(1, 5, (10, 3999))]
    ranges, versions = collections.placement(map_, there)
    assert [(r.first, r.last, r.replica_set) for r in ranges] == [
        (0, 9, 2),
        (10, 3999, 1),
        (4000, 4095, 2),
    ]
    assert versions == ((1, 5), (2, 4))
    for wrong in ((9, 3999), (11, 3999), (10, 3998)):
        with pytest.raises(CollectionError, match="bucket"):
            collections.placement(map_, [there[0], facts(1, 5, wrong)])
    with pytest.raises(CollectionError, match="bucket 10 has no owner"):
        collections.placement(map_, [facts(1, 5, (0, 9))])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "-x", "a b", "x" * 65, "é"])
def test_names_that_would_lead_elsewhere(name: str) -> None:
    with pytest.raises(ParameterError):
        collections.check_name(name, "backup")


def test_a_backup_keeps_its_replica_sets_and_buckets() -> None:
    new = map_for(record(1, 2, 1, 2, 1, k=2), MANIFEST)
    sets = {e.element: e.replica_set for e in new.elements}
    assert sets == {1: 1, 2: 1, 3: 3, 4: 3, 5: 0}
    assert (new.ranges, new.versions, new.version) == (MANIFEST.ranges, ((3, 2),), 4)
    other_k = map_for(record(1, 1, 1, k=1), MANIFEST)
    assert [e.replica_set for e in other_k.elements] == [1, 3, 0]
    with pytest.raises(ModelError, match="2 replica sets are needed, the grid can form 1"):
        map_for(record(1, 2, 1, k=2), MANIFEST)


def test_an_export_is_spread_over_all_there_are() -> None:
    export = replace(MANIFEST, kind="export")
    new = map_for(record(1, 2, 1, 2, 1, 2, k=2), export)
    assert [e.replica_set for e in new.elements] == [1, 1, 2, 2, 3, 3]
    assert new.ranges == even_ranges([1, 2, 3])
    assert new.versions == ()
