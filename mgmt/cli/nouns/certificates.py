"""certificateList, certificateRenew, certificateExport, gridClientExportAll."""

from __future__ import annotations

import os
import zipfile

from mgmt.api import schema
from mgmt.api import schema_certificates as requests
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import of_certify, write_or_show
from mgmt.cli.render import moment, table
from protocol.errors import ParameterError

GROUP = "Certificates"


def _list(reply: requests.CertificateListReply, arguments: Arguments) -> str:
    details = arguments.has("details")
    headings = ["NAME", "HOLDER", "EXPIRATION", "STATE"]
    rows = [[c.name, c.holder, moment(c.expiration_us), c.state] for c in reply.certificates]
    if details:
        headings += ["NAMES", "SHA-256"]
        for row, c in zip(rows, reply.certificates, strict=True):
            row += [" ".join(c.names), c.fingerprint]
    modes = (
        f"Internal network: {reply.internal_encryption}."
        f" SQL clients: encryption {reply.server_encryption}."
    )
    return table(headings, rows) + "\n\n" + modes


def _renew(arguments: Arguments) -> requests.CertificateRenew:
    return requests.CertificateRenew(
        only=tuple(filter(None, (arguments.word("INSTANCE"),))),
        root=arguments.has("root"),
        new_key=arguments.value("newKey").lower(),
        days=arguments.integer("days", 397),
        membership_root=of_certify(arguments, "root.crt"),
        membership_certificate=of_certify(arguments, "client.pem"),
    )


def _export_all(arguments: Arguments) -> requests.ClientExportAll:
    return requests.ClientExportAll(
        location=arguments.value("location", "."),
        user=arguments.value("user"),
        passfile=arguments.value("passfile"),
    )


def _write_archive(reply: requests.ClientFilesReply, arguments: Arguments) -> str:
    name = arguments.word("FILE")
    if not name.lower().endswith(".zip"):
        name += ".zip"
    beside = f"{name}.new"
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in reply.files:
                archive.writestr(file.name, file.text)
        os.replace(beside, name)
    except OSError as error:
        raise ParameterError(f"cannot write {name}: {error.strerror}") from error
    return f"Client files exported to {name}: {', '.join(f.name for f in reply.files)}"


COMMANDS = (
    Command(
        "certificateList",
        GROUP,
        "Show the certificates of the grid and when they expire",
        (),
        (Option("details", "", "also the names they hold and their fingerprints"),),
        build=lambda a: requests.CertificateList(),
        reply=requests.CertificateListReply,
        render=_list,
    ),
    Command(
        "certificateRenew",
        GROUP,
        "Give instances new keys and certificates; nothing has to be restarted",
        (Positional("INSTANCE", required=False),),
        (
            Option("root", "", "a new certificate of the authority (same key) for all instances"),
            Option("newKey", "begin|finish", "another key of the authority, in two steps"),
            Option("membershipTls", "DIR", "for membership servers: of certify -renew"),
            Option("days", "N", "the certificates are good for so many days (397)"),
        ),
        build=_renew,
        reply=schema.Done,
    ),
    Command(
        "certificateExport",
        GROUP,
        "Write the authority's certificate, which clients check servers with",
        (Positional("FILE", required=False),),
        (),
        build=lambda a: requests.CertificateExport(),
        reply=schema.TextFile,
        render=lambda reply, a: write_or_show(reply, a.word("FILE")),
    ),
    Command(
        "gridClientExportAll",
        GROUP,
        "Write a zip file with all that encrypted clients need",
        (Positional("FILE"),),
        (
            Option("location", "DIR", "where it will be unpacked on the client (.)"),
            Option("user", "NAME", "user of the services"),
            Option("passfile", "FILE", "absolute path of the password file"),
        ),
        build=_export_all,
        reply=requests.ClientFilesReply,
        render=_write_archive,
    ),
)
