"""gridModify -membershipUser: another user, or password, of the membership servers.

Four steps, each of them with all instances, so that at every moment everybody can read and change
every node of the grid, and nothing of it is served less:

1. all say the new login too, besides the one in use;
2. all use the new one for what they make, and still say the former one;
3. what is there already gets the new one;
4. nobody says the former one any more.

What is in the files of this instance tells how far it is: the command repeated goes on, also under
the next active management instance, which gets its files before data instances do.
"""

from __future__ import annotations

import asyncio

import structlog

from mgmt.api import schema
from mgmt.service.context import Management
from mgmt.service.instance_files import push_secrets_to
from protocol.clock import boottime_s
from protocol.errors import OperationError, ParameterError
from protocol.logins import Login, Logins

log = structlog.get_logger(__name__)

TAKEN_S = 30.0  # how long a running instance may take until its session says other logins
POLL_S = 0.1
REPEAT = "Mend it, then repeat the command with the same user and password: it goes on."


def check(user: str, password: str) -> Login:
    """The login that was asked for. Raises ParameterError."""
    if not user or ":" in user or "\n" in user or not password or "\n" in password:
        raise ParameterError(
            "-membershipUser: a name without a colon, and a password in one line, are wanted"
        )
    return Login(user, password)


def stages(now: Logins, wanted: Login) -> tuple[Logins, ...]:
    """What all instances have to have, one after the other. Pure. Raises ParameterError."""
    if now.other is not None and wanted not in now.all():
        raise ParameterError(
            f"a change to another login (user {now.other.user}) has not ended yet",
            hint="Repeat that one first, or -membershipUser with the login that was before it.",
        )
    if now.current == wanted:
        both = () if now.other is None else (Logins(wanted, now.other),)
        return (*both, Logins(wanted))
    return Logins(now.current, wanted), Logins(wanted, now.current), Logins(wanted)


async def change(management: Management, user: str, password: str) -> schema.Done:
    """Carry it out. Raises GridError; the grid works with what has been reached then."""
    wanted = check(user, password)
    settings = management.settings
    for stage in stages(settings.membership_logins()(), wanted):
        if stage.other is None:
            assert management.membership is not None, "gridModify wants a grid"
            count = await management.membership.protect()
            log.info("membership.protected", user=user, nodes=count)
        await _give(management, stage)
        await _taken(management, stage)
    return schema.Done(messages=(f"The membership servers know this grid as user {user} now",))


async def _give(management: Management, stage: Logins) -> None:
    """The files of all instances, this one and the standby first."""
    model = management.models.current()
    own = model.instance(management.settings.name)
    assert own is not None, "the active management instance is in the model"
    rest = [i for i in model.instances if i is not own]
    for some in (
        [own],
        [i for i in rest if i.kind == "mgmt"],
        [i for i in rest if i.kind != "mgmt"],
    ):
        if failed := await push_secrets_to(management, some, stage):
            raise OperationError("; ".join(failed), hint=REPEAT)


async def _taken(management: Management, stage: Logins) -> None:
    """Until the sessions of all that run speak with it."""
    assert management.membership is not None
    stamp = stage.stamp(management.settings.secret())
    until_s = boottime_s() + TAKEN_S
    while True:
        there = await management.membership.login_stamps()
        late = sorted(name for name, said in there.items() if said != stamp)
        if not late:
            return
        if boottime_s() >= until_s:
            raise OperationError(
                f"{', '.join(late)}: did not take the login within {TAKEN_S:g} s", hint=REPEAT
            )
        await asyncio.sleep(POLL_S)
