"""The privileges there are, and which one contains which. Pure.

The list and the hierarchy are TimesTen's (Security Guide, "System Privileges" and "Privilege
Hierarchy Rules"): ADMIN contains all, an ANY privilege contains that of the own schema and that of
each object, CACHE_MANAGER those of cache groups. There are no roles.
"""

from __future__ import annotations

from functools import cache

ADMIN = "ADMIN"
CREATE_SESSION = "CREATE SESSION"

_OBJECT_KINDS = (
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "SYNONYM",
    "PROCEDURE",
    "CACHE GROUP",
)
SYSTEM_PRIVILEGES = frozenset(
    {
        ADMIN,
        CREATE_SESSION,
        "CACHE_MANAGER",
        "XLA",
        *(f"CREATE {kind}" for kind in (*_OBJECT_KINDS, "PUBLIC SYNONYM")),
        *(
            f"{verb} ANY {kind}"
            for verb in ("CREATE", "ALTER", "DROP")
            for kind in (*_OBJECT_KINDS, "INDEX")
        ),
        "DROP PUBLIC SYNONYM",
        *(f"{verb} ANY TABLE" for verb in ("SELECT", "INSERT", "UPDATE", "DELETE")),
        "SELECT ANY SEQUENCE",
        "EXECUTE ANY PROCEDURE",
        *(f"{verb} ANY CACHE GROUP" for verb in ("LOAD", "UNLOAD", "REFRESH", "FLUSH")),
    }
)
TABLE_PRIVILEGES = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "INDEX", "ALTER"}
)
MATERIALIZED_PRIVILEGES = frozenset({"SELECT", "INDEX", "REFERENCES"})
VIEW_PRIVILEGES = frozenset({"SELECT"})
SEQUENCE_PRIVILEGES = frozenset({"SELECT"})
UNIT_PRIVILEGES = frozenset({"EXECUTE"})
OBJECT_PRIVILEGES = TABLE_PRIVILEGES | {"EXECUTE"}
POSTGRES_PRIVILEGES = frozenset({"TRUNCATE", "TRIGGER", "USAGE"})  # known, to be refused by name


@cache
def containing(privilege: str) -> frozenset[str]:
    """The system privileges each of which gives a system privilege, itself among them."""
    found = {ADMIN, privilege}
    verb, _, kind = privilege.partition(" ")
    if verb == "CREATE" and kind and not kind.startswith("ANY "):
        found.add(f"CREATE ANY {kind}")
    if privilege in ("CREATE CACHE GROUP", "CREATE ANY CACHE GROUP"):
        found.add("CACHE_MANAGER")
    return frozenset(found & SYSTEM_PRIVILEGES)


def any_privilege(privilege: str, kind: str) -> str:
    """The system privilege that contains an object privilege on every object of a kind.

    `kind`: TABLE (views are read with it too) or SEQUENCE. "" if there is none: REFERENCES.
    """
    verb = {"INDEX": "CREATE"}.get(privilege, privilege)
    wide = f"{verb} ANY {'INDEX' if privilege == 'INDEX' else kind}"
    return wide if wide in SYSTEM_PRIVILEGES else ""
