"""Who a client is: its startup packet, and the engine's session that is opened for it."""

from __future__ import annotations

import pwd

from data.session import commands
from data.session.engine import SqlSession
from data.session.host import REPORTED, Host
from protocol import audit
from protocol.errors import LoginRefusedError, NotSupportedError
from protocol.pgwire import messages
from protocol.pgwire.scram import Verifier


class Login:
    """One client's claim to be somebody, and what came of it."""

    def __init__(self, host: Host, peer_uid: int | None) -> None:
        self.user = ""
        self.database = ""
        self.is_admin = False
        self.address = "local"  # of the client
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
        self.check()
        if info.trust or (info.external and _os_user(self._peer_uid) == self.user.upper()):
            return None
        return self._host.verifier(self.user, info.verifier)

    def check(self) -> None:
        """Before a password is looked at. Raises LoginRefusedError for a locked account."""
        try:
            self._host.engine.check_login(self.database, self.user)
        except LoginRefusedError as error:
            audit.refused(self.user, error.message, self.address, database=self.database)
            raise

    def failed(self) -> None:
        """The password was wrong."""
        audit.refused(self.user, "wrong password", self.address, database=self.database)
        self._host.engine.login_failed(self.database, self.user)

    def open_session(self, pid: int) -> SqlSession:
        """Of the user, whose password was right. Raises what Engine.open_session raises."""
        return self._host.engine.open_session(
            self.database, self.user, self._parameters, pid, self.is_superuser
        )

    def warnings(self, sql: SqlSession) -> list[bytes]:
        """Messages for the client at its start."""
        text = sql.login_warning
        return [messages.notice_response("WARNING", text, "01000")] if text else []

    def reported(self, sql: SqlSession) -> dict[str, str]:
        """The parameters a client is told of at its start."""
        shown = dict(REPORTED)
        shown["session_authorization"] = sql.user
        shown["application_name"] = self._parameters.get("application_name", "")
        shown["is_superuser"] = "on" if self.is_admin else "off"
        shown.update({k: v for k, v in sql.parameters.items() if k in REPORTED})
        return shown


def _os_user(uid: int | None) -> str:
    """Upper case; "" over the network, or for a user the system does not know."""
    try:
        return pwd.getpwuid(uid).pw_name.upper() if uid is not None else ""
    except KeyError:
        return ""
