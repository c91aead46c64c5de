"""repositoryCreate, -Attach, -Detach, -List, and the way to what is in a repository."""

from __future__ import annotations

import msgspec

from mgmt.api import schema, schema_backups
from mgmt.model import collections
from mgmt.model.collections import (
    COLLECTION_FILE,
    MANIFEST_FILE,
    MOUNT,
    REPOSITORY_FILE,
    SCP,
    CollectionFile,
    Manifest,
    Repository,
    RepositoryFile,
)
from mgmt.model.names import check_address
from mgmt.model.store import Delete, Put
from mgmt.model.types import Host
from mgmt.ops.operation import State
from mgmt.service.context import Management
from mgmt.transport.port import HostTransport
from protocol.errors import (
    CollectionError,
    DuplicateModelObjectError,
    ModelError,
    ParameterError,
    UnknownModelObjectError,
)

KIND = "repository"  # of the store; the key is the name in lower case
_encode = msgspec.json.Encoder().encode


class Depot:
    """One repository: its files, on this host (mount) or another (scp)."""

    def __init__(self, repository: Repository, transport: HostTransport) -> None:
        self.repository = repository
        self.transport = transport

    # -- the repository itself
    async def make(self, now_us: int) -> None:
        """Make its folder. Raises ModelError, OperationError."""
        repository, transport = self.repository, self.transport
        if not await transport.exists(repository.path):
            raise ModelError(f"{repository.path} does not exist", hint="Make it, then try again.")
        if await transport.exists(f"{repository.root}/{REPOSITORY_FILE}"):
            raise DuplicateModelObjectError(
                f"there is a repository in {repository.root} already",
                hint="Use it: ttGridAdmin repositoryAttach.",
            )
        await transport.make_dir(repository.root, mode=0o700)
        file = RepositoryFile(format=collections.FORMAT, name=repository.name, created_us=now_us)
        await transport.put_file(
            f"{repository.root}/{REPOSITORY_FILE}", collections.encode(file), mode=0o600
        )

    async def check(self) -> None:
        """Raises CollectionError unless there is a repository of this name."""
        where = f"{self.repository.root}/{REPOSITORY_FILE}"
        text = await self.transport.read_file(where)
        if text is None:
            raise CollectionError(
                f"there is no repository in {self.repository.root}: {REPOSITORY_FILE} is missing",
                hint="Is the file system mounted?",
            )
        file = collections.decode(text, RepositoryFile, where)
        if file.format != collections.FORMAT or file.name != self.repository.name:
            raise CollectionError(f"{where} is that of repository {file.name}")

    async def contents(self) -> dict[str, bool]:
        """Names of collections; whether each is complete."""
        root = self.repository.root
        found = await self._find(root, ("-mindepth", "1", "-maxdepth", "2", "-printf", "%y %P\\n"))
        names = {line[2:]: False for line in found if line[0] == "d" and "/" not in line[2:]}
        for line in found:
            name, _, file = line[2:].partition("/")
            if file == MANIFEST_FILE and name in names:
                names[name] = True
        return dict(sorted(names.items()))

    async def _find(self, folder: str, words: tuple[str, ...]) -> list[str]:
        result = await self.transport.run(["find", folder, *words])
        if result.rc:
            raise CollectionError(f"cannot read {folder}: {result.output.strip()}")
        return result.output.splitlines()

    # -- a collection
    async def has(self, name: str) -> bool:
        """Whether there is anything of that name."""
        return await self.transport.exists(self.repository.folder(name))

    async def begin(self, file: CollectionFile) -> None:
        """Make the folder of a collection and say what it will be; files of a try before go."""
        folder = self.repository.folder(file.name)
        await self.remove(file.name)
        await self.transport.make_dir(folder, mode=0o700)
        await self.transport.put_file(
            f"{folder}/{COLLECTION_FILE}", collections.encode(file), mode=0o600
        )

    async def finish(self, manifest: Manifest) -> None:
        """Check that all files are there, then write the manifest: it is complete from then on."""
        collections.check_files(
            manifest, await self.sizes(manifest.name), self.repository.folder(manifest.name)
        )
        where = f"{self.repository.folder(manifest.name)}/{MANIFEST_FILE}"
        await self.transport.put_file(where, collections.encode_manifest(manifest), mode=0o600)

    async def sizes(self, name: str) -> dict[str, int]:
        """The files of a collection: path below it → bytes."""
        lines = await self._find(
            self.repository.folder(name), ("-type", "f", "-printf", "%s %P\\n")
        )
        return {path: int(size) for size, _, path in (line.partition(" ") for line in lines)}

    async def header(self, name: str) -> CollectionFile | None:
        """What a collection is; None: nobody knows."""
        where = f"{self.repository.folder(name)}/{COLLECTION_FILE}"
        text = await self.transport.read_file(where)
        try:
            return None if text is None else collections.decode(text, CollectionFile, where)
        except CollectionError:
            return None

    async def manifest(self, name: str, kind: str) -> Manifest:
        """What a complete collection holds, all its files there. Raises CollectionError."""
        folder = self.repository.folder(name)
        if not await self.has(name):
            raise UnknownModelObjectError(
                f"repository {self.repository.name} has no {kind} {name}",
                hint=f"ttGridAdmin repositoryList {self.repository.name} -contents",
            )
        text = await self.transport.read_file(f"{folder}/{MANIFEST_FILE}")
        if text is None:
            raise CollectionError(
                f"{kind} {name} is incomplete: {folder}/{MANIFEST_FILE} is missing"
            )
        manifest = collections.decode_manifest(text, f"{folder}/{MANIFEST_FILE}")
        if (manifest.kind, manifest.name) != (kind, name):
            raise CollectionError(
                f"{folder} holds {manifest.kind} {manifest.name}, not {kind} {name}"
            )
        collections.check_files(manifest, await self.sizes(name), folder)
        return manifest

    async def remove(self, name: str) -> None:
        """Remove a collection, its manifest first; nothing happens if there is none."""
        folder = self.repository.folder(name)
        await self.transport.remove_file(f"{folder}/{MANIFEST_FILE}")
        result = await self.transport.run(["rm", "-rf", "--", folder])
        if result.rc:
            raise CollectionError(f"cannot remove {folder}: {result.output.strip()}")


