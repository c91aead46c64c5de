"""What management remembers of each database: its elements, who holds them, what is intended."""

from __future__ import annotations

import secrets

import msgspec

from mgmt.model.store import Delete, Put, Store
from mgmt.model.types import Host, Instance, Model, expand
from protocol.errors import UnknownDatabaseError
from protocol.messages.admin import INTENT_LOADED, Attributes, ElementSpec
from protocol.topology import ElementPlace

KIND = "database"  # of the store; the key is the name in lower case
REMOVED, EVICTED = "removed", "evicted"  # ElementRecord.gone
_encode = msgspec.json.Encoder().encode


class ElementRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One element. Numbers are never given twice in one database."""

    element: int
    instance: str  # host3.instance1
    data_space: int
    data_store: str  # absolute path of its folder
    log_dir: str = ""
    replica_set: int = 0  # 0: not in the distribution map
    created: bool = False  # its instance said so
    # marks of dbDistribute that are not applied yet
    add_next: bool = False
    remove_next: bool = False
    evict_next: bool = False
    replaced_by: int = 0  # the element that shall take its place
    in_previous: bool = False  # it was in the distribution map before the last change
    # it was taken out of the map: REMOVED or EVICTED; its files may still be there
    gone: str = ""

    @property
    def host(self) -> str:
        """The host's name."""
        return self.instance.partition(".")[0]

    def place(self) -> ElementPlace:
        """The form in the distribution map."""
        return ElementPlace(self.element, self.instance, self.replica_set, self.data_space)

    @property
    def is_marked(self) -> bool:
        """The next dbDistribute -apply does something to it."""
        return self.add_next or self.remove_next or self.evict_next

    @property
    def goes(self) -> bool:
        """It is marked to leave the map."""
        return self.remove_next or self.evict_next

    def unmarked(self) -> ElementRecord:
        """Without marks."""
        return msgspec.structs.replace(
            self, add_next=False, remove_next=False, evict_next=False, replaced_by=0
        )


class DatabaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One database, from dbCreate until its last element is destroyed."""

    name: str
    database_id: str
    dbdef_guid: str
    k: int
    attributes: Attributes  # those in force; dbLoad takes the current definition
    intent: str = INTENT_LOADED
    created_us: int
    next_element: int = 1
    next_replica_set: int = 1  # numbers are never given twice
    map_version: int = 0  # of the distribution map; 0: none
    elements: tuple[ElementRecord, ...] = ()

    @property
    def subject(self) -> str:
        """The subject of its operations: two never run at once."""
        return f"database {self.name}"

    def spec(self, element: ElementRecord) -> ElementSpec:
        """What its data instance must know."""
        return ElementSpec(
            database=self.name,
            database_id=self.database_id,
            element=element.element,
            data_space=element.data_space,
            k=self.k,
            data_store=element.data_store,
            log_dir=element.log_dir,
            attributes=self.attributes,
        )

    def places(self) -> tuple[ElementPlace, ...]:
        """All elements in the form of the distribution map; not those that were taken out."""
        return tuple(element.place() for element in self.elements if not element.gone)

    @property
    def first_free_set(self) -> int:
        """The lowest replica set number that was never given."""
        return max([self.next_replica_set, *(e.replica_set + 1 for e in self.elements)])

    def element(self, number: int) -> ElementRecord:
        """The element of that number, which must be there."""
        return next(e for e in self.elements if e.element == number)

    def element_at(self, instance: str) -> ElementRecord | None:
        """The element of an instance."""
        return next((e for e in self.elements if e.instance == instance), None)

    def with_element(self, changed: ElementRecord) -> DatabaseRecord:
        """The record with one element replaced."""
        elements = tuple(changed if e.element == changed.element else e for e in self.elements)
        return msgspec.structs.replace(self, elements=elements)

    def with_new_element(self, instance: Instance, host: Host, spec: Paths) -> DatabaseRecord:
        """The record with an element for an instance that has none."""
        new = ElementRecord(
            element=self.next_element,
            instance=instance.full_name,
            data_space=host.data_space_group,
            data_store=spec.data_store,
            log_dir=spec.log_dir,
        )
        return msgspec.structs.replace(
            self, elements=(*self.elements, new), next_element=self.next_element + 1
        )


class Paths(msgspec.Struct, frozen=True):
    """Folders of one element."""

    data_store: str
    log_dir: str = ""


def paths_at(attributes: Attributes, instance: Instance) -> Paths:
    """DataStore and LogDir for one instance: marks replaced, no trailing slash."""
    given = {name.lower(): value for name, value in attributes}

    def path(name: str) -> str:
        text = expand(given.get(name, ""), host=instance.host, instance=instance.name)
        return text.rstrip("/")

    return Paths(path("datastore"), path("logdir"))


def new_database_id() -> str:
    """Unique for ever."""
    return secrets.token_hex(16)


def hosts_of(model: Model, instances: list[Instance]) -> list[tuple[Instance, Host]]:
    """Instances with their hosts."""
    pairs = [(instance, model.host(instance.host)) for instance in instances]
    return [(instance, host) for instance, host in pairs if host is not None]


class Databases:
    """The records in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[DatabaseRecord]:
        """Every database, by name."""
        return [_decode(body) for _, body in self._store.items(KIND)]

    def find(self, name: str) -> DatabaseRecord | None:
        """The database of that name, whatever the case."""
        body = self._store.get(KIND, name.lower())
        return None if body is None else _decode(body)

    def get(self, name: str) -> DatabaseRecord:
        """The same; raises UnknownDatabaseError."""
        record = self.find(name)
        if record is None:
            raise UnknownDatabaseError(
                f"database {name} does not exist",
                hint="ttGridAdmin dbList shows the databases, dbdefList what dbCreate can make.",
            )
        return record

    def put(self, record: DatabaseRecord) -> None:
        """Remember it; durable when this returns."""
        self._store.write(Put(KIND, record.name.lower(), _encode(record)))

    def forget(self, name: str) -> None:
        """It is gone."""
        self._store.write(Delete(KIND, name.lower()))


def _decode(body: bytes) -> DatabaseRecord:
    return msgspec.json.decode(body, type=DatabaseRecord)
