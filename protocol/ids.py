"""Identifiers of the grid's parts: plain ints and strings on the wire, distinct types in code."""

from __future__ import annotations

from typing import NamedTuple, NewType

InstanceName = NewType("InstanceName", str)  # "host3.instance1", as users write it
ElementId = NewType("ElementId", int)  # 1-based, unique in one database, never reused
ReplicaSetId = NewType("ReplicaSetId", int)  # 1-based, unique in one database, never reused
Term = NewType("Term", int)  # a leadership of one replica set; 0: nobody ever led
Lsn = NewType("Lsn", int)  # position in one replica set's log; 0: empty log
MapVersion = NewType("MapVersion", int)  # of one database's distribution map; 0: no map
SchemaVersion = NewType("SchemaVersion", int)  # of one database's catalog; grows with every DDL
Epoch = NewType("Epoch", int)  # number of a globally consistent commit point
Incarnation = NewType("Incarnation", str)  # one start of one process; unique for ever


class LogPosition(NamedTuple):
    """A log record's identity: the same pair means the same record on every copy."""

    term: int
    lsn: int


class TxnId(NamedTuple):
    """Global transaction id: who coordinates it, in which life, and a running number."""

    element: int
    incarnation: str
    counter: int
