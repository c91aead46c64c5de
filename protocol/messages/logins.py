"""Between data instances: logins that failed, for the accounts that lock after so many."""

from __future__ import annotations

import msgspec

from protocol.messages import registry


class LoginNews(msgspec.Struct, frozen=True, array_like=True, tag="logins.news"):
    """One way, best effort, gathered over a moment. Names of users are folded."""

    db: str
    failed: tuple[tuple[str, int], ...]  # name, how often since the last news
    cleared: tuple[str, ...]  # logged in: what was counted is void


registry.declare_module(__name__)
