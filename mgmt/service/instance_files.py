"""The files management writes into an instance home."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from mgmt.model.types import Instance, Model
from mgmt.service.connectables import client_ini
from mgmt.service.context import Management
from mgmt.transport.port import HostTransport
from protocol import instance_file
from protocol.errors import GridError
from protocol.instance_file import InstanceSettings
from protocol.logins import LOGIN_FILE, Logins, own_login

_PARALLEL_MAX = 10


async def push_secrets(
    transport: HostTransport, home: str, own: InstanceSettings, known: Logins | None = None
) -> None:
    """The grid secret, and logins and certificate for the membership servers if there are any, for
    the instance administrator's eyes only. `known`: other logins than this instance has."""
    secrets = {instance_file.SECRET_FILE: own.secret()}
    known = known or own.membership_logins()()
    if known == Logins(own_login(own.secret())):
        await transport.remove_file(f"{home}/{LOGIN_FILE}")
    else:
        secrets[LOGIN_FILE] = known.text()
    if own.membership_tls():
        await transport.make_dir(f"{home}/{instance_file.CERTIFICATES}", mode=0o700)
        for file in (instance_file.MEMBERSHIP_ROOT_FILE, instance_file.MEMBERSHIP_PEM_FILE):
            secrets[file] = own.path(file).read_text(encoding="ascii")
    for file, text in secrets.items():
        if await transport.read_file(f"{home}/{file}") != text.encode():
            await transport.put_file(f"{home}/{file}", text.encode(), mode=0o600)


async def push_secrets_to(
    management: Management, instances: Iterable[Instance], known: Logins | None = None
) -> list[str]:
    """The same to instances of the model in force, some at once; what was in the way, per instance
    that did not get them."""
    model = management.models.current()
    gate = asyncio.Semaphore(_PARALLEL_MAX)

    async def push(instance: Instance) -> str:
        host = model.host(instance.host)
        assert host is not None, "an instance stands below its host"
        async with gate:
            try:
                transport = management.transports.to(host)
                await push_secrets(transport, instance.home, management.settings, known)
            except GridError as error:
                return f"{instance.full_name}: {error.message}"
        return ""

    return [problem for problem in await asyncio.gather(*map(push, instances)) if problem]


async def push_token(transport: HostTransport, home: str, token: str) -> None:
    """The API's token, the same for both management instances; for the administrator only."""
    path = f"{home}/{instance_file.TOKEN_FILE}"
    if await transport.read_file(path) != token.encode():
        await transport.put_file(path, token.encode(), mode=0o600)


async def push_settings(
    management: Management,
    transport: HostTransport,
    model: Model,
    instance: Instance,
    document: str,
) -> None:
    """instance.toml, membership.conf, the model, and the file for clients."""
    settings = settings_of(management, model, instance)
    conf = f"{instance.home}/conf"
    servers = ",".join(model.membership_servers)
    files = {
        f"{instance.home}/{instance_file.INSTANCE_FILE}": instance_file.render(settings),
        f"{instance.home}/{instance_file.MEMBERSHIP_FILE}": f"Servers {servers}\n",
        f"{instance.home}/{instance_file.MODEL_FILE}": document,
        f"{conf}/sys.odbc.ini": client_ini(model, management.software),
    }
    await _link_programs(transport, settings)
    for path, text in files.items():
        if await transport.read_file(path) != text.encode():
            await transport.put_file(path, text.encode())


async def _link_programs(transport: HostTransport, settings: InstanceSettings) -> None:
    """Another installation than before: the next start is from there."""
    home, installation = settings.home, settings.installation
    old = await transport.read_file(f"{home}/{instance_file.INSTANCE_FILE}")
    if old is None or instance_file.parse(old.decode()).installation == installation:
        return
    if await transport.exists(f"{installation}/bin/ttDaemonAdmin"):
        await transport.make_link(installation, f"{home}/install")


def settings_of(management: Management, model: Model, instance: Instance) -> InstanceSettings:
    """What an instance's daemon has to know."""
    host = model.host(instance.host)
    installation = model.installation(instance.host, instance.installation)
    assert host is not None
    assert installation is not None
    own = management.settings
    servers = tuple(address_port(server) for server in model.membership_servers)
    return InstanceSettings(
        name=instance.full_name,
        kind=instance.kind,
        home=instance.home,
        grid=own.grid,
        grid_id=own.grid_id,
        host=host.name,
        internal_address=host.internal_address,
        external_address=host.external_address,
        daemon_port=instance.daemon_port,
        cs_port=instance.cs_port,
        mgmt_port=instance.mgmt_port,
        data_space_group=host.data_space_group,
        internal_encryption=own.internal_encryption,
        server_encryption=management.models.grid.server_encryption,
        installation=installation.path,
        membership=msgspec.structs.replace(own.membership, servers=servers),
    )


def address_port(server: str) -> str:
    """ "host!port" of the membership file as "host:port"; IPv6 addresses in brackets."""
    address, _, port = server.rpartition("!")
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
