"""Certificates of the grid: made by gridCreate, given out by modelApply, listed and renewed.

The authority's key stays in the management store. An instance's key is made here, goes to its home
in one file with its certificate and is kept nowhere else.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import structlog

from mgmt import certificates
from mgmt.api import schema
from mgmt.api import schema_certificates as requests
from mgmt.certificates import About, Authority
from mgmt.model.names import instance_at
from mgmt.model.store import Delete, Put, Store
from mgmt.model.types import GridFacts, Instance, Model
from mgmt.service import membership_access
from mgmt.service.context import Management
from mgmt.transport.port import HostTransport
from protocol import tls
from protocol.errors import GridError, ModelError, OperationError, ParameterError
from protocol.tls import CertifiedName

log = structlog.get_logger()
KIND = "certificate"  # of the store's objects
ROOT = "rootWallet"
INSTANCE = "instanceWallet"
SERVER = "serverWallet"
_PARALLEL_MAX = 10
_DAY_US = 86_400 * 1_000_000
LOOK_AGAIN_S = 6 * 3600.0

INTERNAL_MODES = ("required", "off")
SERVER_MODES = ("accepted", "rejected", "requested", "required")
FINISH = "Then: ttGridAdmin certificateRenew -newKey finish"
OFF_WARNING = (
    "Warning: -internalEncryption off: instances of grid {grid} talk in clear text and prove"
    " themselves by the grid's secret only. This is allowed on loopback addresses alone."
)


def cleartext_warning(internal: str, server: str) -> str:
    """What every status says of a grid whose internal network is not encrypted; "" if it is."""
    if internal != "off":
        return ""
    clients = ", nor are SQL clients (-serverEncryption rejected)" if server == "rejected" else ""
    return f"Warning: the internal network is not encrypted (-internalEncryption off){clients}"


class Wanted(NamedTuple):
    """One certificate that belongs into an instance home."""

    wallet: str
    file: str  # below the home
    internal: CertifiedName | None
    names: tuple[str, ...]


def install(management: Management) -> None:
    """Renew by itself what is about to expire, while this is the active instance."""

    async def keep_fresh() -> None:
        while True:
            await renew_near_ends(management)
            await asyncio.sleep(LOOK_AGAIN_S)

    management.while_active.append(keep_fresh)


# -- checks ---------------------------------------------------------------------------------------
def check_modes(internal: str, server: str) -> None:
    """Raises ParameterError for a word that is none of the modes."""
    if internal not in INTERNAL_MODES:
        raise ParameterError(f"-internalEncryption {internal}: {' or '.join(INTERNAL_MODES)}")
    if server not in SERVER_MODES:
        raise ParameterError(f"-serverEncryption {server}: {', '.join(SERVER_MODES)}")


def check_addresses(internal_encryption: str, addresses: Mapping[str, str]) -> None:
    """Cleartext never leaves a machine. addresses: host → internal address. Raises ModelError."""
    if internal_encryption == "required":
        return
    for host, address in addresses.items():
        if not _is_loopback(address):
            raise ModelError(
                f"the internal network is not encrypted: {address} of host {host} is no loopback"
                " address",
                hint="Create the grid with -internalEncryption required (the default).",
            )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


# -- giving out -----------------------------------------------------------------------------------
def wanted(model: Model, instance: Instance, grid_id: str) -> tuple[Wanted, ...]:
    """What an instance needs, as the model has it."""
    host = model.host(instance.host)
    assert host is not None, "an instance stands below its host"
    own = CertifiedName(grid_id, instance.kind, instance.full_name)
    names = dict.fromkeys((host.external_address, host.internal_address, host.name))
    if instance.kind == "data":  # clients come from the external network only
        names = dict.fromkeys((host.external_address, host.name))
    return (
        Wanted(INSTANCE, tls.INSTANCE_FILE, own, ()),
        Wanted(SERVER, tls.SERVER_FILE, None, tuple(n for n in names if n)),
    )


async def place(
    transport: HostTransport,
    home: str,
    holder: str,
    needs: tuple[Wanted, ...],
    authority: Authority,
    known: Mapping[str, About],
    *,
    now_us: int,
    days: int = certificates.DAYS,
    renew: bool = False,
) -> dict[str, About]:
    """Put the authority's certificate and what is missing into a home; what is there afterwards.

    known: what was given out before, by wallet; it stays if its file does and nothing changed.
    """
    await transport.make_dir(f"{home}/{tls.FOLDER}", mode=0o700)
    root = f"{home}/{tls.ROOT_FILE}"
    if await transport.read_file(root) != authority.certificates.encode():
        await transport.put_file(root, authority.certificates.encode())
    present = {}
    for need in needs:
        before = known.get(need.wallet)
        fresh = before is not None and before.not_after_us - now_us > tls.WARN_DAYS * _DAY_US
        if (
            renew
            or before is None
            or not fresh
            or before.names != _names(need)
            or not certificates.signed_by(authority, before)
            or await _file_differs(transport, f"{home}/{need.file}", before)
        ):
            issued = certificates.issue(
                authority,
                holder,
                now_us=now_us,
                internal=need.internal,
                names=need.names,
                days=days,
            )
            before = issued.about
            path = f"{home}/{need.file}"
            await transport.put_file(path, issued.pem.encode(), mode=0o600)
            # What it is, without the key: so that nobody has to read the key to know it.
            await transport.put_file(f"{path}.id", before.fingerprint.encode())
        present[need.wallet] = before
    return present


def _names(need: Wanted) -> tuple[str, ...]:
    return (need.internal.uri(),) if need.internal is not None else need.names


async def _file_differs(transport: HostTransport, path: str, about: About) -> bool:
    if not await transport.exists(path):
        return True
    return await transport.read_file(f"{path}.id") != about.fingerprint.encode()


async def provide(management: Management, model: Model, instance: Instance) -> None:
    """modelApply: everything an instance of the model needs."""
    await _provide(management, model, instance, certificates.DAYS, renew=False)


async def _provide(
    management: Management, model: Model, instance: Instance, days: int, *, renew: bool
) -> None:
    host = model.host(instance.host)
    assert host is not None, "an instance stands below its host"
    store = management.store
    present = await place(
        management.transports.to(host),
        instance.home,
        instance.full_name,
        wanted(model, instance, management.models.grid.grid_id),
        authority_of(store),
        known(store, instance.full_name),
        now_us=management.clock.wall_us(),
        days=days,
        renew=renew,
    )
    changes = records(instance.full_name, present, known(store, instance.full_name))
    if changes:
        store.write(*changes)


def forget_others(management: Management, model: Model) -> None:
    """Of instances that are in the model no more."""
    names = {instance.full_name for instance in model.instances}
    gone = [
        Delete(KIND, key)
        for key, _ in management.store.items(KIND)
        if key != ROOT and key.partition("/")[0] not in names
    ]
    if gone:
        management.store.write(*gone)


# -- the store ------------------------------------------------------------------------------------
def authority_of(store: Store) -> Authority:
    """Raises ModelError for a grid that was made without one."""
    body = store.get(KIND, ROOT)
    if body is None:
        raise ModelError(
            "this grid has no certificate authority: an older release made it",
            hint="ttGridAdmin certificateRenew -root makes one.",
        )
    return msgspec.json.decode(body, type=Authority)


def known(store: Store, holder: str) -> dict[str, About]:
    """What an instance was given, by wallet."""
    found = {}
    for wallet in (INSTANCE, SERVER):
        body = store.get(KIND, f"{holder}/{wallet}")
        if body is not None:
            found[wallet] = msgspec.json.decode(body, type=About)
    return found


def root_record(authority: Authority) -> Put:
    """The authority as the store has it; its file is for the administrator's eyes only."""
    return Put(KIND, ROOT, msgspec.json.encode(authority))


