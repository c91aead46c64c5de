"""The conftest of SQLAlchemy's dialect suite; copied beside it by tests/clients/suites.py."""

import pytest
from sqlalchemy.dialects import registry

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.dialects.postgresql import provision  # noqa: E402
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403

registry.register("postgresql.tengrid", "deploy.clients.sqlalchemy_dialect", "Dialect")
provision._extensions.clear()  # citext, hstore: there are no extensions
