"""gridCreate, gridDisplay, gridModify, gridClientExport."""

from __future__ import annotations

import getpass
import grp
import os
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from mgmt.api import schema
from mgmt.model.membership_file import parse_membership
from mgmt.model.names import check_name
from mgmt.model.types import GridFacts, Host, Installation, Instance, Model
from mgmt.service.connectables import client_ini, client_service
from mgmt.service.context import Management
from mgmt.service.hosts import new_guid
from mgmt.service.instance_files import address_port
from mgmt.service.placed import PlacedInstallation, PlacedInstance
from protocol import instance_file
from protocol.errors import ModelError, ParameterError
from protocol.instance_file import InstanceSettings
from protocol.limits import K_MAX

Join = Callable[[InstanceSettings], Awaitable[None]]
# become the active management instance under these settings; raises GridError and leaves nothing


async def create(management: Management, request: schema.GridCreate, join: Join) -> schema.Done:
    """Make the grid: identity and secret, membership, model version 1; all or nothing."""
    if management.models.exists:
        raise ModelError(f"this instance belongs to grid {management.models.grid.name} already")
    check_name(request.name, "grid")
    if not 1 <= request.k <= K_MAX:
        raise ParameterError(f"-k {request.k}: the number of copies must be 1 to {K_MAX}")
    _check_limits(request.retain_days, request.retain_versions, request.warn_threshold_pct)
    servers = parse_membership(request.membership)
    own = management.settings
    host = await _host(management, request)
    settings = msgspec.structs.replace(
        own,
        name=f"{host.name}.{own.name}",
        host=host.name,
        grid=request.name,
        grid_id=secrets.token_hex(16),
        membership=instance_file.MembershipSettings(
            servers=tuple(address_port(server) for server in servers),
            session_timeout_s=request.session_timeout_s,
        ),
    )
    transport = management.transports.to(host)
    secret_path = str(settings.path(settings.secret_file))
    await transport.put_file(secret_path, secrets.token_hex(32).encode(), mode=0o600)
    await join(settings)
    _write_model(management, request, settings, host, servers)
    file = instance_file.render(settings).encode()
    await transport.put_file(str(settings.path(instance_file.INSTANCE_FILE)), file)
    return schema.Done(messages=(f"Grid {request.name} created",))


async def _host(management: Management, request: schema.GridCreate) -> Host:
    host = Host(
        name=request.host,
        guid=new_guid(),
        internal_address=request.internal_address,
        external_address=request.external_address,
    )
    name = host.name or await management.transports.to(host).host_name()
    check_name(name, "host")
    return msgspec.structs.replace(host, name=name)


def _write_model(
    management: Management,
    request: schema.GridCreate,
    settings: InstanceSettings,
    host: Host,
    servers: tuple[str, ...],
) -> None:
    installation = Installation(
        host=host.name,
        name="installation1",
        guid=new_guid(),
        location=settings.installation,
        release=management.software,
    )
    instance = Instance(
        host=host.name,
        name=settings.name.partition(".")[2],
        guid=new_guid(),
        kind="mgmt",
        installation=installation.name,
        location=settings.home.rsplit("/", 1)[0],
        daemon_port=settings.daemon_port,
        cs_port=settings.cs_port,
        mgmt_port=request.mgmt_port,
    )
    model = Model(
        data_space_groups=request.k,
        hosts=(host,),
        installations=(installation,),
        instances=(instance,),
        membership_servers=servers,
    )
    now_us = management.clock.wall_us()
    management.placed.put_installation(
        PlacedInstallation(
            host=host,
            name=installation.name,
            path=settings.installation,
            shared=True,  # it was there before the grid
            usable=True,
            when_us=now_us,
        )
    )
    management.placed.put_instance(
        PlacedInstance(
            host=host,
            instance=instance,
            home=settings.home,
            made_by_hand=True,
            created=True,
            started=True,
        )
    )
    group_id = os.getgid()
    grid = GridFacts(
        name=request.name,
        grid_id=settings.grid_id,
        k=request.k,
        created_us=now_us,
        release=management.software,
        admin_user=getpass.getuser(),
        admin_uid=os.getuid(),
        admin_group=_group_name(group_id),
        admin_gid=group_id,
        retain_days=request.retain_days,
        retain_versions=request.retain_versions,
        warn_threshold_pct=request.warn_threshold_pct,
    )
    management.models.create(grid, model)  # last: from here on the grid exists


def _group_name(group_id: int) -> str:
    try:
        return grp.getgrgid(group_id).gr_name
    except KeyError:
        return str(group_id)


def _check_limits(retain_days: int, retain_versions: int, warn_threshold_pct: int) -> None:
    if not 0 <= retain_days <= 100_000:
        raise ParameterError(f"-retainDays {retain_days}: 0 to 100000")
    if not 0 <= retain_versions <= 100_000:
        raise ParameterError(f"-retainVersions {retain_versions}: 0 to 100000")
    if not 0 <= warn_threshold_pct <= 100:
        raise ParameterError(f"-warnThresh {warn_threshold_pct}: 0 to 100")


def display(management: Management) -> schema.GridReply:
    """gridDisplay."""
    grid, register = management.models.grid, management.models.versions
    return schema.GridReply(
        name=grid.name,
        guid=grid.grid_id.upper(),
        created_us=grid.created_us,
        major_release=".".join(grid.release.split(".")[:2]),
        created_release=grid.release,
        k=grid.k,
        admin_user=grid.admin_user,
        admin_uid=grid.admin_uid,
        admin_group=grid.admin_group,
        admin_gid=grid.admin_gid,
        retain_days=grid.retain_days,
        retain_versions=grid.retain_versions,
        warn_threshold_pct=grid.warn_threshold_pct,
        model_latest=register.latest,
        model_current=register.current,
        seq=management.store.seq,
    )


def modify(management: Management, request: schema.GridModify) -> schema.Done:
    """gridModify."""
    changes = {
        field: value
        for field in ("retain_days", "retain_versions", "warn_threshold_pct")
        if (value := getattr(request, field)) is not None
    }
    grid = msgspec.structs.replace(management.models.grid, **changes)
    _check_limits(grid.retain_days, grid.retain_versions, grid.warn_threshold_pct)
    management.models.set_grid(grid)
    return schema.Done(messages=("Grid Definition modified.",))


def client_export(management: Management, request: schema.GridClientExport) -> schema.TextFile:
    """gridClientExport: of the model in force, for clients outside."""
    model = management.models.current()
    if request.form == "service":
        text = client_service(model, request)
    else:
        text = client_ini(model, management.software)
    return schema.TextFile(text=text, messages=("Client configuration exported to {file}",))