def records(
    holder: str, present: Mapping[str, About], before: Mapping[str, About]
) -> tuple[Put, ...]:
    """What has to be written down after a change."""
    return tuple(
        Put(KIND, f"{holder}/{wallet}", msgspec.json.encode(about))
        for wallet, about in present.items()
        if before.get(wallet) != about
    )


# -- commands -------------------------------------------------------------------------------------
def listed(management: Management) -> requests.CertificateListReply:
    """certificateList: the authority, then every instance of the model in force."""
    store, now_us = management.store, management.clock.wall_us()
    grid = management.models.grid
    rows = [_row(ROOT, certificates.about(authority_of(store).certificates), now_us)]
    for instance in management.models.current().instances:
        given = known(store, instance.full_name)
        for wallet in (INSTANCE, SERVER):
            about = given.get(wallet)
            if about is not None:
                rows.append(_row(wallet, about, now_us))
            else:
                missing = requests.CertificateRow(
                    name=wallet, holder=instance.full_name, expiration_us=0, state="missing"
                )
                rows.append(missing)
    about = membership_access.in_use(management.settings)
    if about is not None:
        rows.append(_row(membership_access.WALLET, about, now_us))
    return requests.CertificateListReply(
        certificates=tuple(rows),
        internal_encryption=grid.internal_encryption,
        server_encryption=grid.server_encryption,
    )


def _row(wallet: str, about: About, now_us: int) -> requests.CertificateRow:
    days = (about.not_after_us - now_us) // _DAY_US
    state = "ok"
    if days < 0:
        state = "expired"
    elif days < tls.WARN_DAYS:
        state = f"expires in {days} days"
    return requests.CertificateRow(
        name=wallet,
        holder=about.holder,
        expiration_us=about.not_after_us,
        state=state,
        names=about.names,
        serial=about.serial,
        fingerprint=about.fingerprint,
    )


def warnings(management: Management) -> tuple[str, ...]:
    """What an administrator should know about certificates now; empty when all is well."""
    try:
        rows = listed(management).certificates
    except ModelError as error:
        return (error.message,)
    return tuple(
        f"Certificate {row.name} of {row.holder}: {row.state}" for row in rows if row.state != "ok"
    )


