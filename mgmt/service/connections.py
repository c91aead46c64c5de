"""dbStatus -connections, dbDisconnect, dbDisconnectStatus: who is connected, and ending that.

dbDisconnect is a journaled operation: it tells every data instance that runs again and again until
no connection is left that it has to end. What it found stays as its status. It does not exclude
other commands on the database; a second dbDisconnect takes the place of one that still runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mgmt.api import schema
from mgmt.api import schema_sessions as requests
from mgmt.api.schema_sessions import DisconnectRecord, InstanceDisconnect
from mgmt.model.store import Put
from mgmt.ops.operation import State, Step
from mgmt.ops.runner import Progress, StepContext
from mgmt.service.context import Management
from mgmt.service.database_reach import AWAY, Reach
from mgmt.service.database_records import DatabaseRecord
from protocol.clock import wall_us
from protocol.errors import DeadlineError, GridError, OperationError, UnknownModelObjectError
from protocol.messages import sessions as m
from protocol.messages.admin import INTENT_OPEN

KIND = "disconnect"  # of the store; the key is the database's name in lower case
ACTION = "db-disconnect"
CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 3.0
AGAIN_S = 0.25
DEFINED, DISCONNECTING, FAILED, COMPLETE = "Defined", "Disconnecting", "Failed", "Complete"
DISCONNECTED = "Disconnected"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DisconnectRecord).decode


class ConnectionService:
    """The commands on connections. One per management instance."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._reach = Reach(management)

    # -- dbDisconnect ----------------------------------------------------------------------------
    async def disconnect(self, request: requests.DbDisconnect, progress: Progress) -> schema.Done:
        """dbDisconnect."""
        record = self._reach.databases.get(request.name)
        runner = self._management.runner
        subject = f"connections of {record.name}"
        running = runner.running_on(subject)
        if running is not None:  # transactional, then immediate: the newer one goes on
            runner.cancel(running.record.id)
            await running.wait()
        self._put(
            DisconnectRecord(
                name=record.name,
                database_id=record.database_id,
                mode=request.mode,
                state=DEFINED,
                started_us=wall_us(),
            )
        )
        body: dict[str, object] = {"name": record.name, "id": record.database_id}
        step = Step("Ending connections", ACTION, {**body, "mode": request.mode})
        running = runner.start("dbDisconnect", subject, [step])
        lines = [f"Database {record.name} disconnect started"]
        if record.intent == INTENT_OPEN:
            lines.insert(
                0, f"Warning: database {record.name} is open: its clients may connect again"
            )
        if request.wait_s is None:
            return schema.Done(messages=tuple(lines))
        for line in lines:
            await progress("line", line)
        try:
            async with asyncio.timeout(request.wait_s or None):
                ended = await running.wait()
        except TimeoutError:
            raise DeadlineError(
                f"dbDisconnect {record.name} has not finished after {request.wait_s} s",
                hint=f"It goes on; ttGridAdmin dbDisconnectStatus {record.name} shows how far.",
            ) from None
        if ended.state is State.CANCELLED:
            raise OperationError(f"dbDisconnect {record.name} was cancelled")
        if ended.error is not None:
            raise GridError.from_wire(ended.error)
        return schema.Done(messages=())

    async def status(
        self, request: requests.DbDisconnectStatus, progress: Progress
    ) -> requests.DbDisconnectStatusReply:
        """dbDisconnectStatus."""
        found = [_decode(body) for _, body in self._management.store.items(KIND)]
        there = {r.database_id for r in self._reach.databases.all()}
        found = [one for one in found if one.database_id in there]
        if request.name:
            record = self._reach.databases.get(request.name)
            found = [one for one in found if one.database_id == record.database_id]
            if not found:
                raise UnknownModelObjectError(
                    f"there was no dbDisconnect of database {record.name}",
                    hint=f"ttGridAdmin dbDisconnect {record.name} -transactional begins one.",
                )
        return requests.DbDisconnectStatusReply(disconnects=tuple(found))

    async def perform(self, body: dict[str, Any], context: StepContext) -> str:
        """Until nobody is left whom it has to disconnect."""
        name, database_id = str(body["name"]), str(body["id"])
        message = m.Disconnect(name, database_id, str(body["mode"]))
        started = self._get(name)
        assert started is not None
        while True:
            record = self._reach.databases.find(name)
            if record is None or record.database_id != database_id:
                found: list[InstanceDisconnect] = []  # destroyed meanwhile
            else:
                found = await self._tell_all(record, message)
            words = {one.state for one in found}
            state = DISCONNECTING if DISCONNECTING in words else COMPLETE
            if FAILED in words and state is COMPLETE:
                state = FAILED
            self._put(
                msgspec.structs.replace(
                    started,
                    state=state,
                    instances=tuple(found),
                    ended_us=0 if state is DISCONNECTING else wall_us(),
                )
            )
            if state is not DISCONNECTING:
                break
            await asyncio.sleep(AGAIN_S)
        failed = [f"{one.instance}: {one.message}" for one in found if one.state == FAILED]
        if failed:
            raise OperationError(
                f"disconnecting from {name} failed at {'; '.join(failed)}",
                hint="Mend the cause, then repeat the command.",
            )
        return "OK"

    async def _tell_all(
        self, record: DatabaseRecord, message: m.Disconnect
    ) -> list[InstanceDisconnect]:
        names = [e.instance for e in sorted(record.elements, key=lambda e: e.element)]
        return list(await asyncio.gather(*(self._tell(name, message) for name in names)))

    async def _tell(self, name: str, message: m.Disconnect) -> InstanceDisconnect:
        if name not in self._reach.alive():  # its connections went with it
            return InstanceDisconnect(instance=name, state=DISCONNECTED)
        try:
            answer: m.Disconnecting = await _ask(self._management, name, message)
        except AWAY as error:
            return InstanceDisconnect(instance=name, state=DISCONNECTING, message=error.message)
        except GridError as error:
            return InstanceDisconnect(instance=name, state=FAILED, message=error.message)
        state = DISCONNECTING if answer.left else DISCONNECTED
        return InstanceDisconnect(instance=name, state=state, left=answer.left, idle=answer.idle)

    # -- what is remembered ----------------------------------------------------------------------
    def _get(self, name: str) -> DisconnectRecord | None:
        body = self._management.store.get(KIND, name.lower())
        return None if body is None else _decode(body)

    def _put(self, record: DisconnectRecord) -> None:
        before = self._get(record.name)
        if before is None or msgspec.structs.replace(before, ended_us=record.ended_us) != record:
            self._management.store.write(Put(KIND, record.name.lower(), _encode(record)))


