"""Names, addresses and files of a grid in network namespaces. Pure."""

from __future__ import annotations

from pathlib import Path

import msgspec

INTERNAL, EXTERNAL = "10.77.0", "10.77.1"
MEMBERSHIP_FIRST = 100  # ms_host1 is .101
CLIENT_NUMBER = 200
CLIENT = "client"
MEMBERSHIP_PORT = 2181
MEMBERSHIP_IDS = (1, 2, 3)
ROOT = "/grid"  # of every host: its own folder of the lab is there
SHARED = "/grid/shared"  # the same folder on all hosts, as NFS would make it
INSTANCE = "instance1"
DATABASE = "database1"
DAEMON_PORT, CS_PORT = 6624, 6625
SESSION_TIMEOUT_S = 4  # many hosts on few cores
# The reference grid G3: three data space groups, hosts 1 and 2 manage.
GROUPS = {3: 1, 4: 2, 5: 3, 6: 1, 7: 2, 8: 3}


class Lab(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is, and which hosts it has."""

    folder: Path  # absolute
    hosts: tuple[int, ...] = (1, 2, *GROUPS)

    def names(self) -> list[str]:
        """All hosts: of the grid, of the membership servers, and the client."""
        grid = [host_name(number) for number in self.hosts]
        return [*grid, *(membership_name(n) for n in MEMBERSHIP_IDS), CLIENT]

    def host_folder(self, name: str) -> Path:
        """Of one host; `grid` in it is the host's /grid."""
        return self.folder / name

    def home(self, number: int) -> Path:
        """An instance home as this machine sees it."""
        return self.folder / host_name(number) / "grid" / INSTANCE

    @property
    def software(self) -> Path:
        """The self-contained installation, built once."""
        return self.folder / "software"

    def hosts_file(self) -> str:
        """/etc/hosts of every host."""
        lines = ["127.0.0.1 localhost"]
        for name in self.names():
            for prefix, network in (("int", INTERNAL), ("ext", EXTERNAL)):
                if address := address_of(name, network):
                    lines.append(f"{address} {prefix}-{name}")
        return "\n".join(lines) + "\n"

    def ssh_config(self) -> str:
        """~/.ssh/config of every host."""
        return (
            f"Host {INTERNAL}.* int-*\n  User root\n  IdentityFile ~/.ssh/id_ed25519\n"
            "  UserKnownHostsFile ~/.ssh/known_hosts\n"
        )

    def sshd_config(self, name: str) -> str:
        """sshd listens on the internal network only."""
        words = {
            "ListenAddress": address_of(name, INTERNAL),
            "HostKey": self.host_folder(name) / "ssh_host_ed25519_key",
            "AuthorizedKeysFile": "/root/.ssh/authorized_keys",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "UsePAM": "no",
            "UseDNS": "no",
            "PrintMotd": "no",
            "MaxStartups": "50",
        }
        return "".join(f"{key} {value}\n" for key, value in words.items())

    def servers(self) -> str:
        """For `ttMembership create -servers`."""
        return ",".join(
            f"{address_of(membership_name(n), INTERNAL)}!{MEMBERSHIP_PORT}!2888!3888"
            for n in MEMBERSHIP_IDS
        )

    def membership_file(self) -> str:
        """membership.conf of gridCreate."""
        servers = (
            f"{address_of(membership_name(n), INTERNAL)}!{MEMBERSHIP_PORT}" for n in MEMBERSHIP_IDS
        )
        return f"Servers {','.join(servers)}\n"

    @staticmethod
    def dbdef() -> str:
        """Of database1."""
        attributes = {
            "DataStore": f"{ROOT}/databases/!!INSTANCE_NAME!!/{DATABASE}",
            "DatabaseCharacterSet": "AL32UTF8",
            "PermSize": 256,
            "TempSize": 128,
        }
        return "".join(f"{key}={value}\n" for key, value in attributes.items())


def host_name(number: int) -> str:
    """host<n>."""
    return f"host{number}"


def membership_name(number: int) -> str:
    """ms_host<n>."""
    return f"ms_host{number}"


def address_of(name: str, network: str) -> str:
    """A host's address in a network; "" where it is not connected: membership servers are on the
    internal network only, the client is on the external one only."""
    if name == CLIENT:
        return f"{EXTERNAL}.{CLIENT_NUMBER}" if network == EXTERNAL else ""
    if name.startswith("ms_host"):
        number = MEMBERSHIP_FIRST + int(name.removeprefix("ms_host"))
        return f"{INTERNAL}.{number}" if network == INTERNAL else ""
    return f"{network}.{10 + int(name.removeprefix('host'))}"


def card_of(address: str) -> str:
    """The hardware address of the card with an IPv4 address: a local one, always the same."""
    return ":".join(["02", "00", *(f"{int(part):02x}" for part in address.split("."))])
