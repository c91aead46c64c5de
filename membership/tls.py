"""TLS to and between membership servers: certificate files -> contexts.

A folder made by `ttMembership certify` holds root.crt (who signs all of it), serverN.pem (key and
certificate of server N, which names its address) and client.pem (for the instances of a grid).
Servers take nobody without a certificate of this authority, and clients verify the address.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from membership.config import TLS_ROOT_FILE, TLS_SERVER_FILE

ROOT_FILE, SERVER_FILE = TLS_ROOT_FILE, TLS_SERVER_FILE
CLIENT_FILE, KEY_FILE = "client.pem", "root.key"
HOME_FOLDER = "conf/tls"  # in the home of a membership server


def server_file(number: int) -> str:
    """Of server `number`, in the folder that `certify` makes."""
    return f"server{number}.pem"


class ClientFiles(NamedTuple):
    """What a client of the membership servers needs."""

    root: Path
    own: Path  # key and certificate

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError is one) when the files are missing or broken."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.root)
        context.load_cert_chain(self.own)
        return context


def of_server(home: Path) -> ClientFiles:
    """With which a server's own tools talk to the ensemble."""
    return ClientFiles(home / HOME_FOLDER / ROOT_FILE, home / HOME_FOLDER / SERVER_FILE)


def of_folder(folder: Path) -> ClientFiles:
    """The same from the folder that `certify` made."""
    return ClientFiles(folder / ROOT_FILE, folder / CLIENT_FILE)
