"""What the services share: store, model versions, operations, ways to hosts and instances."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from membership.port import Membership
from mgmt.api.schema import VersionChoice
from mgmt.ha.keeper import RoleKeeper
from mgmt.model import versions
from mgmt.model.store import Delete, Put, Store
from mgmt.model.types import GridFacts, Instance, Model
from mgmt.model.versions import Versions
from mgmt.ops.runner import Runner, at_once
from mgmt.service.move_progress import Meter
from mgmt.service.placed import Placed
from mgmt.transport.port import Transports
from protocol.clock import Clock
from protocol.errors import ModelError, NotActiveManagementError
from protocol.instance_file import InstanceSettings
from protocol.rpc.node import RpcNode

Edit = tuple[Model, tuple[str, ...]]  # the changed model and the lines to say
EMPTY_KEY = "-"
_encode = msgspec.json.Encoder().encode


class Models:
    """The versions of the model in the store, and the grid's facts."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.watch: Callable[[tuple[str, ...]], None] = lambda lines: None  # told of each edit

    @property
    def grid(self) -> GridFacts:
        """The grid's facts. Raises ModelError before gridCreate."""
        body = self._store.get("grid", EMPTY_KEY)
        if body is None:
            raise ModelError(
                "this instance has no grid yet", hint="Create it with ttGridAdmin gridCreate."
            )
        return msgspec.json.decode(body, type=GridFacts)

    @property
    def exists(self) -> bool:
        """Whether gridCreate was done."""
        return self._store.get("grid", EMPTY_KEY) is not None

    @property
    def versions(self) -> Versions:
        """The register of versions."""
        body = self._store.get("versions", EMPTY_KEY)
        assert body is not None, "gridCreate writes it"
        return msgspec.json.decode(body, type=Versions)

    def create(self, grid: GridFacts, model: Model) -> None:
        """Write what gridCreate made: version 1, and `model` as what is in place."""
        self._store.write(
            Put("grid", EMPTY_KEY, _encode(grid)),
            Put("versions", EMPTY_KEY, _encode(versions.first(self._clock.wall_us()))),
            _version(0, model),
            _version(1, model),
        )

    def set_grid(self, grid: GridFacts) -> None:
        """Change the grid's facts."""
        self._store.write(Put("grid", EMPTY_KEY, _encode(grid)))

    def get(self, number: int) -> Model:
        """A kept version; 0 is what gridCreate put in place. Raises ModelError."""
        body = self._store.get("model", f"{number:08d}")
        if body is None:
            raise ModelError(
                f"model version {number} does not exist",
                hint="ttGridAdmin modelList shows the versions.",
            )
        return msgspec.json.decode(body, type=Model)

    def latest(self) -> Model:
        """The writable version."""
        return self.get(self.versions.latest)

    def current(self) -> Model:
        """The version in force."""
        return self.get(self.versions.current)

    def number_of(self, choice: VersionChoice) -> int:
        """The number a choice stands for (0: current before the first apply)."""
        register = self.versions
        match choice.which:
            case "latest":
                return register.latest
            case "current":
                return register.current
            case _:
                return choice.number if choice.number > 0 else -1

    def chosen(self, choice: VersionChoice) -> Model:
        """The version a choice stands for. Raises ModelError."""
        return self.get(self.number_of(choice))

    def edit(self, change: Callable[[Model], Edit]) -> tuple[str, ...]:
        """Replace the latest version by what `change` makes of it; returns its lines."""
        register = self.versions
        versions.check_writable(register)
        model, lines = change(self.get(register.latest))
        self._store.write(_version(register.latest, model))
        self.watch(lines)
        return lines

    def begin_apply(self) -> int:
        """Freeze the latest version; returns its number."""
        register = versions.begin_apply(self.versions)
        self._store.write(Put("versions", EMPTY_KEY, _encode(register)))
        return register.applying

    def abort_apply(self) -> None:
        """Make the frozen version writable again; nothing happens if none is frozen."""
        register = self.versions
        if register.applying:
            body = _encode(versions.abort_apply(register))
            self._store.write(Put("versions", EMPTY_KEY, body))

    def finish_apply(self) -> None:
        """The frozen version becomes current, its copy writable; prune what is too old."""
        register, now_us, grid = self.versions, self._clock.wall_us(), self.grid
        model = self.get(register.applying)
        register = versions.finish_apply(register, now_us)
        gone = versions.prunable(
            register,
            retain_days=grid.retain_days,
            retain_versions=grid.retain_versions,
            now_us=now_us,
        )
        for number in gone:
            register = versions.without(register, number)
        self._store.write(
            Put("versions", EMPTY_KEY, _encode(register)),
            _version(register.latest, model),
            *(Delete("model", f"{number:08d}") for number in gone),
        )

    def delete(self, number: int) -> None:
        """Forget an old version. Raises ModelError."""
        register = versions.without(self.versions, number)
        self._store.write(
            Put("versions", EMPTY_KEY, _encode(register)), Delete("model", f"{number:08d}")
        )


@dataclasses.dataclass(kw_only=True)
class Management:
    """Handed to every service. membership and rpc are there once the grid exists."""

    store: Store
    models: Models
    placed: Placed
    runner: Runner
    transports: Transports
    clock: Clock
    settings: InstanceSettings
    software: str  # version
    membership: Membership | None = None
    rpc: RpcNode | None = None
    keeper: RoleKeeper | None = None  # of the role; from the session with membership on
    # Waits until every change written to the store so far is safe (the standby has it too, if there
    # is one). Await it between a write and what follows from it outside this process: a command
    # to a host or a data instance, a value in membership. Answers of the API and steps of
    # operations do so by themselves. Raises NotActiveManagementError: the outcome is open.
    secured: Callable[[], Awaitable[None]] = at_once
    # checks of other nouns that an edit of the model must pass: (command, name) -> raises
    # ModelError, e.g. databases refuse dbdefDelete and instanceDelete of a mapped element
    guards: list[Callable[[str, str], None]] = dataclasses.field(default_factory=list)
    # called with the current model at the end of each modelApply
    after_apply: list[Callable[[Model], Awaitable[None]]] = dataclasses.field(default_factory=list)
    # called before a running instance is stopped and removed: databases destroy its elements
    before_remove: list[Callable[[Instance], Awaitable[None]]] = dataclasses.field(
        default_factory=list
    )

    # databases whose buckets move now, by name
    meters: dict[str, Meter] = dataclasses.field(default_factory=dict)
    # background work that goes on as long as this instance is the active one (then cancelled)
    while_active: list[Callable[[], Coroutine[None, None, None]]] = dataclasses.field(
        default_factory=list
    )

    def partner(self) -> str:
        """The other management instance that is in place; "" while there is none."""
        others = [
            name
            for name, placed in self.placed.instances().items()
            if placed.instance.kind == "mgmt" and placed.created and name != self.settings.name
        ]
        return others[0] if others else ""

    def acting(self) -> bool:
        """Whether this is the active instance now. One that is not any more must not clean up after
        an operation that was interrupted: the next active is at work on it."""
        try:
            if self.keeper is not None:
                self.keeper.check_active()
        except NotActiveManagementError:
            return False
        return self.keeper is not None

    def guard(self, command: str, name: str) -> None:
        """Ask all guards. Raises ModelError."""
        for check in self.guards:
            check(command, name)


def _version(number: int, model: Model) -> Put:
    return Put("model", f"{number:08d}", _encode(model))
