"""Where the rows of a database are by one version of the map: what one statement goes by. Pure.

A statement takes the places once and keeps to them; each request names the ownership version of
the replica set it goes to (`version_of`), by which a lead knows whether they still hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.topology import DistributionMap


@dataclass(frozen=True, slots=True)
class Places:
    """`buckets`: replica set of each bucket; `replica_sets`: those in use, ascending."""

    version: int = 0  # of the map
    buckets: tuple[int, ...] = ()
    replica_sets: tuple[int, ...] = ()
    versions: dict[int, int] = field(default_factory=dict)

    def version_of(self, rs: int) -> int:
        """The ownership version of a replica set; requests to it carry it."""
        return self.versions.get(rs, 0)


def places_of(distribution: DistributionMap) -> Places:
    """The places that a map gives."""
    versions = dict(distribution.versions)
    return Places(
        distribution.version,
        distribution.bucket_table() if distribution.ranges else (),
        distribution.sets_in_use(),
        {rs: versions.get(rs, 0) for rs in distribution.replica_sets()},
    )
