"""Requests and replies about certificates (the HTTP API's part certificates/). No I/O."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from mgmt.api.schema import Reply, Request


class CertificateList(Request, frozen=True, kw_only=True):
    """All certificates that were given out."""

    PATH: ClassVar[str] = "certificates/list"


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate. name: rootWallet, instanceWallet or serverWallet."""

    name: str
    holder: str
    expiration_us: int  # microseconds since 1970 UTC; 0: there is none
    state: str  # ok, expires in N days, expired, missing
    names: tuple[str, ...] = ()
    serial: str = ""
    fingerprint: str = ""  # SHA-256


class CertificateListReply(Reply, frozen=True, kw_only=True):
    """Answer of CertificateList."""

    certificates: tuple[CertificateRow, ...]
    internal_encryption: str
    server_encryption: str


class CertificateRenew(Request, frozen=True, kw_only=True):
    """New keys and certificates; only: host or host.instance, empty for all instances."""

    PATH: ClassVar[str] = "certificates/renew"
    only: tuple[str, ...] = ()
    root: bool = False  # a new certificate of the authority, with the same key
    new_key: str = ""  # begin: a second key is trusted; finish: it alone signs and is trusted
    days: int = 397
    membership_root: str = ""  # PEM, both: only what the membership servers are asked with
    membership_certificate: str = ""


class CertificateExport(Request, frozen=True, kw_only=True):
    """The authority's certificate, for clients."""

    PATH: ClassVar[str] = "certificates/export"


class ClientExportAll(Request, frozen=True, kw_only=True):
    """Everything a client host needs; location: where it will be unpacked."""

    PATH: ClassVar[str] = "grids/client-export-all"
    location: str = "."
    user: str = ""
    passfile: str = ""


class ClientFile(msgspec.Struct, frozen=True):
    """One file of the archive."""

    name: str
    text: str


class ClientFilesReply(Reply, frozen=True, kw_only=True):
    """Answer of ClientExportAll."""

    files: tuple[ClientFile, ...]
