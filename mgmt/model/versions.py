"""Which model version is latest, current, older; what may be edited. Pure.

Version n is written until modelApply freezes it; n+1, a copy, becomes writable when n was made
current. A failed apply gives n back, so that the operator can mend it and apply again.
"""

from __future__ import annotations

import msgspec

from protocol.errors import ModelError

DAY_US = 86_400_000_000


class VersionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One kept version."""

    number: int
    created_us: int
    applied_us: int = 0  # 0: never


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """The register of versions. `current` is 0 until the first modelApply."""

    latest: int
    current: int
    entries: tuple[VersionEntry, ...]  # ascending by number
    applying: int = 0  # the version an unfinished modelApply works on

    def state_of(self, number: int) -> str:
        """Latest, Current, or Previous."""
        if number == self.latest:
            return "Latest"
        return "Current" if number == self.current else "Previous"


def first(now_us: int) -> Versions:
    """What gridCreate makes."""
    return Versions(latest=1, current=0, entries=(VersionEntry(number=1, created_us=now_us),))


def check_writable(versions: Versions) -> None:
    """Raises ModelError while an apply works on the latest version."""
    if versions.applying:
        raise ModelError(
            f"model version {versions.applying} is being applied and cannot be changed",
            hint="Wait until modelApply has ended (ttGridAdmin operationList shows it).",
        )


def begin_apply(versions: Versions) -> Versions:
    """Freeze the latest version."""
    check_writable(versions)
    return msgspec.structs.replace(versions, applying=versions.latest)


def abort_apply(versions: Versions) -> Versions:
    """Make the frozen version writable again."""
    return msgspec.structs.replace(versions, applying=0)


def finish_apply(versions: Versions, now_us: int) -> Versions:
    """The frozen version becomes current, its copy the next number writable."""
    number = versions.applying
    assert number == versions.latest
    entries = tuple(
        msgspec.structs.replace(e, applied_us=now_us) if e.number == number else e
        for e in versions.entries
    )
    next_entry = VersionEntry(number=number + 1, created_us=now_us)
    return Versions(latest=number + 1, current=number, entries=(*entries, next_entry))


def prunable(
    versions: Versions, *, retain_days: int, retain_versions: int, now_us: int
) -> list[int]:
    """Old versions beyond both limits (days since applied, count of newest); 0 turns one off."""
    if not retain_days and not retain_versions:
        return []
    numbers = [e.number for e in versions.entries]
    newest = set(numbers[-retain_versions:]) if retain_versions else set()
    kept = newest | {versions.latest, versions.current, versions.applying}
    oldest_us = now_us - retain_days * DAY_US if retain_days else now_us
    return [
        e.number
        for e in versions.entries
        if e.number not in kept and (e.applied_us or e.created_us) < oldest_us
    ]


def without(versions: Versions, number: int) -> Versions:
    """The register without one old version. Raises ModelError for latest and current."""
    if number not in [e.number for e in versions.entries]:
        raise ModelError(f"model version {number} does not exist")
    if number in (versions.latest, versions.current, versions.applying):
        raise ModelError(
            f"model version {number} is {versions.state_of(number).lower()}"
            " and cannot be deleted: only older versions can"
        )
    entries = tuple(e for e in versions.entries if e.number != number)
    return msgspec.structs.replace(versions, entries=entries)
