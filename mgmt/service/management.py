"""mgmtStatus and mgmtExamine: both management instances, as this one sees them."""

from __future__ import annotations

from typing import NamedTuple

from mgmt.api import schema
from mgmt.ha import advice
from mgmt.ha.advice import Seen
from mgmt.ha.role import Role, copy_name
from mgmt.service import certificates
from mgmt.service.context import Management
from mgmt.service.placed import PlacedInstance
from protocol.messages.management import ManagementTold

_SHOWN = {Role.ACTIVE: "Active", Role.STANDBY: "Standby"}


class _One(NamedTuple):
    seen: Seen
    row: schema.MgmtRow


async def status(management: Management, role: Role) -> schema.MgmtStatusReply:
    """A row for each management instance, with advice."""
    mine = _own(management, role)
    placed = _other_placed(management)
    other = None
    if placed is not None:
        name, keeper = placed.instance.full_name, management.keeper
        told = await keeper.ask(name) if keeper is not None else None
        other = _other(management, placed, told)
    advised = advice.advise(mine.seen, other.seen if other else None)
    if role is Role.ACTIVE and (near := certificates.warnings(management)):
        renew = advice.command(mine.seen, "ttGridAdmin certificateRenew")
        advised = advice.Advice((*advised.msgs, *near), (*advised.cmds, renew))
    rows = [one.row for one in (mine, other) if one is not None]
    warning = ""
    if management.models.exists:
        grid = management.models.grid
        warning = certificates.cleartext_warning(grid.internal_encryption, grid.server_encryption)
    return schema.MgmtStatusReply(
        instances=tuple(sorted(rows, key=lambda row: (row.host, row.instance))),
        msgs=advised.msgs,
        cmds=advised.cmds,
        warning=warning,
        status=0 if advised.ok else 1,
    )


def _own(management: Management, role: Role) -> _One:
    settings, store, keeper = management.settings, management.store, management.keeper
    message = "No session with the membership servers"
    if keeper is not None:
        message = keeper.told().message
    elif role is Role.NO_GRID:
        message = "No grid"
    seen = Seen(
        name=settings.name,
        home=settings.home,
        address=settings.internal_address,
        same_machine=True,
        role=role,
        seq=store.seq,
        in_sync=_in_sync(management, copy_name(settings.name, store.copy_id)),
    )
    return _One(seen, _row(seen, message))


def _other(management: Management, placed: PlacedInstance, told: ManagementTold | None) -> _One:
    own = next(
        (
            p.host
            for p in management.placed.instances().values()
            if p.instance.full_name == management.settings.name
        ),
        placed.host,
    )
    seen = Seen(
        name=placed.instance.full_name,
        home=placed.home,
        address=placed.host.internal_address,
        same_machine=management.transports.same_machine(own, placed.host),
        role=None if told is None else Role(told.role),
        seq=None if told is None else told.seq,
        in_sync=told is not None and _in_sync(management, told.copy),
    )
    return _One(seen, _row(seen, advice.NO_ANSWER if told is None else told.message))


def _row(seen: Seen, message: str) -> schema.MgmtRow:
    host, _, instance = seen.name.rpartition(".")
    shown = "Unknown" if seen.role is None else _SHOWN.get(seen.role, "Unknown")
    return schema.MgmtRow(
        host=host,
        instance=instance,
        reachable=seen.role is not None,
        rep_role=shown,
        role=shown,
        seq=seen.seq,
        rep_agent=seen.role in _SHOWN,
        rep_active=seen.role is Role.ACTIVE,
        message=message,
        home=seen.home,
        address=seen.address,
    )


def _in_sync(management: Management, copy: str) -> bool:
    membership = management.membership
    if membership is None:
        return False
    in_sync = membership.view().mgmt_register.in_sync
    return copy in in_sync or not in_sync


def _other_placed(management: Management) -> PlacedInstance | None:
    return management.placed.instances().get(management.partner())


def operations(management: Management) -> schema.OperationListReply:
    """operationList."""
    rows = []
    for record in management.runner.list():
        step = min(record.at, len(record.steps) - 1) if record.steps else 0
        rows.append(
            schema.OperationRow(
                id=record.id,
                kind=record.kind,
                subject=record.subject,
                state=str(record.state),
                step=min(record.at + 1, len(record.steps)),
                steps=len(record.steps),
                title=record.steps[step].title if record.steps else "",
                started_us=record.started_us,
                ended_us=record.ended_us,
                message=record.error[1] if record.error else "",
                by=record.by,
            )
        )
    return schema.OperationListReply(operations=tuple(rows))
