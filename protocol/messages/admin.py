"""Management → data instance: the life of one element, and what a data instance reports.

Every command is answered with ElementDone when the element is in the wanted state, or with an
error; all of them may be repeated. The distribution map and the intended state of a database are
not sent: they are in membership (`put_map`, `put_state`), where data instances see them.
"""

from __future__ import annotations

import msgspec

from protocol.messages import registry

Attributes = tuple[tuple[str, str], ...]  # of the database definition; names in any case

# Intended states of a database, as management puts them into membership. Data instances bring
# their elements there by themselves, also after a restart and without management.
INTENT_CREATED = "created"  # elements exist, nothing is loaded
INTENT_LOADED = "loaded"  # loaded, closed for users
INTENT_OPEN = "open"
INTENT_DESTROYED = "destroyed"  # elements that still exist are to be removed
INTENTS = (INTENT_CREATED, INTENT_LOADED, INTENT_OPEN, INTENT_DESTROYED)


def render_intent(word: str, database_id: str) -> str:
    """The value of put_state: "open 4f2c..."."""
    assert word in INTENTS
    return f"{word} {database_id}"


def parse_intent(value: str) -> tuple[str, str]:
    """(word, database id); words unknown to this version come back as "", which nobody follows."""
    word, _, database_id = value.partition(" ")
    return (word if word in INTENTS else ""), database_id


class ElementSpec(msgspec.Struct, frozen=True, array_like=True):
    """What a data instance must know of an element; it keeps this for its own restarts."""

    database: str
    database_id: str  # unique for ever: a database of the same name made again has another one
    element: int  # 1.., unique in the database
    data_space: int  # 1..k: the data space group of the instance's host
    k: int
    data_store: str  # absolute path of the element's folder; nobody else may use it
    log_dir: str  # "": in the element's folder
    attributes: Attributes


class CreateElement(msgspec.Struct, frozen=True, array_like=True, tag="admin.create_element"):
    """Make an element, empty and not loaded. Reply: ElementDone."""

    spec: ElementSpec


class LoadElement(msgspec.Struct, frozen=True, array_like=True, tag="admin.load_element"):
    """Open its files and, if it is in the map, join its replica set. Reply: ElementDone.

    Answered once its files are open: catching up goes on afterwards and shows in InstanceReport.
    `attributes` replace those of the specification (dbdefModify takes effect at the next load).
    """

    database: str
    database_id: str
    attributes: Attributes


class SetAttributes(msgspec.Struct, frozen=True, array_like=True, tag="admin.set_attributes"):
    """Keep these attributes for the next load. Reply: ElementDone.

    Sent before the intended state becomes "loaded": the element may load by itself as soon as it
    sees that.
    """

    database: str
    database_id: str
    attributes: Attributes


class OpenElement(msgspec.Struct, frozen=True, array_like=True, tag="admin.open_element"):
    """Accept users. Reply: ElementDone."""

    database: str
    database_id: str


class CloseElement(msgspec.Struct, frozen=True, array_like=True, tag="admin.close_element"):
    """Accept no new users; sessions that exist stay. Reply: ElementDone."""

    database: str
    database_id: str


class UnloadElement(msgspec.Struct, frozen=True, array_like=True, tag="admin.unload_element"):
    """End its sessions, leave the replica set in order, close its files. Reply: ElementDone."""

    database: str
    database_id: str


class DestroyElement(msgspec.Struct, frozen=True, array_like=True, tag="admin.destroy_element"):
    """Remove its files and forget it. Reply: ElementDone."""

    database: str
    database_id: str


class ElementDone(msgspec.Struct, frozen=True, array_like=True, tag="admin.element_done"):
    """The element is in the wanted state."""

    state: str  # ElementReport.state


class InstanceStatus(msgspec.Struct, frozen=True, array_like=True, tag="admin.instance_status"):
    """What elements are there and how are they? Reply: InstanceReport."""

    database: str = ""  # "": all


class ElementReport(msgspec.Struct, frozen=True, array_like=True):
    """One element as its data instance sees it."""

    database: str
    database_id: str
    element: int
    data_space: int
    replica_set: int  # 0: not in the distribution map
    state: str  # as dbStatus shows it: creating, created, ..., opened, waiting for seed
    since_us: int  # wall clock, microseconds since 1970: when this state began
    message: str  # why something failed; "" otherwise
    role: str = "idle"  # lead | copy | catching-up | waiting-for-seed | idle
    term: int = 0
    lsn: int = 0
    connections: int = 0  # sessions of users
    catalog_version: int = 0
    map_version: int = 0  # 0: no distribution map known
    epoch: int = 0  # the newest in its log
    epoch_done: int = 0  # the newest known to be flushed on every copy of every replica set


class InstanceReport(msgspec.Struct, frozen=True, array_like=True, tag="admin.instance_report"):
    """Reply to InstanceStatus."""

    instance: str
    incarnation: str
    elements: tuple[ElementReport, ...]


registry.declare_module(__name__)
