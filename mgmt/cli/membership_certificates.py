"""ttMembership certify: an authority for membership servers, and a certificate for each of them.

Membership servers are there before any grid is, so their authority is not a grid's.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from membership import tls
from membership.config import BadSettingsError, load_config, parse_servers
from mgmt import certificates
from mgmt.certificates import Authority
from mgmt.cli.command import Arguments
from protocol.clock import wall_us
from protocol.errors import ModelError, ParameterError, UsageError
from protocol.tls import CertifiedName

KIND = "membership"
NAME = "membership servers"  # of the authority
CONFIG_FILE = "conf/membership.toml"
DAYS = certificates.ROOT_DAYS  # nobody renews them by itself


def certify(arguments: Arguments, homes: list[Path]) -> int:
    """Make the folder that -tls and gridCreate -membershipTls want."""
    if arguments.has("renew"):
        return _certify_anew(arguments, homes)
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
    authority = certificates.new_authority(NAME, now_us)

    write_private(folder, _files(authority, {s.id: s.address for s in servers}, now_us))
    print(f"Certificates of {len(servers)} membership servers and their clients made in {folder}")
    print(f"{folder / tls.KEY_FILE} signs others: keep it where no server is, or remove it.")
    return 0


def _files(authority: Authority, servers: dict[int, str], now_us: int) -> dict[str, str]:
    """All of the folder. servers: number → address."""

    def made(name: str, *addresses: str) -> str:
        return certificates.issue(
            authority,
            name,
            now_us=now_us,
            internal=CertifiedName(KIND, KIND, name),
            names=addresses,
            days=DAYS,
        ).pem

    files = {tls.server_file(n): made(f"server{n}", address) for n, address in servers.items()}
    return files | {
        tls.ROOT_FILE: authority.certificates,
        tls.KEY_FILE: authority.key,
        tls.CLIENT_FILE: made("client"),
    }


def _certify_anew(arguments: Arguments, homes: list[Path]) -> int:
    """certify -renew: the same authority, newer certificates; the old ones stay good."""
    if homes or not arguments.has("out") or arguments.has("servers"):
        raise UsageError("ttMembership certify -renew wants -out DIR, the folder of the first time")
    folder = Path(arguments.value("out")).absolute()
    try:
        root, key = ((folder / f).read_text("ascii") for f in (tls.ROOT_FILE, tls.KEY_FILE))
        servers = {
            int(number.group(1)): certificates.about(file.read_text("ascii")).names
            for file in sorted(folder.glob("server*.pem"))
            if (number := re.fullmatch(r"server(\d+)\.pem", file.name))
        }
    except OSError as error:
        raise ParameterError(
            f"-out {folder}: {error.strerror}: {error.filename}",
            hint="The authority's key (root.key) is wanted, and the certificates it made.",
        ) from error
    now_us = wall_us()
    authority = certificates.with_new_root(Authority(key=key, certificates=root), NAME, now_us)
    addresses = {n: next(x for x in names if "://" not in x) for n, names in servers.items()}
    write_private(folder, _files(authority, addresses, now_us))
    print(f"Certificates of {len(servers)} membership servers and their clients made in {folder}")
    print("One server after the other: ttMembership renew HOME -tls DIR, stop HOME, start HOME")
    print("For the instances of each grid: ttGridAdmin certificateRenew -membershipTls DIR")
    return 0


def renew(arguments: Arguments, homes: list[Path]) -> int:
    """The newer certificate of the folder into the homes; it counts from the next start."""
    if not arguments.has("tls"):
        raise UsageError("ttMembership renew wants -tls DIR, the folder of certify -renew")
    for home in homes:
        number = load_config(home / CONFIG_FILE).id
        if not (home / tls.HOME_FOLDER / tls.SERVER_FILE).exists():
            raise ModelError(f"{home.name} was created without -tls")
        write_private(home / tls.HOME_FOLDER, of_server(arguments, number))
        print(f"{home.name}: certificate renewed; ttMembership stop and start, when the others run")
    return 0


def of_server(arguments: Arguments, number: int) -> dict[str, str]:
    """What a server needs of the folder -tls of certify, by the names that it has in its home."""
    if not arguments.has("tls"):
        return {}
    folder = Path(arguments.value("tls"))
    try:
        return {
            tls.ROOT_FILE: (folder / tls.ROOT_FILE).read_text("ascii"),
            tls.SERVER_FILE: (folder / tls.server_file(number)).read_text("ascii"),
        }
    except OSError as error:
        raise ParameterError(
            f"-tls {folder}: {error.strerror}: {error.filename}",
            hint="ttMembership certify -servers LIST -out DIR makes such a folder.",
        ) from error


def write_private(folder: Path, files: dict[str, str]) -> None:
    """Files for their owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
