"""gridCreate, gridDisplay, gridModify, gridClientExport."""

from __future__ import annotations

import getpass
import grp
import os
import secrets
from collections.abc import Awaitable, Callable

import msgspec

from mgmt.api import schema
from mgmt.api import schema_certificates as requests
from mgmt.certificates import new_authority
from mgmt.model.membership_file import parse_membership
from mgmt.model.names import check_name
from mgmt.model.store import Put
from mgmt.model.types import GridFacts, Host, Installation, Instance, Model
from mgmt.service import certificates, membership_login
from mgmt.service.connectables import client_ini, client_service
from mgmt.service.context import Management
from mgmt.service.hosts import check_addresses, new_guid
from mgmt.service.instance_files import address_port
from mgmt.service.placed import PlacedInstallation, PlacedInstance
from mgmt.transport.port import HostTransport
from protocol import instance_file
from protocol.errors import ModelError, ParameterError
from protocol.instance_file import InstanceSettings
from protocol.limits import K_MAX
from protocol.logins import LOGIN_FILE, Logins

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
    certificates.check_modes(request.internal_encryption, request.server_encryption)
    servers = parse_membership(request.membership)
    own = management.settings
    host = await _host(management, request)
    certificates.check_addresses(request.internal_encryption, {host.name: host.internal_address})
    settings = msgspec.structs.replace(
        own,
        name=f"{host.name}.{own.name}",
        host=host.name,
        grid=request.name,
        grid_id=secrets.token_hex(16),
        internal_encryption=request.internal_encryption,
        server_encryption=request.server_encryption,
        membership=instance_file.MembershipSettings(
            servers=tuple(address_port(server) for server in servers),
            session_timeout_s=request.session_timeout_s,
        ),
    )
    transport = management.transports.to(host)
    secret_path = str(settings.path(settings.secret_file))
    await transport.put_file(secret_path, secrets.token_hex(32).encode(), mode=0o600)
    await _keep_login(transport, settings, request)
    await _keep_certificate(transport, settings, request)
    model = _first_model(management, request, settings, host, servers)
    given = await _certify(management, model, settings)
    await join(settings)
    _write_model(management, request, settings, model, given)
    file = instance_file.render(settings).encode()
    await transport.put_file(str(settings.path(instance_file.INSTANCE_FILE)), file)
    messages = [f"Grid {request.name} created"]
    if request.internal_encryption == "off":
        messages.append(certificates.OFF_WARNING.format(grid=request.name))
    return schema.Done(messages=tuple(messages))


async def _keep_login(
    transport: HostTransport, settings: InstanceSettings, request: schema.GridCreate
) -> None:
    """User and password for the membership servers, if they were given."""
    path = str(settings.path(LOGIN_FILE))
    if not request.membership_user:
        await transport.remove_file(path)
        return
    login = membership_login.check(request.membership_user, request.membership_password)
    await transport.put_file(path, Logins(login).text().encode(), mode=0o600)


async def _keep_certificate(
    transport: HostTransport, settings: InstanceSettings, request: schema.GridCreate
) -> None:
    """What it takes to ask the membership servers by TLS, if it was given."""
    files = (
        (instance_file.MEMBERSHIP_ROOT_FILE, request.membership_root),
        (instance_file.MEMBERSHIP_PEM_FILE, request.membership_certificate),
    )
    if request.membership_certificate:
        folder = str(settings.path(instance_file.CERTIFICATES))
        await transport.make_dir(folder, mode=0o700)
    for file, text in files:
        path = str(settings.path(file))
        if text:
            await transport.put_file(path, text.encode(), mode=0o600)
        else:
            await transport.remove_file(path)


async def _certify(
    management: Management, model: Model, settings: InstanceSettings
) -> tuple[Put, ...]:
    """A new authority and this instance's certificates; what has to be written down of them."""
    now_us = management.clock.wall_us()
    authority = new_authority(settings.grid, now_us)
    instance = model.instances[0]
    present = await certificates.place(
        management.transports.to(model.hosts[0]),
        settings.home,
        settings.name,
        certificates.wanted(model, instance, settings.grid_id),
        authority,
        {},
        now_us=now_us,
    )
    return certificates.root_record(authority), *certificates.records(settings.name, present, {})


async def _host(management: Management, request: schema.GridCreate) -> Host:
    check_addresses(request)
    host = Host(
        name=request.host,
        guid=new_guid(),
        internal_address=request.internal_address,
        external_address=request.external_address,
    )
    name = host.name or await management.transports.to(host).host_name()
    check_name(name, "host")
    return msgspec.structs.replace(host, name=name)


