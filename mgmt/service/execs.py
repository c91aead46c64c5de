"""hostExec, installationExec, instanceExec: a command at many places, some at a time."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from msgspec.structs import replace

from mgmt.api import schema
from mgmt.model.names import host_of
from mgmt.model.types import Host, Model
from mgmt.service.context import Management
from protocol.errors import GridError, UnknownModelObjectError

SCRIPT_FAILED_RC = 255  # the transport itself failed


class Place(NamedTuple):
    """Where a command runs."""

    name: str
    host: Host
    prefix: tuple[str, ...]
    environment: dict[str, str]
    scratch: str  # directory for a script


async def execute(management: Management, request: schema.Execute) -> schema.ExecuteReply:
    """Run it everywhere; rc is the first one that is not 0, in the order of the places."""
    model = management.models.current()
    places = _places(management, model, request)
    if not places:
        raise UnknownModelObjectError(
            "no place fits: nothing was run",
            hint="Only what modelApply put in force counts; see instanceList -current.",
        )
    gate = asyncio.Semaphore(max(1, request.parallel))

    async def one(place: Place) -> schema.ExecuteResult:
        async with gate:
            return await _run(management, place, request)

    results = await asyncio.gather(*(one(place) for place in places))
    rc = next((result.rc for result in results if result.rc), 0)
    return schema.ExecuteReply(rc=rc, results=tuple(results))


async def _run(
    management: Management, place: Place, request: schema.Execute
) -> schema.ExecuteResult:
    transport = management.transports.to(place.host)
    script = ""
    try:
        command = request.command
        if request.script:
            script = f"{place.scratch}/exec-{management.clock.wall_us()}-{place.name}.sh"
            await transport.put_file(script, request.script.encode(), mode=0o700)
            command = (script, *command)
        result = await transport.run([*place.prefix, *command], environment=place.environment)
        if script:
            await transport.remove_file(script)
    except GridError as error:
        return schema.ExecuteResult(name=place.name, rc=SCRIPT_FAILED_RC, output=error.message)
    return schema.ExecuteResult(name=place.name, rc=result.rc, output=result.output)


def _places(management: Management, model: Model, request: schema.Execute) -> list[Place]:
    places = _all_places(management, model, request)
    everywhere = _all_places(management, model, replace(request, kind="all", up_only=False))
    for address in (*request.only, *request.exclude):
        host_of(model, address.partition(".")[0])
        if "." in address and not any(_covers(address, place.name) for place in everywhere):
            raise UnknownModelObjectError(
                f"{request.scope} {address} does not exist in the current model: nothing was run",
                hint=f"ttGridAdmin {request.scope}List -current shows what there is.",
            )
    only, exclude = request.only, request.exclude
    return [
        place
        for place in places
        if (not only or any(_covers(address, place.name) for address in only))
        and not any(_covers(address, place.name) for address in exclude)
    ]


def _covers(address: str, name: str) -> bool:
    """Whether HOST or HOST.NAME points at the place."""
    return address == name or address == name.partition(".")[0]


def _all_places(management: Management, model: Model, request: schema.Execute) -> list[Place]:
    if request.scope == "host":
        return [Place(host.name, host, (), {}, "/tmp") for host in model.hosts]
    hosts = {host.name: host for host in model.hosts}
    if request.scope == "installation":
        return [
            Place(
                f"{i.host}.{i.name}",
                hosts[i.host],
                ("env", f"PATH={i.path}/bin:/usr/local/bin:/usr/bin:/bin"),
                {},
                "/tmp",
            )
            for i in model.installations
        ]
    members = management.membership.view().instances if management.membership else {}
    return [
        Place(
            i.full_name,
            hosts[i.host],
            (f"{i.home}/bin/ttenv",),
            {"TIMESTEN_HOME": i.home},
            f"{i.home}/info",
        )
        for i in model.instances
        if request.kind in ("all", i.kind) and (not request.up_only or i.full_name in members)
    ]
