"""mgmtStatus and mgmtExamine for the single active; the standby's row comes later."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.ha.role import Role
from mgmt.service.context import Management

_SHOWN = {Role.ACTIVE: "Active", Role.STANDBY: "Standby"}


def status(management: Management, role: Role) -> schema.MgmtStatusReply:
    """This management instance's own row, with advice."""
    settings = management.settings
    host, _, instance = settings.name.rpartition(".")
    shown = _SHOWN.get(role, "Unknown")
    message, msgs, cmds = _advice(management, role)
    row = schema.MgmtRow(
        host=host,
        instance=instance,
        reachable=True,
        rep_role=shown,
        role=shown,
        seq=management.store.seq,
        rep_agent=role in _SHOWN,
        rep_active=role is Role.ACTIVE,
        message=message,
        home=settings.home,
        address=settings.internal_address,
    )
    return schema.MgmtStatusReply(instances=(row,), msgs=msgs, cmds=cmds, status=1 if cmds else 0)


def _advice(management: Management, role: Role) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Message of the row, advice in words, commands to run."""
    command = f"{management.settings.home}/bin/ttenv ttGridAdmin"
    match role:
        case Role.ACTIVE:
            text = "Active management instance is up. There is no standby. No action required."
            return "", (text,), ()
        case Role.STOPPED:
            text = "The management instance is up, but stopped. Make it active."
            return "Stopped by mgmtActiveStop", (text,), (f"{command} mgmtActiveStart",)
        case Role.STANDBY:
            membership = management.membership
            active = membership.view().mgmt if membership is not None else None
            name = active.name if active else "another instance"
            return f"Active is {name}", (f"{name} is the active management instance.",), ()
        case Role.STARTING:
            text = "The management instance waits for the membership servers. Start them."
            return "No session with the membership servers", (text,), ()
        case Role.NO_GRID:
            text = "There is no grid yet: create it with ttGridAdmin gridCreate."
            return "No grid", (text,), ()


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
            )
        )
    return schema.OperationListReply(operations=tuple(rows))
