"""What a process knows of itself: memory, processor time, garbage collection, event loop delay."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
from time import perf_counter_ns

from protocol import tls
from protocol.clock import boottime_s, wall_us
from protocol.instance_file import InstanceSettings
from protocol.metrics import Histogram

LOOK_S = 0.25  # how often the event loop is looked at
WINDOW_S = 30.0  # the longest delay within the last one or two of these is told
_PAGE_BYTES = resource.getpagesize()


class ProcessMeters:
    """One per daemon. `start` inside the event loop, `stop` at the end."""

    def __init__(self) -> None:
        self.began_us = wall_us()
        self.delays = Histogram()
        self._longest_s = [0.0, 0.0]  # of this window and the one before
        self._window_s = boottime_s()
        self._collections = self._collecting_ns = self._longest_ns = self._began_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch."""
        gc.callbacks.append(self._collected)
        self._look_later()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)

    def numbers(self) -> dict[str, float]:
        """By the names of protocol/metric_names.py."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "process_cpu_seconds_total": used.ru_utime + used.ru_stime,
            "process_resident_bytes": _resident_bytes(),
            "process_open_files": _open_files(),
            "gc_collections_total": self._collections,
            "gc_seconds_total": self._collecting_ns / 1e9,
            "gc_longest_seconds": self._longest_ns / 1e9,
            "event_loop_longest_delay_seconds": max(self._longest_s),
        }

    # -- event loop --------------------------------------------------------------------------------
    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + LOOK_S
        self._timer = loop.call_at(due_s, self._look, due_s)

    def _look(self, due_s: float) -> None:
        late_s = max(0.0, asyncio.get_running_loop().time() - due_s)
        self.delays.add(int(late_s * 1e9))
        now_s = boottime_s()
        if now_s - self._window_s >= WINDOW_S:
            self._window_s = now_s
            self._longest_s = [0.0, self._longest_s[0]]
        self._longest_s[0] = max(self._longest_s[0], late_s)
        self._look_later()

    # -- garbage collection ------------------------------------------------------------------------
    def _collected(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = perf_counter_ns()
        elif self._began_ns:
            ns = perf_counter_ns() - self._began_ns
            self._collections += 1
            self._collecting_ns += ns
            self._longest_ns = max(self._longest_ns, ns)


def _resident_bytes() -> int:
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES
    return 0


def _open_files() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/fd"))
    return 0


def membership_numbers(
    connected: bool, session: int, serving_until_s: float, instances: int
) -> dict[str, float]:
    """Of the session with the membership servers."""
    return {
        "membership_connected": int(connected),
        "membership_sessions_total": session,
        "membership_serving_seconds": round(max(0.0, serving_until_s - boottime_s()), 3),
        "membership_instances": instances,
    }


def certificate_numbers(settings: InstanceSettings) -> dict[str, float]:
    """Until the first of the instance's own certificates expires; nothing if it has none."""
    ends = [
        end_s
        for file in (tls.INSTANCE_FILE, tls.SERVER_FILE)
        if (end_s := tls.expires_s(settings.path(file)))
    ]
    return {"certificate_expires_seconds": round(min(ends) - wall_us() / 1e6)} if ends else {}
