"""What an upgrade does, in which order, and what stands against it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import msgspec

from membership.port import SetState
from mgmt.model.types import Installation, Instance, InstanceKind, Model
from protocol.errors import ModelError, ParameterError, UnknownModelObjectError
from protocol.topology import DistributionMap

_RELEASE = re.compile(r"\d+\.\d+\.\d+[A-Za-z0-9.+-]*")
_DIRECTORY = re.compile(r"(?:^|/)tengrid-(\d+\.\d+\.\d+[A-Za-z0-9.+-]*?)(?:\.tar\.gz|\.tgz|/|$)")


def release_in(text: str) -> str:
    """The release that `ttInstanceCreate -version` printed; "" if there is none."""
    found = _RELEASE.findall(text)
    return found[-1] if found else ""


def release_in_path(path: str) -> str:
    """The release of tengrid-<release>, a directory or archive; "" if it is not called so."""
    found = _DIRECTORY.search(path)
    return found.group(1) if found else ""


def incompatible(old: str, new: str) -> str:
    """Why instances of both releases do not run side by side; "": they do.

    Releases a.b.c of one a.b understand each other, and files of the older are those of the newer.
    """
    if _numbers(old)[:2] != _numbers(new)[:2]:
        return f"releases {old} and {new} are not of one series"
    if _numbers(new) < _numbers(old):
        return f"release {new} is older than {old}"
    return ""


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", release)[:3])


def new_installations(
    model: Model, release: str, source: str, *, name: str, location: str
) -> tuple[Installation, ...]:
    """An installation for each host with instances that has none of that name; guid left empty.

    Raises ModelError where its directory is taken.
    """
    name = name or f"installation-{re.sub(r'[^A-Za-z0-9]', '_', release)}"
    found = []
    for host in model.hosts:
        used = next(iter(model.instances_of(host=host.name)), None)
        if used is None or model.installation(host.name, name) is not None:
            continue
        old = model.installation(host.name, used.installation)
        assert old is not None, "an instance runs from an installation of its host"
        new = Installation(
            host=host.name,
            name=name,
            guid="",
            location=location.rstrip("/") or _beside(old),
            release=release,
            source=source,
        )
        taken = [i for i in model.installations if (i.host, i.path) == (host.name, new.path)]
        if taken:
            raise ModelError(
                f"host {host.name}: {new.path} is installation {taken[0].name} already",
                hint="Give -location, another directory.",
            )
        found.append(new)
    return tuple(found)


def _beside(old: Installation) -> str:
    parent, _, last = old.location.rstrip("/").rpartition("/")
    is_itself = last.startswith("tengrid-") or last in (".venv", "venv")
    return (parent or "/") if is_itself else old.location


def moved(model: Model, kind: InstanceKind, to: str) -> Model:
    """The model with all instances of the kind at the installation of that release or name.

    Raises UnknownModelObjectError where there is none, ModelError where there are several.
    """
    changed = tuple(
        msgspec.structs.replace(i, installation=_target(model, i, to)) if i.kind == kind else i
        for i in model.instances
    )
    return msgspec.structs.replace(model, instances=changed)


def _target(model: Model, instance: Instance, to: str) -> str:
    here = [i for i in model.installations if i.host == instance.host]
    found = [i for i in here if i.name == to] or [i for i in here if i.release == to]
    if any(i.name == instance.installation for i in found):
        return instance.installation
    if not found:
        raise UnknownModelObjectError(
            f"host {instance.host} has no installation of release {to}",
            hint="ttGridAdmin gridUpgrade -createInstallations -source WHERE makes them.",
        )
    if len(found) > 1:
        names = ", ".join(i.name for i in found)
        raise ModelError(
            f"host {instance.host} has several installations of release {to}: {names}",
            hint="Give the name of one as -to.",
        )
    return found[0].name


def left(model: Model, kind: InstanceKind, started_from: Mapping[str, str]) -> list[Instance]:
    """The instances of the kind that were not started from their installation yet, in the order of
    their restart: data space group after group. started_from: installation by full name."""
    groups = {host.name: host.data_space_group for host in model.hosts}
    todo = [i for i in model.instances_of(kind) if started_from.get(i.full_name) != i.installation]
    return sorted(todo, key=lambda i: groups[i.host])  # stable: as they were created


def check_releases(before: Model, after: Model, kind: InstanceKind) -> None:
    """Raises ParameterError where an instance would go to a release that does not fit."""
    for old, new in zip(before.instances, after.instances, strict=True):
        if new.kind != kind:
            continue
        problem = incompatible(_release(before, old), _release(after, new))
        if problem:
            raise ParameterError(
                f"{new.full_name}: {problem}",
                hint="Make a new grid and move the rows with dbExport and dbImport"
                " (or use -force, if its release notes say that it fits).",
            )
    if kind == "data":
        ahead = {_release(after, i) for i in after.instances_of("data")}
        managing = {_release(after, i) for i in after.instances_of("mgmt")}
        for new_release in ahead - managing:
            if any(_numbers(new_release) > _numbers(other) for other in managing):
                raise ModelError(
                    f"management instances are not of release {new_release} yet",
                    hint=f"First: ttGridAdmin gridUpgrade -type mgmt -to {new_release}",
                )


def _release(model: Model, instance: Instance) -> str:
    installation = model.installation(instance.host, instance.installation)
    assert installation is not None
    return installation.release


def alone(maps: Iterable[DistributionMap], instances: Collection[str]) -> list[str]:
    """Replica sets that have no other copy than on one of these instances, a line each."""
    return [
        f"replica set {number} of {new.database} has only the copy of {places[0].instance}"
        for new in maps
        for number, places in new.replica_sets().items()
        if len({p.instance for p in places}) == 1 and places[0].instance in instances
    ]


def lacking(
    maps: Iterable[DistributionMap],
    sets: Mapping[tuple[str, int], SetState],
    alive: Collection[str],
) -> list[str]:
    """What keeps replica sets from being whole, a line each: every copy counts and is there."""
    lines = []
    for new in maps:
        for number, places in new.replica_sets().items():
            state = sets.get((new.database, number))
            what = f"replica set {number} of {new.database}"
            if state is None or not state.lead:
                lines.append(f"{what} has no lead")
                continue
            missing = [
                p.instance
                for p in places
                if p.element not in state.in_sync or p.instance not in alive
            ]
            if missing:
                lines.append(f"{what} lacks the copy of {', '.join(missing)}")
    return lines
