"""The conftest of asyncpg's own suite; copied beside it by tests/clients/suites.py.

Its tests name the database and the user `postgres`: they get the ones that there are. They expect
that an error ends a transaction.
"""

import os
from typing import Any

from asyncpg import _testbase

_FOUND = _testbase.ClusterTestCase.get_connection_spec.__func__


def _connection_spec(cls: type, kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = _FOUND(cls, kwargs or {})
    for word, variable in (("database", "PGDATABASE"), ("user", "PGUSER")):
        if spec.get(word) == "postgres":
            spec[word] = os.environ[variable]
    settings = {"tengrid.on_statement_error": "abort", **(spec.get("server_settings") or {})}
    return {**spec, "server_settings": settings}


_testbase.ClusterTestCase.get_connection_spec = classmethod(_connection_spec)
