"""The active's side of replication: every change of the store reaches the standby.

One loop ships the change log in order. `secured()` is where acknowledgements wait: for the
standby's answer while it counts as in sync, else for nothing, because then the register in
membership says that this copy is the only one (DESIGN.md, "When a change is safe").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import structlog

from membership.port import Amendment, MgmtRegister
from mgmt.ha import role
from mgmt.model.store import Logged, Position, Store
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    GridError,
    MembershipLostError,
    NotActiveManagementError,
    PeerProtocolError,
)
from protocol.messages.management import Follow, Followed, LoggedChange, TakeCopy

log = structlog.get_logger(__name__)

BATCH_BYTES = 4 * 1024 * 1024  # of changes in one message
PIECE_BYTES = 1024 * 1024  # of a full copy
RETRY_S = 0.5  # a standby that refuses or is not there is asked again


class Partner(NamedTuple):
    """The other management instance, as registered now."""

    name: str
    incarnation: str


class Link(Protocol):
    """How messages reach the standby."""

    async def call(self, name: str, message: Follow | TakeCopy, timeout_s: float) -> Followed:
        """Send and wait. Raises GridError."""
        ...


class Replicator:
    """Of one term of this instance as the active. `run` until cancelled or deposed."""

    def __init__(
        self,
        store: Store,
        *,
        copy: str,
        term: int,
        in_sync: tuple[str, ...],
        link: Link,
        amend: Callable[[Amendment], Awaitable[MgmtRegister | None]],
        partner: Callable[[], Partner | None],
        check: Callable[[], None],
        timeout_s: float,
        changed: Callable[[], None],
    ) -> None:
        """in_sync: as the register has it. check: raises unless this is the active still.

        timeout_s: so long the standby may take for an answer before the active goes on alone.
        changed: called when the standby is in sync.
        """
        self._store = store
        self._copy = copy
        self._term = term
        self._link = link
        self._amend = amend
        self._partner = partner
        self._check = check
        self._timeout_s = timeout_s
        self._changed = changed
        self._others = tuple(c for c in in_sync if c != copy)  # counted as in sync beside this one
        self._acked = 0  # the standby has everything up to this change, if it is in `_others`
        self._following = ""  # the copy that is being kept equal now
        self._waiting_since_s = 0.0  # changes wait for the standby since then
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self.problem = ""  # why there is no standby in sync, in words

    @property
    def standby(self) -> str:
        """The copy that holds everything this one holds; "" while there is none."""
        return self._following if self._following in self._others else ""

    def wake(self) -> None:
        """Something was written, or somebody came or went."""
        self._wake.set()

    async def secured(self) -> None:
        """Until every change written so far survives the loss of this instance, if it can.

        Raises NotActiveManagementError: the outcome is open.
        """
        seq = self._store.seq
        deadline_s = boottime_s() + 4 * self._timeout_s
        while True:
            self._check()
            if not self._others or self._acked >= seq:
                return
            self._moved.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline_s - boottime_s())):
                    await self._moved.wait()
            except TimeoutError:
                raise NotActiveManagementError(
                    "it is not known whether the change will last: neither the standby nor the"
                    " membership servers answered",
                    hint="ttGridAdmin mgmtExamine says what to do; then look whether it was made.",
                ) from None

    async def flushed(self) -> None:
        """Until the standby, if there is one in sync, has what was written; or a while passed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while self.standby and self._acked < self._store.seq:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            log.warning("management.not_flushed", seq=self._store.seq, standby_seq=self._acked)

    def end(self) -> None:
        """Whoever waits learns that this term is over."""
        self._moved.set()

    async def run(self) -> None:
        """Ship until cancelled; returns when deposed."""
        while True:
            self._wake.clear()
            partner = self._partner()
            try:
                if partner is None:
                    self._lost("it is not registered")
                    await self._go_alone_if_needed(at_once=True)
                else:
                    await self._serve(partner)
            except MembershipLostError as error:
                self._lost(error.message)
            except NotActiveManagementError as error:
                self._lost(error.message)
                if not await self._tried_alone(at_once=True):
                    return
            except GridError as error:
                self._lost(error.message)
                if not await self._tried_alone(at_once=self._partner() != partner):
                    return
            await self._pause()

    # -- inside ----------------------------------------------------------------------------------
    def _lost(self, why: str) -> None:
        if self._following or why != self.problem:
            log.info("management.standby_not_followed", reason=why)
        self._following, self.problem = "", why

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(RETRY_S):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(0)

    async def _tried_alone(self, *, at_once: bool) -> bool:
        try:
            await self._go_alone_if_needed(at_once=at_once)
        except MembershipLostError:
            return True  # asked again later; nothing is acknowledged meanwhile
        except NotActiveManagementError:
            return False
        return True

    async def _go_alone_if_needed(self, *, at_once: bool) -> None:
        """Leave the standby behind if changes wait for it, and waited long enough.

        With nothing to wait for it stays in sync: it holds everything, and may take over.
        """
        if not self._others or self._acked >= self._store.seq:
            self._waiting_since_s = 0.0
            return
        now_s = boottime_s()
        self._waiting_since_s = self._waiting_since_s or now_s
        if at_once or now_s - self._waiting_since_s >= self._timeout_s:
            await self._go_alone()

    async def _go_alone(self) -> None:
        if not self._others:
            return
        if await self._amend(role.only(self._copy, self._acked)) is None:
            raise NotActiveManagementError("another management instance became active")
        log.warning("management.without_standby", seq=self._store.seq, standby_seq=self._acked)
        self._others, self._waiting_since_s = (), 0.0
        self._moved.set()

    async def _serve(self, partner: Partner) -> None:
        """Bring the partner up to date and keep it so; ends with an exception or when it left."""
        if trace.steps.listener is not None:
            trace.step("mgmt/ha/replicator.py")
        answer = await self._ask(partner, Follow(self._term, *self._store.last, ()))
        copy = answer.copy
        if copy not in self._others:
            await self._go_alone()  # nobody's answers may count for a copy that is another
        while self._partner() == partner:
            answer = await self._caught_up(partner, answer)
            if answer.copy != copy:
                raise PeerProtocolError(f"{partner.name} changed its store")
            self._acked, self._waiting_since_s = answer.seq, 0.0
            self._moved.set()
            if copy not in self._others:
                # first wait for it with every change, then say so where promotion looks
                self._others = (copy,)
                if await self._amend(role.both((self._copy, copy))) is None:
                    raise NotActiveManagementError("another management instance became active")
                log.info("management.standby_in_sync", standby=copy, seq=answer.seq)
            if self._following != copy:
                self._following, self.problem = copy, ""
                self._changed()
            if self._store.last.seq == answer.seq:
                await self._wake.wait()
            self._wake.clear()

    async def _caught_up(self, partner: Partner, answer: Followed) -> Followed:
        """Ship what is missing until the answer is where the store stands."""
        while (standing := Position(answer.seq, answer.term)) != self._store.last:
            known = self._store.term_at(standing.seq) == standing.term
            changes = _batch(self._store.changes_after(standing.seq)) if known else []
            if not changes or changes[0].seq != standing.seq + 1:
                if self._others:
                    await self._go_alone()
                answer = await self._copy_all(partner)
                continue
            self._waiting_since_s = self._waiting_since_s or boottime_s()
            message = Follow(self._term, *standing, tuple(LoggedChange(*c) for c in changes))
            answer = await self._ask(partner, message)
            if not answer.fits and Position(answer.seq, answer.term) == standing:
                raise PeerProtocolError(f"{partner.name} refused what follows its last change")
        return answer

    async def _copy_all(self, partner: Partner) -> Followed:
        at, whole = self._store.last, self._store.snapshot()
        log.info("management.full_copy", standby=partner.name, seq=at.seq, bytes=len(whole))
        answer = None
        for offset in range(0, len(whole), PIECE_BYTES):
            piece = whole[offset : offset + PIECE_BYTES]
            message = TakeCopy(self._term, at.seq, at.term, offset, len(whole), piece)
            answer = await self._ask(partner, message)
            if not answer.fits:
                raise PeerProtocolError(f"{partner.name} lost the beginning of the full copy")
        assert answer is not None, "an encoded store is never empty"
        return answer

    async def _ask(self, partner: Partner, message: Follow | TakeCopy) -> Followed:
        return await self._link.call(partner.name, message, self._timeout_s)


def _batch(changes: list[Logged]) -> list[Logged]:
    """As many of the changes as fit into one message, but at least one."""
    size = 0
    for index, change in enumerate(changes):
        size += len(change.body)
        if size > BATCH_BYTES and index:
            return changes[:index]
    return changes
