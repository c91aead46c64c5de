"""Who a client is: its startup packet, and the engine's session that is opened for it."""

from __future__ import annotations

from data.session import commands
from data.session.engine import SqlSession
from data.session.host import REPORTED, Host
from protocol.errors import NotSupportedError
from protocol.pgwire.scram import Verifier


class Login:
    """One client's claim to be somebody, and what came of it."""

    def __init__(self, host: Host, peer_uid: int | None) -> None:
        self.user = ""
        self.database = ""
        self.is_admin = False
        self._host = host
        self._peer_uid = peer_uid
        self.is_superuser = False  # the instance administrator, over the local socket
        self._parameters: dict[str, str] = {}

    @property
    def application_name(self) -> str:
        """As it called itself at its start."""
        return self._parameters.get("application_name", "")

    def startup(self, parameters: dict[str, str]) -> Verifier | None:
        """None: trusted. Raises what Engine.authenticate_info raises."""
        if parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
            raise NotSupportedError("replication connections are not supported")
        self.user = parameters["user"]
        self.database = parameters.get("database") or self.user
        self._parameters = commands.startup_settings(parameters)
        self.is_superuser = self._host.is_administrator(self._peer_uid, self.user)
        if self.is_superuser:  # also of a closed database; open_session checks what there is
            self.is_admin = True
            return None
        info = self._host.engine.authenticate_info(self.database, self.user)
        self.is_admin = info.is_admin
        if info.trust:
            return None
        return self._host.verifier(self.user, info.verifier)

    def open_session(self, pid: int) -> SqlSession:
        """Of the user, whose password was right. Raises what Engine.open_session raises."""
        return self._host.engine.open_session(
            self.database, self.user, self._parameters, pid, self.is_superuser
        )

    def reported(self, sql: SqlSession) -> dict[str, str]:
        """The parameters a client is told of at its start."""
        shown = dict(REPORTED)
        shown["session_authorization"] = sql.user
        shown["application_name"] = self._parameters.get("application_name", "")
        shown["is_superuser"] = "on" if self.is_admin else "off"
        shown.update({k: v for k, v in sql.parameters.items() if k in REPORTED})
        return shown
