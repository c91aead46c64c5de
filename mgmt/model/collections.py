"""Repositories and what is in them: the files management writes there, as frozen values. Pure.

A repository is a folder `<path>/<name>` with `repository.json` in it. A collection is a folder of
it: a backup or an export. `collection.json` is written first and says what is being made,
`manifest.json` last: a collection without it is incomplete, whatever else is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec
import xxhash

from protocol.errors import CollectionError, ParameterError
from protocol.limits import BUCKET_COUNT
from protocol.messages.backup import FileFacts, SetFacts
from protocol.topology import BucketRange, DistributionMap

FORMAT = 1
REPOSITORY_FILE = "repository.json"
COLLECTION_FILE = "collection.json"
MANIFEST_FILE = "manifest.json"
MOUNT, SCP = "mount", "scp"
BACKUP, EXPORT, LOGS = "backup", "export", "logs"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_encode = msgspec.json.Encoder().encode
_T = TypeVar("_T")


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository that this grid knows."""

    name: str
    method: str
    path: str  # the folder above it
    address: str = ""  # scp: its host
    attached_us: int = 0

    @property
    def root(self) -> str:
        """Its own folder."""
        return f"{self.path.rstrip('/')}/{self.name}"

    def folder(self, collection: str) -> str:
        """The folder of a collection."""
        return f"{self.root}/{collection}"


class RepositoryFile(msgspec.Struct, frozen=True, kw_only=True):
    """repository.json."""

    format: int
    name: str
    created_us: int


class CollectionFile(msgspec.Struct, frozen=True, kw_only=True):
    """collection.json."""

    format: int
    kind: str  # backup | export | logs
    name: str
    database: str
    grid: str
    started_us: int


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a collection; see FileFacts."""

    path: str
    size: int
    raw_size: int
    checksum: str
    packed: bool
    table: str = ""
    rows: int = 0
    columns: tuple[str, ...] = ()

    def facts(self) -> FileFacts:
        """As it goes to data instances."""
        return FileFacts(*(getattr(self, name) for name in FileFacts.__struct_fields__))


class ManifestSet(msgspec.Struct, frozen=True, kw_only=True):
    """One replica set; see SetFacts."""

    rs: int
    element: int
    instance: str
    term: int
    lsn: int
    schema: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifest.json: what a complete collection holds."""

    format: int
    kind: str
    name: str
    grid: str
    database: str
    database_id: str
    k: int
    epoch: int  # the one instant of all replica sets
    started_us: int
    finished_us: int
    release: str
    map_version: int
    ranges: tuple[BucketRange, ...]
    versions: tuple[tuple[int, int], ...]  # of the ownership of buckets, as in the map
    sets: tuple[ManifestSet, ...]
    files: tuple[ManifestFile, ...]

    def file(self, path: str) -> ManifestFile:
        """One of its files. Raises CollectionError."""
        found = next((f for f in self.files if f.path == path), None)
        if found is None:
            raise CollectionError(f"the manifest of {self.kind} {self.name} lacks {path}")
        return found

    @property
    def rows(self) -> int:
        """Of an export."""
        return sum(f.rows for f in self.files)


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest with the checksum of its compact form."""

    checksum: str
    manifest: Manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """The text of manifest.json."""
    checksum = xxhash.xxh3_128(_encode(manifest)).hexdigest()
    return msgspec.json.format(_encode(_Sealed(checksum=checksum, manifest=manifest))) + b"\n"


def decode_manifest(text: bytes, where: str) -> Manifest:
    """The reverse. Raises CollectionError."""
    sealed = decode(text, _Sealed, where)
    if xxhash.xxh3_128(_encode(sealed.manifest)).hexdigest() != sealed.checksum:
        raise CollectionError(f"{where} is damaged: its checksum is wrong")
    if sealed.manifest.format != FORMAT:
        raise CollectionError(
            f"{where} has format {sealed.manifest.format}, this software knows {FORMAT}"
        )
    return sealed.manifest


def encode(value: msgspec.Struct) -> bytes:
    """The text of one of the small files."""
    return msgspec.json.format(_encode(value)) + b"\n"


def decode(text: bytes, kind: type[_T], where: str) -> _T:
    """The reverse. Raises CollectionError."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise CollectionError(f"{where} is damaged: {error}") from error


def check_name(name: str, what: str) -> None:
    """Raises ParameterError unless the text can name a repository or a collection."""
    if not _NAME.match(name):
        raise ParameterError(
            f"'{name}' cannot be the name of a {what}",
            hint="Names have up to 64 letters, digits, underscores, points and hyphens.",
        )


def check_files(manifest: Manifest, there: dict[str, int], folder: str) -> None:
    """All files are there and have their sizes. Raises CollectionError naming the first damage."""
    for file in manifest.files:
        size = there.get(file.path)
        if size is None:
            raise CollectionError(f"{folder}/{file.path} is missing")
        if size != file.size:
            raise CollectionError(
                f"{folder}/{file.path} is damaged: it has {size} bytes, {file.size} were written"
            )


def manifest_file(facts: FileFacts) -> ManifestFile:
    """As it stands in the manifest."""
    return ManifestFile(**msgspec.structs.asdict(facts))


def manifest_set(facts: SetFacts) -> ManifestSet:
    """As it stands in the manifest."""
    return ManifestSet(
        rs=facts.rs,
        element=facts.element,
        instance=facts.instance,
        term=facts.term,
        lsn=facts.lsn,
        schema=facts.schema,
    )


def placement(
    map_: DistributionMap, sets: Iterable[SetFacts]
) -> tuple[tuple[BucketRange, ...], tuple[tuple[int, int], ...]]:
    """Whose the buckets were at the instant of the images, and the versions of that.

    As the images say; the map lags behind them, and is believed only as long as nothing ever moved.
    Raises CollectionError unless each bucket has exactly one owner.
    """
    facts = sorted(sets, key=lambda f: f.rs)
    if any(f.own_version < 0 for f in facts):
        ranges = tuple(r for r in map_.ranges if r.replica_set not in map_.idle)
        versions: tuple[tuple[int, int], ...] = ()
    else:
        found = [BucketRange(a, b, f.rs) for f in facts for a, b in f.owned]
        ranges = tuple(sorted(found, key=lambda r: r.first))
        versions = tuple((f.rs, f.own_version) for f in facts if f.own_version)
    following = 0
    for span in ranges:
        if span.first != following:
            raise CollectionError(f"bucket {following} has not exactly one owner")
        following = span.last + 1
    if following != BUCKET_COUNT:
        raise CollectionError(f"bucket {following} has no owner")
    return ranges, versions
