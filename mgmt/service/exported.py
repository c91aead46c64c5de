"""What a management instance tells monitoring: itself, and the grid if it is the active one."""

from __future__ import annotations

from collections.abc import Mapping

from membership.port import ClusterView
from mgmt.api.schema_picture import Picture
from mgmt.ha.role import Role
from mgmt.service.context import Management
from mgmt.service.watching import Watcher
from protocol.errors import GridError
from protocol.messages.metrics import Times
from protocol.metrics import Histogram
from protocol.process import ProcessMeters, certificate_numbers, membership_numbers

Rows = list[tuple[tuple[str, ...], float]]
Table = tuple[tuple[str, ...], Rows]  # names of the labels, rows
_SERVING = ("leader", "follower", "standalone")
_NORMAL = ("ok", "unloaded")


class Exported:
    """One per management instance."""

    def __init__(self, management: Management, watcher: Watcher) -> None:
        self._management = management
        self._watcher = watcher
        self.process = ProcessMeters()

    @property
    def name(self) -> str:
        """Of the instance; with its host since gridCreate."""
        return self._management.settings.name

    def numbers(self) -> dict[str, float]:
        """Of the instance, by the names of protocol/metric_names.py."""
        management = self._management
        numbers = {**self.process.numbers(), **certificate_numbers(management.settings)}
        if management.rpc is not None:
            numbers.update(management.rpc.numbers())
        membership = management.membership
        if membership is not None:
            view, until_s = membership.view(), membership.serving_until_s()
            numbers.update(
                membership_numbers(view.connected, view.session, until_s, len(view.instances))
            )
        return numbers

    def event_loop(self) -> Times:
        """How late turns of the event loop came."""
        delays: Histogram = self.process.delays
        return Times(delays.packed(), delays.total_ns)

    async def grid(self) -> Mapping[str, Table]:
        """Of the grid: by the names of protocol/metric_names.py."""
        management, me = self._management, self.name
        keeper = management.keeper
        is_active = keeper is not None and keeper.role is Role.ACTIVE
        tables: dict[str, Table] = {"mgmt_active": (("instance",), [((me,), int(is_active))])}
        if not is_active or management.membership is None:
            return tables
        view = management.membership.view()
        try:
            picture = await self._watcher.look()
        except GridError:
            return tables
        return {**tables, **of_picture(me, picture), **of_view(me, picture, view)}


def of_picture(me: str, picture: Picture) -> dict[str, Table]:
    """Operations, membership servers, instances, states of databases. Pure."""
    servers = picture.servers
    serving = sum(s.role in _SERVING for s in servers)
    known = [s for s in servers if s.role != "unknown"]
    normal: Rows = [
        ((d.name, me), int(all(s.state in _NORMAL for s in d.sets))) for d in picture.databases
    ]
    return {
        "mgmt_operations_running": (("instance",), [((me,), len(picture.operations))]),
        "membership_servers": (("instance",), [((me,), len(servers))]),
        "membership_servers_serving": (("instance",), [((me,), serving)] if known else []),
        "membership_server_serving": (
            ("instance", "server"),
            [((me, s.address), int(s.role in _SERVING)) for s in known],
        ),
        "membership_server_leader": (
            ("instance", "server"),
            [((me, s.address), int(s.role in ("leader", "standalone"))) for s in known],
        ),
        "instance_alive": (
            ("instance", "member", "host"),
            [((me, i.name, i.host), int(i.alive)) for i in picture.instances],
        ),
        "scaleout_state_normal": (("dsn", "instance"), normal),
    }


def of_view(me: str, picture: Picture, view: ClusterView) -> dict[str, Table]:
    """Replica sets as membership has them. Pure."""
    in_sync: Rows = []
    terms: Rows = []
    copies: Rows = []
    for database in picture.databases:
        for one in database.sets:
            labels = (database.name, me, str(one.replica_set))
            state = view.sets.get((database.name, one.replica_set))
            members = [e for e in database.elements if e.replica_set == one.replica_set]
            alive = {e.element for e in members if e.role}
            copies.append((labels, len(members)))
            if state is not None:
                in_sync.append((labels, len(alive & set(state.in_sync))))
                terms.append((labels, state.term))
    names = ("dsn", "instance", "replica_set")
    return {
        "replica_set_known_in_sync": (names, in_sync),
        "replica_set_known_term": (names, terms),
        "replica_set_known_copies": (names, copies),
    }
