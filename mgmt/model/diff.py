"""What is in place and what the model wants: the ordered, restartable steps of modelApply. Pure.

The difference is taken against what management put in place (not against the last applied
version), so an apply that failed or was cut off is finished or undone by the next one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from mgmt.model.types import Installation, Instance, Model


class ApplyStep(NamedTuple):
    """One step of modelApply: what the user sees, and which performer does it."""

    title: str
    action: str


class Work(NamedTuple):
    """By kind what has to be made and what has to go; names are host.name."""

    new_installations: list[Installation]
    new_instances: list[Instance]
    gone_installations: list[str]
    gone_instances: list[str]


def work(model: Model, *, installations: Collection[str], instances: Collection[str]) -> Work:
    """model: the wanted one; installations and instances: names of what is completely in place.

    Made-by-hand instances stand in both, or the model lost them and they are gone like others.
    """
    wanted_installations = {f"{i.host}.{i.name}": i for i in model.installations}
    wanted_instances = {i.full_name: i for i in model.instances}
    return Work(
        [i for name, i in wanted_installations.items() if name not in installations],
        [i for name, i in wanted_instances.items() if name not in instances],
        [name for name in installations if name not in wanted_installations],
        [name for name in instances if name not in wanted_instances],
    )


def apply_steps(todo: Work, *, version: int, start: bool, standby: bool = False) -> list[ApplyStep]:
    """The steps of modelApply in their order, with the titles users see.

    standby: there is a management instance that was never started.
    """
    steps = [
        ApplyStep("Creating new model version", "apply-freeze"),
        ApplyStep(f"Exporting current model (version {version})", "apply-export"),
        ApplyStep("Identifying any deleted objects", "apply-identify-deleted"),
    ]
    if todo.gone_instances:
        steps.append(ApplyStep("Deleting instances", "apply-delete-instances"))
    if todo.gone_installations:
        steps.append(ApplyStep("Deleting installations", "apply-delete-installations"))
    steps.append(ApplyStep("Verifying installations", "apply-verify-installations"))
    if todo.new_installations:
        steps.append(ApplyStep("Creating new installations", "apply-create-installations"))
    steps.append(ApplyStep("Verifying instances", "apply-verify-instances"))
    if todo.new_instances:
        steps.append(ApplyStep("Creating new instances", "apply-create-instances"))
    steps += [
        ApplyStep("Updating grid state", "apply-grid-state"),
        ApplyStep("Configuring instance authentication", "apply-authentication"),
        ApplyStep("Pushing new configuration files to each instance", "apply-push"),
        ApplyStep(
            f"Making model version {version} current, version {version + 1} writable",
            "apply-make-current",
        ),
    ]
    if todo.new_instances:
        steps.append(ApplyStep("Checking ssh connectivity of new instances", "apply-connectivity"))
    if start and standby:
        steps.append(ApplyStep("Starting new management instance", "apply-start-management"))
        steps.append(ApplyStep("Configuring standby management instance", "apply-standby"))
    if start:
        steps.append(ApplyStep("Starting new data instances", "apply-start"))
    return steps
