"""ttMembership certify: an authority for membership servers, and a certificate for each of them.

Membership servers are there before any grid is, so their authority is not a grid's.
"""

from __future__ import annotations

import os
from pathlib import Path

from membership import tls
from membership.config import BadSettingsError, parse_servers
from mgmt import certificates
from mgmt.cli.command import Arguments
from protocol.clock import wall_us
from protocol.errors import ModelError, ParameterError, UsageError
from protocol.tls import CertifiedName

KIND = "membership"
DAYS = certificates.ROOT_DAYS  # nobody renews them by itself


def certify(arguments: Arguments, homes: list[Path]) -> int:
    """Make the folder that -tls and gridCreate -membershipTls want."""
    for needed in ("servers", "out"):
        if not arguments.has(needed):
            raise UsageError(f"ttMembership certify wants -{needed}")
    if homes:
        raise UsageError("ttMembership certify wants -out DIR, no home")
    folder = Path(arguments.value("out")).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise ModelError(f"{folder} is not empty", hint="Choose another -out.")
    try:
        servers = parse_servers(arguments.value("servers"))
    except BadSettingsError as problem:
        raise ParameterError(str(problem)) from problem
    now_us = wall_us()
    authority = certificates.new_authority("membership servers", now_us)

    def made(name: str, *addresses: str) -> str:
        return certificates.issue(
            authority,
            name,
            now_us=now_us,
            internal=CertifiedName(KIND, KIND, name),
            names=addresses,
            days=DAYS,
        ).pem

    files = {tls.server_file(s.id): made(f"server{s.id}", s.address) for s in servers}
    files |= {
        tls.ROOT_FILE: authority.certificates,
        tls.KEY_FILE: authority.key,
        tls.CLIENT_FILE: made("client"),
    }
    write_private(folder, files)
    print(f"Certificates of {len(servers)} membership servers and their clients made in {folder}")
    print(f"{folder / tls.KEY_FILE} signs others: keep it where no server is, or remove it.")
    return 0


def write_private(folder: Path, files: dict[str, str]) -> None:
    """Files for their owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
