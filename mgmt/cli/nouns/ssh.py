"""gridSshConfig: keys between hosts. It needs no grid; SSH is loaded only when it runs."""

from __future__ import annotations

import asyncio
import getpass
import sys

from mgmt.api import schema
from mgmt.cli.client import Client
from mgmt.cli.command import Arguments, Command, Option
from mgmt.cli.nouns.common import read_text
from mgmt.cli.tool import confirmed
from protocol.errors import OperationError, UsageError

GROUP = "Grid"


def _configure(arguments: Arguments, client: Client) -> schema.Done:
    from mgmt.transport.ssh_setup import SshSetup  # a third of a second that others need not wait

    def trust(address: str, algorithm: str, fingerprint: str) -> bool:
        print(f"{address} shows the host key {algorithm} {fingerprint}")
        return arguments.has("acceptHostKeys") or confirmed("Is that its own?")

    def password() -> str:
        if arguments.has("passwordFile"):
            return read_text(arguments.value("passwordFile")).rstrip("\n")
        if not sys.stdin.isatty():
            raise UsageError("a host wants a password: use a terminal, or -passwordFile FILE")
        return getpass.getpass(f"Password of {getpass.getuser()} on the hosts: ")

    setup = SshSetup(
        _addresses(arguments, "mgmtAddress"),
        _addresses(arguments, "dataAddress"),
        trust=trust,
        password=password,
    )
    results = asyncio.run(setup.run())
    lines = [f"{r.address}: {r.problem or 'ssh works with keys'}" for r in results]
    if any(result.problem for result in results):
        raise OperationError("ssh does not work everywhere", detail="\n".join(lines))
    return schema.Done(messages=tuple(lines))


def _addresses(arguments: Arguments, option: str) -> list[str]:
    """An option may be given several times, and hold several addresses."""
    given = " ".join(arguments.values(option)).replace(",", " ")
    return given.split()


COMMANDS = (
    Command(
        "gridSshConfig",
        GROUP,
        "Let the management hosts reach all hosts by ssh with keys",
        (),
        (
            Option("mgmtAddress", "ADDR", "internal address of a management host", repeat=True),
            Option("dataAddress", "ADDR", "internal address of another host", repeat=True),
            Option("appendKeys", "", "keys are added to those that are there (always so)"),
            Option("acceptHostKeys", "", "do not ask whether a new host key is right"),
            Option("passwordFile", "FILE", "where the password is, instead of asking for it"),
        ),
        reply=schema.Done,
        local=_configure,
    ),
)
