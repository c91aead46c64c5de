"""The steps of dbDistribute -apply on a database that has a distribution map.

Every step looks at the map in force and does what is missing, so it may be begun again after a
crash or under another management instance. Nothing here touches rows: data instances do, asked by
RPC or by what the map says (data/moving/, data/replication/).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog

from mgmt.ops.operation import Step
from mgmt.ops.runner import StepContext
from mgmt.placement import changes
from mgmt.placement.changes import Plan, Replacement
from mgmt.service import bucket_moves, database_status
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import EVICTED, REMOVED, DatabaseRecord
from mgmt.service.patience import Patience
from protocol import trace
from protocol.errors import OperationError

log = structlog.get_logger(__name__)

POLL_S = 0.1
LEAVE_S = 30.0  # so long an element that was taken out may take to unload

BETWEEN = ("loading", "opening", "closing", "unloading")  # states of an element on its way

JOIN = "dist-join"  # actions of the steps
AWAIT_JOINED = "dist-await-joined"
LEAVE = "dist-leave"
DROP = "dist-drop"
FINISH = "dist-finish"
RESYNC = "dist-resync"


def steps_of(
    name: str, plan: Plan, members: Mapping[int, Iterable[int]], rows_per_s: int
) -> list[Step]:
    """The operation of a plan. `members`: the elements of each replica set."""
    steps: list[Step] = []
    named: dict[str, object] = {"name": name}
    if plan.replacements:
        pairs = {**named, "pairs": msgspec.to_builtins(plan.replacements)}
        steps += [
            Step("Adding the replacements to their replica sets", JOIN, pairs, attempts=3),
            Step("Waiting until the replacements have all rows", AWAIT_JOINED, pairs),
            Step("Taking the replaced elements out", LEAVE, pairs, attempts=3),
        ]
    for number in plan.evicted:
        gone = {**named, "elements": list(members[number]), "gone": EVICTED}
        steps.append(Step(f"Evicting replica set {number}", DROP, gone, attempts=3))
    for new in plan.new_sets:
        body = {**named, "set": msgspec.to_builtins(new)}
        seeded = {**named, "rs": new.replica_set}
        steps.append(Step(f"Forming replica set {new.replica_set}", bucket_moves.ENTER, body))
        steps.append(Step(f"Filling replica set {new.replica_set}", bucket_moves.SEED, seeded))
    sets = {**named, "after": list(plan.after)}
    if not plan.replacements or plan.evicted or plan.new_sets or plan.removed:
        title = "Giving buckets without replica set to others"
        steps.append(Step(title, bucket_moves.ADOPT, sets))
        steps.append(Step("Moving buckets", bucket_moves.MOVE, {**sets, "rows_per_s": rows_per_s}))
    for number in plan.removed:
        title = f"Taking replica set {number} out"
        gone = {**named, "elements": list(members[number]), "gone": REMOVED}
        steps.append(Step(f"Ending work at replica set {number}", bucket_moves.RETIRE,
                          {**named, "rs": number}))  # fmt: skip
        steps.append(Step(title, DROP, gone, attempts=3))
    return [*steps, Step("Updating the distribution map", FINISH, named, attempts=3)]


def drop_steps(name: str, elements: Iterable[int]) -> list[Step]:
    """The operation that takes elements out again which others can do without."""
    body: dict[str, object] = {"name": name, "elements": list(elements), "gone": REMOVED}
    return [
        Step("Taking the replacements back", DROP, {**body, "spare": True}, attempts=3),
        Step("Updating the distribution map", FINISH, {"name": name}, attempts=3),
    ]


class Redistribution:
    """The performers. One per management instance."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._reach = Reach(management)

    # -- replacing --------------------------------------------------------------------------------
    async def perform_join(self, body: dict[str, Any], context: StepContext) -> str:
        """The replacements are copies of the replica sets of those that they replace."""
        if trace.steps.listener is not None:
            trace.step("mgmt/service/redistribution.py")
        name, pairs = str(body["name"]), _pairs(body)
        new = await self._reach.change_map(name, lambda m: changes.joined(m, pairs))
        self._reach.remember(new)
        return "OK"

    async def perform_await_joined(self, body: dict[str, Any], context: StepContext) -> str:
        """Until every replacement is in sync: it has all that was ever acknowledged."""
        name, pairs = str(body["name"]), _pairs(body)
        patience = Patience()
        while True:
            waiting = [p for p in pairs if not self._is_in_sync(name, p)]
            if not waiting:
                return "OK"
            record = self._reach.databases.get(name)
            names = [record.element(p.new).instance for p in waiting]
            away = [n for n in names if n not in self._reach.alive()]
            if patience.lost(bool(away)):
                raise OperationError(
                    f"{', '.join(away)} does not run: it cannot take the place of another",
                    hint=f"Start it and repeat ttGridAdmin dbDistribute {name} -apply, or take the"
                    f" replacement back: ttGridAdmin dbDistribute {name} -reset",
                )
            if patience.says():
                await context.progress("line", f"  {await self._how_far(record, names)}")
            await asyncio.sleep(POLL_S)

    async def _how_far(self, record: DatabaseRecord, names: list[str]) -> str:
        health = await database_status.health_of(self._management, self._reach, [record])
        told = [
            f"{h.instance}: {h.report.role if h.report else h.state},"
            f" LSN {h.report.lsn if h.report else 0}"
            for h in health[record.name]
            if h.instance in names
        ]
        return "; ".join(told)

    def _is_in_sync(self, name: str, pair: Replacement) -> bool:
        record = self._reach.databases.get(name)
        state = self._reach.set_state(record.name, record.element(pair.new).replica_set)
        return state is not None and pair.new in state.in_sync

    async def perform_leave(self, body: dict[str, Any], context: StepContext) -> str:
        """The replaced elements are in the map no more; their instances unload them."""
        name, pairs = str(body["name"]), _pairs(body)
        record = self._reach.databases.get(name)
        for pair in pairs:
            number = record.element(pair.new).replica_set
            state = await self._reach.read_set(record.name, number)
            if state is None or pair.new not in state.in_sync:
                raise OperationError(
                    f"{record.element(pair.new).instance} is not in sync any more: "
                    f"{_instance(record, pair.old)} stays",
                    hint=f"Repeat ttGridAdmin dbDistribute {name} -apply.",
                )
        olds = {p.old: EVICTED if p.evicted else REMOVED for p in pairs}
        new = await self._reach.change_map(name, lambda m: changes.without(m, olds, _evicted(olds)))
        self._reach.remember(new, olds)
        return await self._until_left(name, frozenset(olds), context)

    async def _until_left(self, name: str, olds: frozenset[int], context: StepContext) -> str:
        """Until the elements are unloaded and no replica set counts them."""
        record = self._reach.databases.get(name)
        sets = sorted({e.replica_set for e in record.elements if e.replica_set})
        patience = Patience(LEAVE_S)
        while True:
            states = [self._reach.set_state(record.name, number) for number in sets]
            counted = [s for s in states if s is not None and olds & {s.lead, *s.in_sync}]
            health = await database_status.health_of(self._management, self._reach, [record])
            loaded = [
                h.instance
                for h in health[record.name]
                if h.element in olds and (h.loaded or h.state in BETWEEN)
            ]
            if not counted and not loaded:
                return "OK"
            if patience.lost(True):
                if counted:
                    raise OperationError(
                        "elements that were taken out of the map still take part",
                        hint=f"ttGridAdmin dbStatus {name} -details shows them; repeat"
                        f" ttGridAdmin dbDistribute {name} -apply.",
                    )
                return f"OK ({', '.join(loaded)} still unloads)"
            await asyncio.sleep(POLL_S)

    async def perform_drop(self, body: dict[str, Any], context: StepContext) -> str:
        """These elements are taken out of the map, whatever they hold: an eviction or a reset."""
        name = str(body["name"])
        gone = {int(number): str(body["gone"]) for number in body["elements"]}
        if body.get("spare"):
            await self._check_spare(name, frozenset(gone))
        new = await self._reach.change_map(name, lambda m: changes.without(m, gone, _evicted(gone)))
        self._reach.remember(new, gone)
        return await self._until_left(name, frozenset(gone), context)

    async def _check_spare(self, name: str, gone: frozenset[int]) -> None:
        """Nobody is the last that has the newest rows of a replica set."""
        record = self._reach.databases.get(name)
        for number in {e.replica_set for e in record.elements if e.element in gone} - {0}:
            state = await self._reach.read_set(record.name, number)
            if state is not None and not set(state.in_sync) - gone:
                raise OperationError(
                    f"the replacement is the only element of replica set {number} in sync",
                    hint=f"Bring another one back, or go on: dbDistribute {name} -apply.",
                )

    async def perform_resync(self, body: dict[str, Any], context: StepContext) -> str:
        """The records say what the map in force says; marks stay."""
        new = self._reach.map_in_force(self._reach.databases.get(str(body["name"])).name)
        if new is not None and new.ranges:
            self._reach.remember(new)
        return "OK"

    async def perform_finish(self, body: dict[str, Any], context: StepContext) -> str:
        """Marks are done with; the records say what the map in force says."""
        record = self._reach.databases.get(str(body["name"]))
        new = await self._reach.change_map(record.name, changes.settled)
        done = tuple(e.unmarked() for e in record.elements)
        self._reach.databases.put(msgspec.structs.replace(record, elements=done))
        self._reach.remember(new)
        return "OK"


def _pairs(body: dict[str, Any]) -> tuple[Replacement, ...]:
    return msgspec.convert(body["pairs"], tuple[Replacement, ...])


def _evicted(gone: Mapping[int, str]) -> list[int]:
    return [number for number, word in gone.items() if word == EVICTED]


def _instance(record: DatabaseRecord, number: int) -> str:
    found: Iterable[str] = (e.instance for e in record.elements if e.element == number)
    return next(iter(found), f"element {number}")


def install(management: Management) -> None:
    """Register the steps; called once."""
    service = Redistribution(management)
    moves = bucket_moves.BucketMoves(management, Reach(management))
    register = management.runner.register
    register(bucket_moves.ENTER, moves.perform_enter)
    register(bucket_moves.SEED, moves.perform_seed)
    register(bucket_moves.ADOPT, moves.perform_adopt)
    register(bucket_moves.MOVE, moves.perform_move)
    register(bucket_moves.RETIRE, moves.perform_retire)
    register(JOIN, service.perform_join)
    register(AWAIT_JOINED, service.perform_await_joined)
    register(LEAVE, service.perform_leave)
    register(DROP, service.perform_drop)
    register(FINISH, service.perform_finish)
    register(RESYNC, service.perform_resync)