async def renew(management: Management, request: requests.CertificateRenew) -> schema.Done:
    """certificateRenew: running connections go on, new ones use the new certificates."""
    if request.membership_certificate:
        return await membership_access.renew(management, request)
    if not 1 <= request.days <= certificates.ROOT_DAYS:
        raise ParameterError(f"-days {request.days}: 1 to {certificates.ROOT_DAYS}")
    model = management.models.current()
    chosen = [instance_at(model, name) for name in request.only] or list(model.instances)
    messages: tuple[str, ...] = ()
    if request.new_key:
        return await _change_key(management, model, request)
    if request.root:
        if _is_changing(authority_of(management.store)):
            raise ModelError("the key of the authority is being changed", hint=FINISH)
        _renew_root(management)
        await management.secured()
        chosen = list(model.instances)
        messages = ("Certificate of the authority renewed",)
    done = await _everywhere(management, model, chosen, request.days, renew=not request.root)
    word = "received it" if request.root else "certificates renewed"
    return schema.Done(messages=(*messages, *(f"{name}: {word}" for name in done)))


def _is_changing(authority: Authority) -> bool:
    """More keys than one are trusted."""
    return authority != certificates.trusting_itself_alone(authority)


async def _change_key(
    management: Management, model: Model, request: requests.CertificateRenew
) -> schema.Done:
    """In two steps: nobody may meet a certificate of a key that he does not trust yet."""
    store, everybody = management.store, list(model.instances)
    authority = authority_of(store)
    if request.new_key not in ("begin", "finish") or request.root or request.only:
        raise ParameterError("-newKey begin or -newKey finish, for all instances, without -root")

    async def put(changed: Authority) -> list[str]:
        store.write(root_record(changed))
        await management.secured()
        return await _everywhere(management, model, everybody, request.days, renew=False)

    if request.new_key == "begin":
        if not _is_changing(authority):
            now_us = management.clock.wall_us()
            authority = certificates.with_next_key(authority, management.models.grid.name, now_us)
        done = await put(authority)
        lines = ["A second key is trusted; the first one goes on signing"]
        lines += [f"{name}: received it" for name in done]
        lines += ["Give clients the new file (ttGridAdmin certificateExport). " + FINISH]
        return schema.Done(messages=tuple(lines))
    if not _is_changing(authority):
        raise ModelError(
            "no second key is trusted", hint="ttGridAdmin certificateRenew -newKey begin"
        )
    if authority.next_key:
        await put(authority)  # perhaps an instance was added or away since
        authority = certificates.with_key_changed(authority)
    done = await put(authority)
    await put(certificates.trusting_itself_alone(authority))
    lines = ["The authority has another key; what the former one signed is good no more"]
    return schema.Done(messages=(*lines, *(f"{name}: certificates renewed" for name in done)))


def _renew_root(management: Management) -> None:
    store, now_us = management.store, management.clock.wall_us()
    name = management.models.grid.name
    if store.get(KIND, ROOT) is None:
        authority = certificates.new_authority(name, now_us)
    else:
        authority = certificates.with_new_root(authority_of(store), name, now_us)
    store.write(root_record(authority))


async def _everywhere(
    management: Management, model: Model, chosen: list[Instance], days: int, *, renew: bool
) -> list[str]:
    """Names of the instances that have theirs. Raises OperationError naming those that do not."""
    gate = asyncio.Semaphore(_PARALLEL_MAX)

    async def one(instance: Instance) -> str:
        async with gate:
            try:
                await _provide(management, model, instance, days, renew=renew)
            except GridError as error:
                return error.message
        return ""

    problems = await asyncio.gather(*(one(instance) for instance in chosen))
    failed = [
        f"{instance.full_name}: {problem}"
        for instance, problem in zip(chosen, problems, strict=True)
        if problem
    ]
    if failed:
        raise OperationError("; ".join(failed), hint="Mend it, then repeat the command.")
    return [instance.full_name for instance in chosen]


async def renew_near_ends(management: Management) -> None:
    """Give new ones for those that have less than WARN_DAYS left; what fails is logged."""
    model = management.models.current()
    for warning in warnings(management):
        log.warning("certificates.looked_at", found=warning)
    try:
        await _everywhere(management, model, list(model.instances), certificates.DAYS, renew=False)
    except GridError as error:
        log.error("certificates.not_renewed", problem=error.message)


def root_text(management: Management) -> schema.TextFile:
    """certificateExport: what clients check servers with."""
    return schema.TextFile(
        text=authority_of(management.store).certificates,
        messages=("Certificate of the authority exported to {file}",),
    )


def facts(grid: GridFacts) -> tuple[tuple[str, str], ...]:
    """For gridDisplay."""
    return (
        ("Internal Encryption", grid.internal_encryption),
        ("Server Encryption", grid.server_encryption),
    )
