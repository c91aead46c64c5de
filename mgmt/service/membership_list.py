"""The list of membership servers in the model, checked before it is given to every instance.

An instance that starts with a list whose servers do not answer serves nothing, so a changed list
wants a majority that can be reached from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mgmt.model.types import Model
from mgmt.service.context import Management
from mgmt.service.instance_files import address_port
from protocol.errors import ModelError

CONNECT_TIMEOUT_S = 3.0


async def check(management: Management, model: Model) -> None:
    """Raises ModelError when the model changes the list to one without a majority there."""
    wanted = [address_port(server) for server in model.membership_servers]
    if set(wanted) == set(management.settings.membership.servers):
        return
    answers = await asyncio.gather(*(_answers(s) for s in model.membership_servers))
    refuse_silent(wanted, answers)


def refuse_silent(servers: Sequence[str], answers: Sequence[bool]) -> None:
    """Raises ModelError unless more than half of them answer. Pure."""
    if 2 * sum(answers) > len(servers):
        return
    silent = [server for server, answer in zip(servers, answers, strict=True) if not answer]
    raise ModelError(
        f"the model has other membership servers, and {', '.join(silent)} cannot be reached: no"
        " instance could start with this list",
        hint="Start them, or mend the list with ttGridAdmin membershipConfigImport.",
    )


async def _answers(server: str) -> bool:
    address, _, port = server.rpartition("!")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(address, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
