"""A grid in network namespaces as the drill's clients and checkers know one."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, cast

import psycopg

from deploy.netns import hosts
from deploy.netns.grid import HOME, Grid, Say
from deploy.netns.plan import CS_PORT, DATABASE, EXTERNAL, INSTANCE, Lab, address_of, host_name
from deploy.sample.load import PRIVILEGES, Login
from tests.support.real_grid import RealGrid

USER = "terry"


class NetnsGrid(Grid):
    """`hosts` are the numbers of the hosts whose elements are in the map."""

    def __init__(
        self,
        lab: Lab,
        say: Say = print,
        *,
        first: int = 1,
        name: str = "grid1",
        standby: bool = True,
    ) -> None:
        super().__init__(lab, say, first=first, name=name)
        self.standby = standby
        self.hosts: list[int] = []
        self.login = Login(DATABASE, USER, secrets.token_urlsafe(12))

    def as_real(self) -> RealGrid:
        """For code written for a grid on loopback; it has what that uses."""
        return cast(RealGrid, self)

    def addresses(self) -> list[str]:
        """External addresses of the data hosts."""
        return [address_of(host_name(number), EXTERNAL) for number in self.hosts]

    def words(self, address: str) -> dict[str, Any]:
        """What psycopg.connect needs for one data instance."""
        return {
            "host": address,
            "port": CS_PORT,
            "user": self.login.user,
            "password": self.login.password,
            "dbname": self.login.database,
            "autocommit": True,
            "connect_timeout": 5,
        }

    def element_file(self, number: int) -> Path:
        """The SQLite file of the element on a host, as this machine sees it."""
        name = f"{host_name(number)}.{INSTANCE}"
        folder = self.lab.host_folder(host_name(number)) / "grid" / "databases" / name
        return folder / DATABASE / "element.db"

    def create_user(self) -> None:
        """As the instance administrator, over the local socket of the first data host."""
        script = (
            f"CREATE USER {USER} IDENTIFIED BY '{self.login.password}';\n"
            f"GRANT {PRIVILEGES} TO {USER};\n"
        )
        folder = self.home_of(self.hosts[0]) / "info"
        with psycopg.connect(
            host=str(folder), port=CS_PORT, user="root", dbname=DATABASE, autocommit=True
        ) as connection:
            for statement in script.splitlines():
                connection.execute(statement.rstrip(";").encode())

    def home_of(self, number: int) -> Path:
        """An instance home as this machine sees it."""
        return self.lab.home(number)

    def start_daemon(self, number: int) -> None:
        """ttDaemonAdmin -start on a host that has power again."""
        hosts.run(self.lab, host_name(number), f"{HOME}/bin/ttDaemonAdmin", "-start")
