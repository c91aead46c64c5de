"""Attributes of a database definition → typed settings of an element. Pure."""

from __future__ import annotations

import msgspec

from protocol.messages.admin import Attributes, ElementSpec

PERM_SIZE_MB = 32
TEMP_SIZE_MB = 0
CONNECTIONS = 1000
LOCK_WAIT_S = 10.0
EPOCH_INTERVAL_S = 1.0
READ_COMMITTED = 1


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one database on this instance. Sizes in MB are 2**20 bytes."""

    perm_size_mb: int = PERM_SIZE_MB  # rows and indexes of one element
    temp_size_mb: int = TEMP_SIZE_MB  # what one query may gather; 0: no limit
    durability: int = 0  # 1: every commit is flushed before it is acknowledged
    connections: int = CONNECTIONS
    lock_wait_s: float = LOCK_WAIT_S
    epoch_interval_s: float = EPOCH_INTERVAL_S  # 0: an epoch only when somebody asks for one
    create_epoch_at_commit: bool = False  # of sessions that do not say otherwise
    abort_on_error: bool = False  # of sessions that do not say otherwise
    statement_timeout_s: float = 0.0  # the same; 0: none
    query_threshold_s: float = 0.0  # statements that take longer are logged; 0: none are
    optimizer_hint: str = ""  # of sessions that do not say otherwise
    isolation: int = READ_COMMITTED  # 0: SERIALIZABLE
    read_at_copies: bool = True  # plain reads by key, where an in-sync copy is at hand


def settings_of(spec: ElementSpec) -> DatabaseSettings:
    """The settings; what the definition leaves out has its default.

    Durability defaults to 0 with two copies or more and to 1 with one (a lone copy must reach the
    disk). Management has checked names and ranges; values are decimal numbers.
    """
    given = {name.lower(): value for name, value in spec.attributes}
    durability = int(given.get("durability", 1 if spec.k == 1 else 0))
    epoch_interval_s = 0.0 if durability else EPOCH_INTERVAL_S  # flushed commits need no epochs
    return DatabaseSettings(
        perm_size_mb=int(given.get("permsize", PERM_SIZE_MB)),
        temp_size_mb=int(given.get("tempsize", TEMP_SIZE_MB)),
        durability=durability,
        connections=int(given.get("connections", CONNECTIONS)),
        lock_wait_s=float(given.get("lockwait", LOCK_WAIT_S)),
        epoch_interval_s=float(given.get("epochinterval", epoch_interval_s)),
        create_epoch_at_commit=given.get("createepochatcommit", "0") == "1",
        abort_on_error=given.get("abortonerror", "0") == "1",
        statement_timeout_s=int(given.get("sqlquerytimeoutmsec", 0)) / 1000
        or float(given.get("sqlquerytimeout", 0)),
        query_threshold_s=float(given.get("querythreshold", 0)),
        optimizer_hint=given.get("optimizerhint", ""),
        isolation=int(given.get("isolation", READ_COMMITTED)),
        read_at_copies=given.get("readatcopies", "1") == "1",
    )


def merged(spec: ElementSpec, attributes: Attributes) -> ElementSpec:
    """The specification with the attributes of a newer definition."""
    return msgspec.structs.replace(spec, attributes=attributes)


def shown(spec: ElementSpec) -> list[tuple[str, str]]:
    """The attributes as V$CONFIGURATION shows them, those left out with what they come to."""
    settings = settings_of(spec)
    known: dict[str, object] = {
        "Connections": settings.connections,
        "DataBaseName": spec.database,
        "DataStore": spec.data_store,
        "Durability": settings.durability,
        "EpochInterval": f"{settings.epoch_interval_s:g}",
        "Isolation": settings.isolation,
        "K": spec.k,
        "LockWait": f"{settings.lock_wait_s:g}",
        "PermSize": settings.perm_size_mb,
        "ReadAtCopies": int(settings.read_at_copies),
        "TempSize": settings.temp_size_mb,
    }
    lower = {name.lower() for name in known}
    given = [(name, value) for name, value in spec.attributes if name.lower() not in lower]
    return [*((name, str(value)) for name, value in known.items()), *given]
