"""Makes SSH between hosts work without passwords: keys, authorized_keys, known_hosts.

Run on the first management host. Each management host gets a key pair unless it has one; all hosts
let these keys in; management hosts know all host keys. Repeatable: only what is missing is added.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh

from mgmt.transport.local import is_this_machine
from mgmt.transport.ssh_connections import CONNECT_TIMEOUT_S, open_connection, unreachable
from protocol.errors import GridError, OperationError, ParameterError

KEY_FILE = "id_ed25519"
# Lines of standard input that the file $1 below ~/.ssh lacks are added to it.
_ADD_LINES = """\
umask 077; mkdir -p ~/.ssh && cd ~/.ssh && touch "$1" &&
while IFS= read -r line; do grep -qxF -- "$line" "$1" || printf '%s\\n' "$line" >>"$1" || exit 1
done"""
_OWN_KEY = f"""\
umask 077; mkdir -p ~/.ssh && cd ~/.ssh || exit 1
[ -e {KEY_FILE} ] || ssh-keygen -q -t ed25519 -N '' -f {KEY_FILE} || exit 1
cat {KEY_FILE}.pub"""

Ask = Callable[[], str]  # for the password, when a key does not do
Trust = Callable[[str, str, str], bool]  # address, algorithm, fingerprint


class Result(NamedTuple):
    """What became of one host."""

    address: str
    problem: str  # "": keys work


class SshSetup:
    """One run of gridSshConfig."""

    def __init__(
        self,
        management: Sequence[str],
        data: Sequence[str],
        *,
        trust: Trust,
        password: Ask,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._management = list(dict.fromkeys(management))
        self._all = list(dict.fromkeys([*management, *data]))
        self._trust = trust
        self._ask = password
        self._password = ""
        self._options = dict(options or {})
        self._folder = Path(os.path.expanduser("~")) / ".ssh"

    async def run(self) -> list[Result]:
        """Set up, then try each host with keys alone."""
        if not self._all:
            raise ParameterError("no hosts: give -mgmtAddress and -dataAddress")
        own_key = await self._local(_OWN_KEY)
        lines = await self._host_keys()
        await self._local(_ADD_LINES, "known_hosts", content="".join(lines))
        keys = [own_key.strip()]
        problems: dict[str, GridError] = {}
        for address in (a for a in self._management if not is_this_machine(a)):
            try:
                keys.append((await self._remote(address, _OWN_KEY)).strip())
                await self._remote(address, _ADD_LINES, "known_hosts", content="".join(lines))
            except GridError as error:
                problems[address] = error
        text = "".join(f"{key}\n" for key in dict.fromkeys(keys))
        for address in self._all:
            try:
                await self._remote(address, _ADD_LINES, "authorized_keys", content=text)
            except GridError as error:
                problems[address] = error
        return [await self._check(address, problems.get(address)) for address in self._all]

    async def _check(self, address: str, before: GridError | None) -> Result:
        try:
            connection = await open_connection(address, self._options)
        except GridError as error:
            return Result(address, (before or error).message)
        connection.abort()
        return Result(address, "")

    async def _host_keys(self) -> list[str]:
        """Lines of known_hosts for all hosts. Raises OperationError if one is not trusted."""
        lines = []
        for address in self._all:
            words = {k: v for k, v in self._options.items() if k in ("config", "port")}
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    options = await asyncssh.SSHClientConnectionOptions.construct(
                        host=address, **words
                    )
                    key = await asyncssh.get_server_host_key(address, **words)
            except (OSError, asyncssh.Error, TimeoutError) as error:
                raise unreachable(address, error) from error
            assert key is not None
            name = address if options.port in (None, 22) else f"[{address}]:{options.port}"
            line = f"{name} {key.export_public_key().decode().strip()}\n"
            if not self._is_known(line) and not self._trust(
                address, key.get_algorithm(), key.get_fingerprint()
            ):
                raise OperationError(f"the host key of {address} was not accepted")
            lines.append(line)
        return lines

    def _is_known(self, line: str) -> bool:
        try:
            known = (self._folder / "known_hosts").read_text()
        except OSError:
            return False
        return line in known

    async def _remote(self, address: str, script: str, *words: str, content: str = "") -> str:
        """Run lines of a shell with a key, or else with the password."""
        try:
            connection = await open_connection(address, self._options)
        except OperationError:
            if not self._password:
                self._password = self._ask()
            connection = await open_connection(
                address, {**self._options, "password": self._password}
            )
        try:
            done = await connection.run(_line(script, words), input=content)
        except (asyncssh.Error, OSError) as error:
            raise unreachable(address, error) from error
        finally:
            connection.abort()
        if done.exit_status:
            raise OperationError(f"{address}: {str(done.stderr).strip()}")
        return str(done.stdout)

    async def _local(self, script: str, *words: str, content: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script, "sh", *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate(content.encode())
        if process.returncode:
            raise OperationError(f"~/.ssh: {errors.decode(errors='replace').strip()}")
        return output.decode()


def _line(script: str, words: Sequence[str]) -> str:
    return shlex.join(["sh", "-c", script, "sh", *words])
