"""Columns that are GENERATED ALWAYS AS IDENTITY: only their sequence gives values. Pure."""

from __future__ import annotations

from data.catalog.catalog import shown
from data.catalog.objects import Column
from protocol.errors import GeneratedAlwaysError


def refuse_given(column: Column) -> None:
    """Raises GeneratedAlwaysError for a column that only its sequence fills."""
    if column.identity == "always":
        raise GeneratedAlwaysError(
            f'column "{shown(column.name)}" is GENERATED ALWAYS AS IDENTITY',
            hint="leave it out, or say DEFAULT",
        )
