"""One database on this instance, as its sessions see it: catalog, plans, routes, sequences.

Everything here runs on the event loop. What depends on the schema version is made anew when the
element's catalog has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from data.catalog.catalog import Catalog
from data.catalog.objects import Sequence
from data.exec.blocks import compiled_block
from data.exec.catalog_answers import CatalogAnswers
from data.exec.compiling import INLINE_CHARS_MAX, CompileProcess
from data.exec.copy_reads import CopyReads
from data.exec.instance_views import Counts
from data.exec.logins import AccountLocks, Logins
from data.exec.placement import PlacementCache
from data.exec.prepared import (
    Key,
    PreparedStatement,
    cache_key,
    compile_statement,
    normalised_statement,
)
from data.exec.router import LocalServer, Router
from data.exec.rows import RowKeys
from data.exec.sequences import Sequences
from data.exec.shard import Shard
from data.exec.units import Units
from data.plsql.compiler import CompiledBlock
from data.sql.compiler import Compiler
from data.sql.plan_types import DdlText
from data.storage.element import Element
from data.storage.scratch import SIZE_MB_MAX, Scratch, connect_scratch
from data.storage.spool import PieceFile
from data.storage.temporary import TemporaryTables
from data.txn.facts import FactsCache
from data.txn.isolation import Isolation
from data.txn.manager import TransactionManager
from membership.port import Membership
from protocol import trace
from protocol.errors import InternalError
from protocol.limits import CLIENT_CONNECTIONS_MAX, MIB
from protocol.messages.sql import TakeSequence
from protocol.metrics import DatabaseMeters
from protocol.rpc.node import RpcNode
from protocol.sqltypes import SqlType, StorageValue

STATEMENTS_MAX = 4000  # cached plans per database; beyond, the oldest go
STATEMENT_CHARS_CACHED = 4 * MIB  # of all texts together
LOCK_WAIT_MS = 10_000
SCRATCH_CACHE_MB = 64  # of one statement's temporary tables; beyond, they spill to disk
SEQUENCE_LOCK_WAIT_MS = 10_000
FINISHING_S = 2.0  # for answers to background work, when the database is unloaded


class Coordination:
    """What the sessions of one database share."""

    def __init__(
        self,
        element: Element,
        shard: Shard,
        rpc: RpcNode,
        membership: Membership,
        server: LocalServer,
        incarnation: str,
        scratch_dir: Path,
    ) -> None:
        identity = element.identity
        self.name = identity.database
        self.element = element
        self.shard = shard
        self.copy_reads = CopyReads(element, shard.lease)
        self.router = Router(self.name, identity.instance, rpc, membership, server)
        self.manager = TransactionManager(self.name, identity.element, incarnation, self.router)
        self.sequences = Sequences(self._take)
        self.row_keys = RowKeys(identity.element)
        self.membership = membership
        self.is_open = False
        self.sessions = 0
        self.counts = Counts()
        self.meters = DatabaseMeters()
        self.connections_max = CLIENT_CONNECTIONS_MAX  # sessions here, then users are refused
        self.lock_wait_ms = LOCK_WAIT_MS  # of sessions that do not set their own
        self.aborts_on_error = False  # the same: AbortOnError
        self.statement_timeout_s = 0.0  # the same: SQLQueryTimeout, 0 for none
        self.optimizer_hint = ""  # the same
        self.temp_size_mb = SIZE_MB_MAX  # of what one statement gathers
        self.epoch_at_commit = False  # the same: CreateEpochAtCommit
        self.epoch_at_ddl = False  # DDL is on all disks before it is answered, as in TimesTen
        self.make_epoch: Callable[[], Awaitable[int]]  # set by data/database.py
        self.isolation = Isolation.READ_COMMITTED  # the same
        self.background: set[asyncio.Task[None]] = set()
        self._statement_chars = 0  # of their texts
        self._scratch_dir = scratch_dir
        self.files_folder: Path  # of UTL_FILE, set by data/instance.py
        self.compile_process = CompileProcess()
        self.expressions = Scratch(None, 2)  # evaluates expressions without tables
        self._statements: dict[Key, PreparedStatement] = {}
        self.catalog_queries = CatalogAnswers(self)
        self.units = Units(self)
        self.logins = Logins(self, AccountLocks(self).lock)
        self._catalog_changed(element.catalog)
        element.on_catalog(self._catalog_changed)

    def _catalog_changed(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.compiler = Compiler(catalog)
        self.facts = FactsCache(catalog)
        self.placement = PlacementCache(catalog)
        self._sequences = {s.id: s for s in catalog.sequences()}
        self._statements.clear()
        self._statement_chars = 0

    @property
    def schema_version(self) -> int:
        """Of the catalog that statements are compiled against now."""
        return self.catalog.version

    def new_scratch(self) -> Scratch:
        """Temporary tables for one statement; the caller closes it."""
        return Scratch(self._scratch_dir, SCRATCH_CACHE_MB, self.temp_size_mb)

    def new_temporary(self) -> TemporaryTables:
        """The temporary tables of one session; the caller closes them."""
        folder, size_mb = self._scratch_dir, self.temp_size_mb
        return TemporaryTables(lambda: connect_scratch(folder, SCRATCH_CACHE_MB, size_mb))

    def new_pieces(self) -> PieceFile:
        """Room for what one statement finds, beyond what memory should hold."""
        return PieceFile(self._scratch_dir)

    def evaluate(self, sql: str, params: tuple[StorageValue, ...]) -> StorageValue:
        """The one value of a SELECT without tables, with all SQL functions."""
        rows = self.expressions.query(sql, params)
        return rows[0][0] if rows else None

    # -- plans -------------------------------------------------------------------------------------
    def prepare(
        self, sql: str, param_types: tuple[SqlType | None, ...], schema: str, user: str
    ) -> PreparedStatement:
        """A statement ready to run, from the cache if it was seen before. Raises GridError."""
        if trace.steps.listener is not None:
            trace.step("data/exec/coordination.py")
        key = cache_key(sql, param_types, schema, user)
        found = self._statements.get(key)
        if found is not None:
            return found
        if not param_types:
            bound = normalised_statement(self, sql, schema, user)
            if bound is not None:
                return bound
        statement = compile_statement(self, sql, param_types, schema, user)
        if not isinstance(
            statement.compiled.plan, DdlText
        ):  # seldom twice, and may hold a password
            self.remember(key, statement)
        return statement

    def compile_block(self, text: str, schema: str, user: str, is_call: bool) -> CompiledBlock:
        """A PL/SQL block against the present catalog. Raises GridError."""
        return compiled_block(self, text, schema, user, is_call)

    def is_long(
        self, sql: str, param_types: tuple[SqlType | None, ...], schema: str, user: str
    ) -> bool:
        """True: `prepare_elsewhere` has to be used."""
        if len(sql) <= INLINE_CHARS_MAX:
            return False
        return cache_key(sql, param_types, schema, user) not in self._statements

    async def prepare_elsewhere(
        self, sql: str, param_types: tuple[SqlType | None, ...], schema: str, user: str
    ) -> PreparedStatement:
        """`prepare` for a long text: it is compiled in another process. Raises GridError."""
        while True:
            catalog = self.catalog
            compiled = await self.compile_process.compile(catalog, sql, param_types, schema, user)
            if catalog is self.catalog:
                break
        statement = compile_statement(self, sql, param_types, schema, user, compiled)
        if not isinstance(statement.compiled.plan, DdlText):
            self.remember(cache_key(sql, param_types, schema, user), statement)
        return statement

    @property
    def cached_statements(self) -> int:
        """How many."""
        return len(self._statements)

    def statements(self) -> list[tuple[Key, PreparedStatement]]:
        """All of the cache, oldest first."""
        return list(self._statements.items())

    def cached(self, key: Key) -> PreparedStatement | None:
        """A statement of the cache."""
        return self._statements.get(key)

    def remember(self, key: Key, statement: PreparedStatement) -> None:
        """Keep a compiled statement as long as there is room and the schema stays."""
        cached = self._statements
        if cached.pop(key, None) is None:
            self._statement_chars += len(key[0])
        while cached and (
            len(cached) >= STATEMENTS_MAX or self._statement_chars > STATEMENT_CHARS_CACHED
        ):
            oldest = next(iter(cached))
            self._statement_chars -= len(oldest[0])
            del cached[oldest]
        cached[key] = statement

    # -- sequences ---------------------------------------------------------------------------------
    def sequence(self, sequence_id: int) -> Sequence:
        """A sequence by id."""
        found = self._sequences.get(sequence_id)
        if found is None:
            raise InternalError(
                f"no sequence {sequence_id} in schema version {self.schema_version}"
            )
        return found

    async def _take(self, sequence: Sequence, count: int) -> int:
        """Take numbers from the replica set that keeps all sequences."""
        self.router.need_map()
        rs = self.router.buckets[0]  # all rows of sequences are in bucket 0
        step = TakeSequence(sequence.id, sequence.start, sequence.increment, count)
        while True:
            ran = await self.manager.run_autocommit(
                rs, (step,), self.schema_version, SEQUENCE_LOCK_WAIT_MS, bucket=0
            )
            if ran.rows:  # else they were taken, and which ones was lost with the answer: a gap
                return int(ran.rows[0][0] or 0)

    async def close(self) -> None:
        """End background work of the coordinator."""
        self.logins.close()
        working = list(self.background)
        for task in working:
            task.cancel()
        if working:  # to the end of what must not be left half done, if a lead answers
            await asyncio.wait(working, timeout=FINISHING_S)
        await self.manager.close()
        await asyncio.gather(*working, return_exceptions=True)
        await self.compile_process.close()
        await self.expressions.close()
        self.catalog_queries.close()
