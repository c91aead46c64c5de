"""Restart, back-off, give up: what to do with one child process. Pure.

Used for the JVM of a membership server and for every daemon under its supervisor. Moments come in
with the events, actions go out; supervisor.py carries them out in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """Where the child stands."""

    STOPPED = "stopped"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"
    ENDED = "ended"  # for good: asked to, or no restart can help


@dataclass(frozen=True, slots=True)
class StartAsked:
    """Begin."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended; a negative code is the number of the signal."""

    code: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time of the newest StartTimer is over."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """End in good order."""


@dataclass(frozen=True, slots=True)
class Hung:
    """The process lives but did not answer its probes for too long."""


Event = StartAsked | Exited | TimerFired | StopAsked | Hung


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the process."""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Fire once after that long; replaces a running timer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more will be done; `code` is the exit code to report."""

    code: int
    reason: str


Action = Spawn | StartTimer | CancelTimer | Terminate | Kill | End


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """How patient to be."""

    first_pause_s: float = 0.2
    pause_factor: float = 2.0
    pause_max_s: float = 10.0
    healthy_after_s: float = 20.0  # a run that long forgets the crashes before it
    stop_timeout_s: float = 10.0  # from SIGTERM to SIGKILL
    final_codes: frozenset[int] = frozenset()  # exits that no restart can mend
    crashes_max: int = 0  # quick crashes in a row before giving up; 0: never give up


class RestartPolicy:
    """The state machine of one child process."""

    def __init__(self, settings: RestartSettings) -> None:
        self.settings = settings
        self.phase = Phase.STOPPED
        self.restarts = 0
        self._crashes = 0
        self._spawned_s = 0.0

    def handle(self, event: Event, now_s: float) -> list[Action]:
        """What to do now."""
        match self.phase, event:
            case Phase.ENDED, _:
                return []  # a late event changes nothing
            case Phase.STOPPED, StartAsked():
                return self._spawn(now_s)
            case ((Phase.STOPPED | Phase.BACKING_OFF), StopAsked()):
                return self._end(0, "stopped", CancelTimer())
            case Phase.BACKING_OFF, TimerFired():
                self.restarts += 1
                return self._spawn(now_s)
            case Phase.RUNNING, StopAsked():
                self.phase = Phase.STOPPING
                return [Terminate(), StartTimer(self.settings.stop_timeout_s)]
            case Phase.RUNNING, Hung():
                return [Kill()]
            case Phase.RUNNING, Exited(code):
                return self._crashed(code, now_s)
            case Phase.STOPPING, TimerFired():
                return [Kill()]
            case Phase.STOPPING, Exited(code):
                return self._end(code, "stopped", CancelTimer())
            case _:
                return []  # a timer that was cancelled too late, a second StopAsked

    def _spawn(self, now_s: float) -> list[Action]:
        self.phase = Phase.RUNNING
        self._spawned_s = now_s
        return [Spawn()]

    def _crashed(self, code: int, now_s: float) -> list[Action]:
        settings = self.settings
        if code in settings.final_codes:
            return self._end(code, f"exit code {code}: a restart cannot help")
        if now_s - self._spawned_s >= settings.healthy_after_s:
            self._crashes = 0
        self._crashes += 1
        if 0 < settings.crashes_max <= self._crashes:
            return self._end(code, f"crashed {self._crashes} times in a row")
        pause_s = settings.first_pause_s * settings.pause_factor ** min(self._crashes - 1, 32)
        self.phase = Phase.BACKING_OFF
        return [StartTimer(min(pause_s, settings.pause_max_s))]

    def _end(self, code: int, reason: str, *before: Action) -> list[Action]:
        self.phase = Phase.ENDED
        return [*before, End(code, reason)]
