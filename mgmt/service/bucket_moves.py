"""The steps of dbDistribute -apply in which buckets find other owners.

Data instances move the rows (data/moving/); here is decided which buckets go where, and everything
is asked for again and again until the map in force says that it is done: so each step may be begun
again after a crash, by another management instance too.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog

from mgmt.ops.runner import StepContext
from mgmt.placement import changes, rebalance
from mgmt.placement.changes import NewSet
from mgmt.placement.rebalance import Move
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.move_progress import Meter
from mgmt.service.patience import Patience
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    DeadlineError,
    GridError,
    NotActiveManagementError,
    NotLeadError,
    OperationError,
    PeerLostError,
    PeerUnreachableError,
)
from protocol.messages import moving
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)

POLL_S = 0.1
CONNECT_S = 2.0
ANSWER_S = 30.0
SEED_S = 3600.0  # DUPLICATE tables may be large; a lost connection ends the wait at once
MOVE_MS = 2000  # so long one request moves buckets: progress is told in between
MOVE_ANSWER_S = 60.0

ENTER = "dist-enter"  # actions of the steps
SEED = "dist-seed"
ADOPT = "dist-adopt"
MOVE = "dist-move"
RETIRE = "dist-retire"
AGAIN = (NotLeadError, PeerLostError, PeerUnreachableError, DeadlineError)


class BucketMoves:
    """The performers. One per management instance."""

    def __init__(self, management: Management, reach: Reach) -> None:
        self._management = management
        self._reach = reach

    # -- asking leads ----------------------------------------------------------------------------
    async def _ask(
        self, name: str, rs: int, message: Any, timeout_s: float, context: StepContext
    ) -> Any:
        """Ask the lead of a replica set, whoever that is, until it answers.

        Raises the errors that are answers, and OperationError when nobody has answered for long.
        """
        patience = Patience()
        while True:
            try:
                return await self._ask_once(name, rs, message, timeout_s)
            except NotActiveManagementError:
                raise  # this instance may not go on; whoever is active does
            except GridError as error:
                if not (error.retriable or isinstance(error, AGAIN)):
                    raise
                if patience.lost(True):
                    raise OperationError(
                        f"replica set {rs} does not answer: {error.message}",
                        hint=f"What has moved stays. Go on with ttGridAdmin dbDistribute {name}"
                        " -apply when its elements serve again.",
                    ) from error
                if patience.says():
                    await context.progress("line", f"  waiting for replica set {rs}: {error}")
            await asyncio.sleep(POLL_S)

    async def _ask_once(self, name: str, rs: int, message: Any, timeout_s: float) -> Any:
        state, known = self._reach.set_state(name, rs), self._reach.map_in_force(name)
        lead = 0 if state is None else state.lead
        places = () if known is None else known.elements
        instance = next((e.instance for e in places if e.element == lead), "")
        rpc = self._management.rpc
        if not instance or rpc is None:
            raise PeerUnreachableError(f"replica set {rs} of {name} has no lead now")
        peer = await rpc.wait_connected(instance, CONNECT_S)
        return await peer.call(message, timeout_s)

    def _map(self, name: str) -> DistributionMap:
        known = self._reach.map_in_force(name)
        if known is None or not known.ranges:
            raise OperationError(f"database {name} has no distribution map in membership")
        return known

    def _someone(self, name: str, besides: int) -> int:
        """A replica set in use that serves."""
        others = [n for n in self._map(name).sets_in_use() if n != besides]
        led = [n for n in others if (s := self._reach.set_state(name, n)) is not None and s.lead]
        if not others:
            raise OperationError(f"no other replica set of {name} is in use")
        return (led or others)[0]

    # -- new sets --------------------------------------------------------------------------------
    async def perform_enter(self, body: dict[str, Any], context: StepContext) -> str:
        """A new set's elements have their number and are all in sync with each other."""
        if trace.steps.listener is not None:
            trace.step("mgmt/service/bucket_moves.py")
        name, new = str(body["name"]), msgspec.convert(body["set"], NewSet)
        made = await self._reach.change_map(name, lambda m: changes.entered(m, new))
        self._reach.remember(made)
        patience = Patience()
        while True:
            state = self._reach.set_state(name, new.replica_set)
            if state is not None and state.lead and set(state.in_sync) >= set(new.elements):
                return "OK"
            if patience.lost(True):
                raise OperationError(
                    f"the elements of replica set {new.replica_set} do not get in sync",
                    hint=f"ttGridAdmin dbStatus {name} -details shows them; then go on with"
                    f" ttGridAdmin dbDistribute {name} -apply.",
                )
            await asyncio.sleep(POLL_S)

    async def perform_seed(self, body: dict[str, Any], context: StepContext) -> str:
        """The new set gets catalog, users and DUPLICATE tables, and takes part."""
        name, rs = str(body["name"]), int(body["rs"])
        request = moving.SeedReplicaSet(name, rs)
        seeded = await self._ask(name, self._someone(name, rs), request, SEED_S, context)
        assert isinstance(seeded, moving.Seeded)
        return f"OK ({seeded.rows} rows)" if seeded.rows else "OK"

    # -- buckets ---------------------------------------------------------------------------------
    async def perform_adopt(self, body: dict[str, Any], context: StepContext) -> str:
        """Buckets of sets that are gone get owners: the sets that have the fewest."""
        name, after = str(body["name"]), tuple(int(n) for n in body["after"])
        patience = Patience()
        said: list[str] = []
        while True:
            known = self._map(name)
            there = known.replica_sets()
            owners = tuple(owner if owner in there else 0 for owner in known.bucket_table())
            target = rebalance.balanced(owners, after)
            todo = [m for m in rebalance.moves(owners, target) if m.source == 0]
            if not todo:
                return f"OK ({'; '.join(said)})" if said else "OK"
            asked = tuple((m.target, m.buckets) for m in todo)
            taken = await self._ask(
                name, self._someone(name, 0), moving.TakeOver(name, asked), SEED_S, context
            )
            assert isinstance(taken, moving.TakenOver)
            said += _said_of(taken)
            for move in todo:
                request = moving.AdoptBuckets(name, move.target, move.buckets)
                await self._ask(name, move.target, request, ANSWER_S, context)
            if patience.lost(True):
                raise OperationError(f"buckets of {name} do not get their owners")
            await asyncio.sleep(POLL_S)  # the view may be behind

    async def perform_move(self, body: dict[str, Any], context: StepContext) -> str:
        """Until the map in force is balanced over the sets that stay."""
        name, after = str(body["name"]), tuple(int(n) for n in body["after"])
        aim = await self._reach.change_map(name, lambda m: changes.aiming_at(m, after))
        target = rebalance.table_of(aim.next_ranges)
        meter = Meter(rebalance.table_of(aim.previous_ranges), target, boottime_s())
        self._management.meters[name] = meter
        patience = Patience()
        try:
            await self._measure(name, rebalance.moves(aim.bucket_table(), target), meter)
            while True:
                todo = rebalance.moves(self._map(name).bucket_table(), target)
                meter.left(sum(len(m.buckets) for m in todo))
                if not todo:
                    return f"OK ({meter.summary(boottime_s())})"
                if patience.says():
                    await context.progress("line", f"  {meter.line(boottime_s())}")
                limit = meter.rows_per_s if meter.rows_per_s >= 0 else int(body["rows_per_s"])
                await self._move(name, todo[0], limit, meter, context)
        finally:
            self._management.meters.pop(name, None)

    async def _measure(self, name: str, todo: tuple[Move, ...], meter: Meter) -> None:
        """How many rows there are to move, for the estimate; nothing depends on it."""
        for move in todo:
            request = moving.PlanMove(name, move.source, move.buckets)
            try:
                planned = await self._ask_once(name, move.source, request, ANSWER_S)
            except GridError as error:
                log.info("redistribution.not_measured", database=name, error=error.message)
                return
            assert isinstance(planned, moving.Planned)
            meter.expect(sum(rows for _, rows in planned.buckets))

    async def _move(
        self, name: str, move: Move, rows_per_s: int, meter: Meter, context: StepContext
    ) -> None:
        meter.route = (move.source, move.target)
        request = moving.MoveBuckets(
            name, move.source, move.target, move.buckets, rows_per_s, MOVE_MS
        )
        moved = await self._ask(name, move.source, request, MOVE_ANSWER_S, context)
        assert isinstance(moved, moving.Moved)
        meter.moved(moved.rows, moved.bytes, moved.waits)
        if len(moved.left) == len(move.buckets) or not moved.left:
            await asyncio.sleep(POLL_S)  # nothing moved, or the view is behind

    async def perform_retire(self, body: dict[str, Any], context: StepContext) -> str:
        """A set that owns nothing any more takes part no more."""
        name, rs = str(body["name"]), int(body["rs"])
        known = self._map(name)
        if rs not in known.replica_sets() or rs in known.idle:
            return "OK"
        request = moving.RetireReplicaSet(name, rs)
        await self._ask(name, self._someone(name, rs), request, ANSWER_S, context)
        return "OK"


def _said_of(taken: moving.TakenOver) -> list[str]:
    """What the administrator should know."""
    said = []
    if taken.entries_made or taken.entries_removed:
        said.append(
            f"global indexes: {taken.entries_made} entries made anew,"
            f" {taken.entries_removed} of lost rows removed"
        )
    if taken.sequences:
        said.append(f"sequences begin anew: {', '.join(taken.sequences)}")
    if taken.foreign_keys:
        keys = ", ".join(taken.foreign_keys)
        said.append(f"rows whose parents were lost stay, look at foreign keys: {keys}")
    return said
