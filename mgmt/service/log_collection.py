"""gridLogCollect: the logs of all instances, copied into a collection of a repository.

Only what instances log is taken (`<home>/diag`), which never holds secrets; no configuration, no
keys, no data.
"""

from __future__ import annotations

import time

import structlog
import xxhash

from mgmt.api import schema
from mgmt.api import schema_backups as requests
from mgmt.model import collections
from mgmt.model.collections import LOGS, CollectionFile, Manifest, ManifestFile
from mgmt.model.types import Host, Instance
from mgmt.ops.runner import Progress
from mgmt.service.context import Management
from mgmt.service.data_jobs import together
from mgmt.service.repositories import Depot, Repositories
from mgmt.transport.port import HostTransport
from protocol.errors import DuplicateModelObjectError, GridError, OperationError
from protocol.limits import MIB

log = structlog.get_logger(__name__)
PIECE_BYTES = 2 * MIB


async def collect(
    management: Management, request: requests.GridLogCollect, progress: Progress
) -> schema.Done:
    """The command. Instances whose host does not answer are named and passed over."""
    repositories = Repositories(management)
    depot = repositories.depot(repositories.get(request.repository))
    now_us = management.clock.wall_us()
    name = request.collection or time.strftime("L%Y%m%d%H%M%S", time.localtime(now_us / 1_000_000))
    collections.check_name(name, "collection")
    await depot.check()
    if await depot.has(name):
        raise DuplicateModelObjectError(
            f"repository {depot.repository.name} has a collection {name} already",
            hint="Choose another name.",
        )
    header = CollectionFile(
        format=collections.FORMAT,
        kind=LOGS,
        name=name,
        database="",
        grid=management.models.grid.name,
        started_us=now_us,
    )
    await depot.begin(header)
    model = management.models.current()
    found = [(i, host) for i in model.instances if (host := model.host(i.host)) is not None]
    results = await together(
        {at: _of_instance(management, depot, name, i, h) for at, (i, h) in enumerate(found)}
    )
    for at, result in results.items():
        if isinstance(result, GridError):
            await progress(
                "line", f"Warning: no logs of {found[at][0].full_name}: {result.message}"
            )
    files = [f for result in results.values() if isinstance(result, list) for f in result]
    await depot.finish(_manifest(management, header, files))
    line = f"Logs copied to collection {name} in repository {depot.repository.name}"
    return schema.Done(messages=(line,))


async def _of_instance(
    management: Management, depot: Depot, name: str, instance: Instance, host: Host
) -> list[ManifestFile] | GridError:
    try:
        source = management.transports.to(host)
        folder = f"{instance.home}/diag"
        found = await source.run(
            ["find", folder, "-maxdepth", "1", "-type", "f", "-printf", "%s %f\\n"]
        )
        if found.rc:
            return OperationError(found.output.strip())
        target = depot.repository.folder(name) + "/" + instance.full_name
        await depot.transport.make_dir(target, mode=0o700)
        files = []
        for line in found.output.splitlines():
            size, _, file = line.partition(" ")
            facts = await _copied(
                source, f"{folder}/{file}", depot.transport, f"{target}/{file}", int(size)
            )
            files.append(
                ManifestFile(
                    path=f"{instance.full_name}/{file}",
                    size=facts[0],
                    raw_size=facts[0],
                    checksum=facts[1],
                    packed=False,
                )
            )
    except GridError as error:
        log.warning("logs.not_collected", instance=instance.full_name, error=error.message)
        return error
    return files


async def _copied(
    source: HostTransport, path: str, target: HostTransport, copy: str, size: int
) -> tuple[int, str]:
    """Copy the first `size` bytes, fewer if the file was begun anew; bytes and checksum."""
    checksum, offset = xxhash.xxh3_128(), 0
    await target.write_at(copy, 0, b"")
    while offset < size:
        try:
            data = await source.read_part(path, offset, min(PIECE_BYTES, size - offset))
        except OperationError:  # rotated away meanwhile
            break
        if not data:
            break
        await target.write_at(copy, offset, data)
        checksum.update(data)
        offset += len(data)
    return offset, checksum.hexdigest()


def _manifest(
    management: Management, header: CollectionFile, files: list[ManifestFile]
) -> Manifest:
    return Manifest(
        format=collections.FORMAT,
        kind=LOGS,
        name=header.name,
        grid=header.grid,
        database="",
        database_id="",
        k=management.models.grid.k,
        epoch=0,
        started_us=header.started_us,
        finished_us=management.clock.wall_us(),
        release=management.software,
        map_version=0,
        ranges=(),
        versions=(),
        sets=(),
        files=tuple(files),
    )