def _first_model(
    management: Management,
    request: schema.GridCreate,
    settings: InstanceSettings,
    host: Host,
    servers: tuple[str, ...],
) -> Model:
    installation = Installation(
        host=host.name,
        name="installation1",
        guid=new_guid(),
        location=_following_host(settings.installation, host),
        release=management.software,
    )
    instance = Instance(
        host=host.name,
        name=settings.name.partition(".")[2],
        guid=new_guid(),
        kind="mgmt",
        installation=installation.name,
        location=_following_host(settings.home.rsplit("/", 1)[0], host),
        daemon_port=settings.daemon_port,
        cs_port=settings.cs_port,
        mgmt_port=request.mgmt_port,
    )
    return Model(
        data_space_groups=request.k,
        hosts=(host,),
        installations=(installation,),
        instances=(instance,),
        membership_servers=servers,
    )


def _write_model(
    management: Management,
    request: schema.GridCreate,
    settings: InstanceSettings,
    model: Model,
    given: tuple[Put, ...],
) -> None:
    (host,), (installation,), (instance,) = model.hosts, model.installations, model.instances
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
        internal_encryption=request.internal_encryption,
        server_encryption=request.server_encryption,
    )
    management.store.write(*given)
    management.models.create(grid, model)  # last: from here on the grid exists


def _following_host(location: str, host: Host) -> str:
    """A folder named after this host stands for the folder of that name on each host like it."""
    parts = location.split("/")
    return "/".join("!!HOST_NAME!!" if part == host.name else part for part in parts)


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
        mgmt_failover=grid.mgmt_failover,
        replace_after_s=grid.replace_after_s,
        model_latest=register.latest,
        model_current=register.current,
        seq=management.store.seq,
        internal_encryption=grid.internal_encryption,
        server_encryption=grid.server_encryption,
    )


async def modify(management: Management, request: schema.GridModify) -> schema.Done:
    """gridModify. Settings first: the membership login may take a while."""
    done = _modify(management, request)
    if not request.membership_user:
        return done
    await management.secured()
    login = await membership_login.change(
        management, request.membership_user, request.membership_password
    )
    return schema.Done(messages=(*done.messages, *login.messages))


def _modify(management: Management, request: schema.GridModify) -> schema.Done:
    changes = {
        field: value
        for field in (
            *("retain_days", "retain_versions", "warn_threshold_pct"),
            *("server_encryption", "mgmt_failover", "replace_after_s"),
        )
        if (value := getattr(request, field)) is not None
    }
    grid = msgspec.structs.replace(management.models.grid, **changes)
    if grid.mgmt_failover not in ("automatic", "manual"):
        raise ParameterError(f"-mgmtFailover {grid.mgmt_failover}: use automatic or manual")
    if grid.replace_after_s < 0:
        raise ParameterError("-replaceAfter wants a number of seconds, 0 for never")
    _check_limits(grid.retain_days, grid.retain_versions, grid.warn_threshold_pct)
    certificates.check_modes(grid.internal_encryption, grid.server_encryption)
    management.models.set_grid(grid)
    return schema.Done(messages=("Grid Definition modified.",))


def client_export(management: Management, request: schema.GridClientExport) -> schema.TextFile:
    """gridClientExport: of the model in force, for clients outside."""
    model = management.models.current()
    if request.form == "service":
        text = client_service(model, request, _ssl_lines(management, request.rootcert))
    else:
        text = client_ini(model, management.software)
    return schema.TextFile(text=text, messages=("Client configuration exported to {file}",))


def _ssl_lines(management: Management, rootcert: str) -> tuple[str, ...]:
    """What a service says about encryption."""
    mode = management.models.grid.server_encryption
    if rootcert and mode == "rejected":
        raise ModelError(
            "SQL clients of this grid are not encrypted",
            hint="ttGridAdmin gridModify -serverEncryption accepted, modelApply, restart.",
        )
    if rootcert:
        return "sslmode=verify-full", f"sslrootcert={rootcert}"
    return {"rejected": ("sslmode=disable",), "required": ("sslmode=require",)}.get(mode, ())


_README = """\
Files for clients of grid {grid}, to be unpacked into {location}:

root.crt         certificate of the grid's authority: clients check the servers with it
pg_service.conf  PostgreSQL services, one per connectable: PGSERVICEFILE={location}/pg_service.conf
sys.odbc.ini     the same servers in the form that TimesTen clients read

psql service={service}    checks the server's certificate and name (sslmode=verify-full)
"""


def client_export_all(
    management: Management, request: requests.ClientExportAll
) -> requests.ClientFilesReply:
    """gridClientExportAll."""
    model = management.models.current()
    location = request.location.rstrip("/") or "/"
    export = schema.GridClientExport(user=request.user, passfile=request.passfile)
    lines = _ssl_lines(management, f"{location}/root.crt")
    names = [c.name for c in model.connectables] or ["SERVICE"]
    files = {
        "root.crt": certificates.root_text(management).text,
        "pg_service.conf": client_service(model, export, lines),
        "sys.odbc.ini": client_ini(model, management.software),
        "README.txt": _README.format(
            grid=management.models.grid.name, location=location, service=names[0]
        ),
    }
    return requests.ClientFilesReply(
        files=tuple(requests.ClientFile(name, text) for name, text in files.items())
    )