async def connections_of(
    management: Management, record: DatabaseRecord, hidden: set[str]
) -> tuple[tuple[requests.ConnectionRow, ...], tuple[str, ...]]:
    """Who is connected to a database, without the hidden kinds; and instances without an answer."""
    names = [e.instance for e in sorted(record.elements, key=lambda e: e.element)]
    answers = await asyncio.gather(
        *(_ask(management, name, m.ListSessions(record.name)) for name in names),
        return_exceptions=True,
    )
    rows: list[requests.ConnectionRow] = []
    silent: list[str] = []
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, m.SessionList):
            rows += [_row(name, one) for one in answer.sessions if one.kind not in hidden]
        elif isinstance(answer, GridError):
            silent.append(name)
        elif isinstance(answer, BaseException):
            raise answer
    return tuple(rows), tuple(silent)


async def _ask(management: Management, instance: str, message: Any) -> Any:
    rpc = management.rpc
    assert rpc is not None
    peer = await rpc.wait_connected(instance, CONNECT_TIMEOUT_S)
    return await peer.call(message, ANSWER_TIMEOUT_S)


def _row(instance: str, one: m.SessionInfo) -> requests.ConnectionRow:
    host, _, short = instance.partition(".")
    return requests.ConnectionRow(
        host=host,
        instance=short,
        id=one.number,
        name=one.name,
        pid=one.pid,
        kind=one.kind,
        user=one.user,
        address=one.address,
        state=one.state,
        since_us=one.since_us,
    )


def install(management: Management) -> None:
    """Register the step; called once."""
    management.runner.register(ACTION, ConnectionService(management).perform)