class Repositories:
    """The repositories this grid knows, and the commands on them."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def all(self) -> list[Repository]:
        """By name."""
        items = self._management.store.items(KIND)
        return [msgspec.json.decode(body, type=Repository) for _, body in items]

    def get(self, name: str) -> Repository:
        """The repository of that name. Raises UnknownModelObjectError."""
        body = self._management.store.get(KIND, name.lower())
        if body is None:
            raise UnknownModelObjectError(
                f"repository {name} does not exist",
                hint="ttGridAdmin repositoryList shows them; repositoryCreate or -Attach adds one.",
            )
        return msgspec.json.decode(body, type=Repository)

    def depot(self, repository: Repository) -> Depot:
        """The way to its files."""
        management = self._management
        if repository.method == SCP:
            host = Host(
                name=repository.address,
                guid="",
                internal_address=repository.address,
                external_address=repository.address,
            )
        else:
            own = management.settings.name.partition(".")[0]
            found = management.models.current().host(own) or management.models.latest().host(own)
            address = management.settings.internal_address
            host = found or Host(
                name=own, guid="", internal_address=address, external_address=address
            )
        return Depot(repository, management.transports.to(host))

    # -- commands
    async def create(self, request: schema_backups.RepositoryCreate) -> schema.Done:
        """repositoryCreate."""
        repository = self._checked(request)
        await self.depot(repository).make(self._management.clock.wall_us())
        self._put(repository)
        return schema.Done(messages=(f"Repository {repository.name} created",))

    async def attach(self, request: schema_backups.RepositoryAttach) -> schema.Done:
        """repositoryAttach."""
        repository = self._checked(request)
        await self.depot(repository).check()
        self._put(repository)
        return schema.Done(messages=(f"Repository {repository.name} attached",))

    def _checked(
        self, request: schema_backups.RepositoryCreate | schema_backups.RepositoryAttach
    ) -> Repository:
        collections.check_name(request.name, "repository")
        if self._management.store.get(KIND, request.name.lower()) is not None:
            raise DuplicateModelObjectError(f"repository {request.name} exists already")
        if request.method not in (MOUNT, SCP):
            raise ParameterError(f"-method {request.method}: use mount or scp")
        if not request.path.startswith("/"):
            raise ParameterError(f"-path {request.path}: an absolute path is needed")
        if request.method == SCP and not request.address:
            raise ParameterError("-method scp needs -address, the host of the repository")
        if request.method == SCP:
            check_address(request.address, "address")
        if request.method == MOUNT and request.address:
            raise ParameterError("-address is for -method scp")
        return Repository(
            name=request.name,
            method=request.method,
            path=request.path.rstrip("/") or "/",
            address=request.address,
            attached_us=self._management.clock.wall_us(),
        )

    def _put(self, repository: Repository) -> None:
        self._management.store.write(Put(KIND, repository.name.lower(), _encode(repository)))

    def detach(self, request: schema_backups.RepositoryDetach) -> schema.Done:
        """repositoryDetach: what is in it stays."""
        repository = self.get(request.name)
        for record in self._management.runner.list():
            used = any(s.body.get("repository") == repository.name for s in record.steps)
            if record.state is State.RUNNING and used:
                raise ModelError(
                    f"{record.kind} {record.subject} uses repository {repository.name}"
                    f" (operation {record.id})",
                    hint="Wait for it, or stop it with ttGridAdmin operationCancel.",
                )
        self._management.store.write(Delete(KIND, repository.name.lower()))
        return schema.Done(messages=(f"Repository {repository.name} detached",))

    async def listed(
        self, request: schema_backups.RepositoryList
    ) -> schema_backups.RepositoryListReply:
        """repositoryList."""
        chosen = [self.get(request.name)] if request.name else self.all()
        rows = []
        for repository in chosen:
            found: tuple[schema_backups.CollectionRow, ...] = ()
            if request.contents:
                found = await self._collections(self.depot(repository))
            rows.append(
                schema_backups.RepositoryRow(
                    name=repository.name,
                    method=repository.method,
                    path=repository.root,
                    address=repository.address,
                    collections=found,
                )
            )
        return schema_backups.RepositoryListReply(repositories=tuple(rows))

    async def _collections(self, depot: Depot) -> tuple[schema_backups.CollectionRow, ...]:
        rows = []
        for name, complete in (await depot.contents()).items():
            header = await depot.header(name)
            size = sum((await depot.sizes(name)).values())
            rows.append(
                schema_backups.CollectionRow(
                    name=name,
                    kind=header.kind if header else "unknown",
                    database=header.database if header else "",
                    grid=header.grid if header else "",
                    started_us=header.started_us if header else 0,
                    complete=complete,
                    size=size,
                )
            )
        return tuple(rows)
