"""How names are folded and shown: one rule for queries, DDL and the catalog. Pure."""

from __future__ import annotations


def folded_quoted(name: str) -> str:
    """The stored form of a quoted name (docs/decisions/0005).

    All-upper-case names are shown in lower case, and tools quote what they were shown: so a quoted
    name without any upper-case letter means the upper-case one. Mixed case stays as it is.
    """
    return name.upper() if name == name.lower() else name
