"""The error for who may not, naming what is missing. Pure."""

from __future__ import annotations

from data.access.privileges import ADMIN
from data.catalog.catalog import Relation
from data.catalog.objects import StoredUnit
from protocol.errors import PrivilegeError


def lacks(
    user: str,
    privilege: str,
    relation: Relation | StoredUnit | None = None,
    position: int = 0,
    *,
    used_for: str = "",
) -> PrivilegeError:
    """TimesTen's words: error 15100, user X lacks privilege Y."""
    if relation is None:
        grant = f"GRANT {privilege} TO {user}"
        return PrivilegeError(
            f"user {user} lacks privilege {privilege}{' to ' if used_for else ''}{used_for}",
            hint=f"A user with ADMIN can {'do it' if privilege == ADMIN else grant}.",
            position=position,
        )
    name = f"{relation.schema}.{relation.name}"
    return PrivilegeError(
        f"user {user} lacks privilege {privilege} on {name}",
        hint=f"{relation.schema} or a user with ADMIN can GRANT {privilege} ON {name} TO {user}.",
        position=position,
    )
