"""Failed logins of one database as one data instance counts them. Pure.

Counts live in memory: an attempt costs no transaction, however many there are. What other
instances counted comes with their news (data/exec/logins.py). Only a lock without an end becomes a
change of the catalog, once per account.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from data.access.profiles import Limits

STRANGERS_MAX = 1000  # names of no user that are counted too, so that they look like users
FOR_EVER = float("inf")

Life = tuple[int, int]  # of an account: the user's id, how often it was unlocked; (0, 0): nobody's
NOBODY: Life = (0, 0)


@dataclass(slots=True)
class _Tries:
    count: int = 0
    until_s: float = 0.0  # locked until then
    life: Life = NOBODY  # when this began: an UNLOCK, a new password or user makes it void


class LoginGuard:
    """Who failed how often in a row, and until when who is locked. Names are folded."""

    def __init__(self) -> None:
        self._users: dict[str, _Tries] = {}
        self._strangers: OrderedDict[str, _Tries] = OrderedDict()

    def locked_s(self, name: str, life: Life, now_s: float) -> float:
        """For how many seconds more the account is locked; 0: it is not."""
        tries = self._find(name, life)
        if tries is None or not tries.until_s:
            return 0.0
        if now_s >= tries.until_s:
            self.forget(name)
            return 0.0
        return tries.until_s - now_s

    def failed(
        self,
        name: str,
        limits: Limits,
        life: Life,
        now_s: float,
        *,
        count: int = 1,
        is_user: bool = True,
    ) -> bool:
        """So many more failed logins in a row; True: now the account is locked."""
        if limits.failed_logins is None:
            return False
        self.locked_s(name, life, now_s)  # one that is over begins anew
        tries = self._find(name, life)
        if tries is None:
            tries = self._new(name, life, is_user)
        if tries.until_s:
            return False
        tries.count += count
        if tries.count < limits.failed_logins:
            return False
        lasts_s = FOR_EVER if limits.lock_us is None else limits.lock_us / 1e6
        tries.until_s = now_s + lasts_s
        return True

    def forget(self, name: str) -> bool:
        """A login succeeded; True: there was something to forget."""
        return self._users.pop(name, None) is not None or (
            self._strangers.pop(name, None) is not None
        )

    def count(self, name: str) -> int:
        """Failed logins in a row."""
        tries = self._users.get(name) or self._strangers.get(name)
        return tries.count if tries is not None else 0

    def _find(self, name: str, life: Life) -> _Tries | None:
        tries = self._users.get(name) or self._strangers.get(name)
        if tries is not None and tries.life != life:
            self.forget(name)
            return None
        return tries

    def _new(self, name: str, life: Life, is_user: bool) -> _Tries:
        made = _Tries(life=life)
        if is_user:
            self._users[name] = made
            return made
        self._strangers[name] = made
        if len(self._strangers) > STRANGERS_MAX:
            self._strangers.popitem(last=False)
        return made
