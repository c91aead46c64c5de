"""ttMembership: create, start, stop, show and destroy membership servers of this machine.

A tool of the membership package, so it may import membership.config and its probe, which the
other commands may not (decision 0007).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from membership import tls
from membership.config import (
    BadSettingsError,
    MembershipServerConfig,
    ServerAddress,
    check,
    client_file,
    load_config,
    parse_servers,
    render_config,
)
from membership.server.probe import ServerStatus, probe
from mgmt.cli import daemon_control
from mgmt.cli.command import Arguments, Option
from mgmt.cli.membership_certificates import (
    CONFIG_FILE,
    certify,
    of_server,
    renew,
    write_private,
)
from mgmt.cli.render import table
from mgmt.cli.tool import confirmed, guarded
from mgmt.cli.words import parse_tool
from protocol import instance_file
from protocol.errors import ModelError, OperationError, ParameterError, UsageError
from protocol.instance_file import InstanceSettings

HOMES_MAX = 7
CLIENT_FILE = "conf/membership.conf"
READY_FILE = "info/ready"
START_TIMEOUT_S = 30
POLL_S = 0.05  # processes of others cannot be awaited, only looked at

OPTIONS = (
    Option("location", "DIR", "create: the folder in which the server's home is made"),
    Option("name", "NAME", "create: name of the server and of its home (default membershipN)"),
    Option("id", "N", "create: which of the servers this one is, counted from 1"),
    Option("servers", "LIST", "create, status: HOST!CLIENTPORT[!PEERPORT!ELECTIONPORT],..."),
    Option(
        "tls",
        "DIR",
        "create, renew, status: folder of certify; all goes by TLS, nothing without",
    ),
    Option("out", "DIR", "certify: the folder that is made"),
    Option("renew", "", "certify: new certificates by the authority in -out"),
    Option("heap", "MB", "create: heap of its Java process (default 64)"),
    Option("wait", "SECS", "start: how long to wait until it answers (default 30)"),
    Option("noquorum", "", "start: do not wait until a majority of the servers is there"),
    Option("force", "", "stop: kill what does not end; destroy: do not ask"),
    Option("o", "json", "status: form of the output"),
)
USAGE = """Usage: ttMembership create -location DIR -id N -servers LIST [-name NAME] [-heap MB]
                    [-tls DIR]
       ttMembership certify -servers LIST -out DIR
       ttMembership certify -renew -out DIR
       ttMembership renew HOME... -tls DIR
       ttMembership start HOME... [-wait SECS] [-noquorum]
       ttMembership stop HOME... [-force]
       ttMembership status HOME... | -servers LIST [-tls DIR] [-o json]
       ttMembership destroy HOME... [-force]

  Membership servers tell the instances of a grid who is alive and who leads. Run an odd
  number of them, three or five, on hosts that do not fail together. LIST is the same for each:
  host1!2181!2888!3888,host2!2181!2888!3888,host3!2181!2888!3888

Options:"""


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    homes = tuple(f"home{number}" for number in range(1, HOMES_MAX + 1))
    arguments = parse_tool("ttMembership", words, OPTIONS, ("action", *homes))
    action = arguments.word("action").lower()
    if arguments.has("help") or arguments.has("h") or action == "help":
        print(_help())
        return 0
    actions: dict[str, Callable[[Arguments, list[Path]], int]] = {
        "create": _create,
        "certify": certify,
        "renew": renew,
        "start": _start,
        "stop": _stop,
        "status": _status,
        "destroy": _destroy,
    }
    if action not in actions:
        raise UsageError(
            f"ttMembership knows no action {action!r}"
            if action
            else "ttMembership wants an action",
            hint="It is one of " + ", ".join(actions) + "; ttMembership -help says more.",
        )
    given = [Path(arguments.word(home)).absolute() for home in homes if arguments.word(home)]
    if action not in ("create", "certify", "status") and not given:
        raise UsageError(f"ttMembership {action} wants the home of a server")
    return actions[action](arguments, given)


def _help() -> str:
    width = max(len(f"-{o.name} {o.value}") for o in OPTIONS) + 2
    lines = [f"  {f'-{o.name} {o.value}'.ljust(width)}{o.help}" for o in OPTIONS]
    return "\n".join([USAGE, *lines])


# -- create and destroy ---------------------------------------------------------------------------
def _create(arguments: Arguments, homes: list[Path]) -> int:
    if homes:
        raise UsageError("ttMembership create wants -location DIR, not a home")
    for needed in ("location", "id", "servers"):
        if not arguments.has(needed):
            raise UsageError(f"ttMembership create wants -{needed}")
    try:
        config = MembershipServerConfig(
            id=arguments.integer("id", 1),
            servers=parse_servers(arguments.value("servers")),
            heap_mb=arguments.integer("heap", 64),
            tls=arguments.has("tls"),
        )
        check(config)
    except BadSettingsError as problem:
        raise ParameterError(str(problem)) from problem
    name = arguments.value("name", f"membership{config.id}")
    home = Path(arguments.value("location")).absolute() / name
    if home.exists():
        raise ModelError(f"{home} exists already", hint="Choose another -name or -location.")
    certificates = of_server(arguments, config.id)
    for folder in ("conf", "info", "diag", "data"):
        (home / folder).mkdir(parents=True)
    if certificates:
        write_private(home / tls.HOME_FOLDER, certificates)
    settings = InstanceSettings(
        name=name, kind="membership", home=str(home), internal_address=config.own.address
    )
    (home / instance_file.INSTANCE_FILE).write_text(instance_file.render(settings))
    (home / CONFIG_FILE).write_text(render_config(config))
    (home / CLIENT_FILE).write_text(client_file(config.servers))
    print(f"Membership server {name} created in {home}")
    return 0


def _destroy(arguments: Arguments, homes: list[Path]) -> int:
    for home in homes:
        config = _config(home)
        if daemon_control.read_pid(home, daemon_control.PID_FILE):
            raise ModelError(f"{home.name} runs", hint=f"ttMembership stop {home}")
        if not arguments.has("force") and not confirmed(
            f"Delete membership server {config.id} with all its data in {home}?"
        ):
            raise ModelError("not confirmed", hint="-force does not ask.")
        shutil.rmtree(home)
        print(f"Membership server {home.name} destroyed")
    return 0


# -- start and stop -------------------------------------------------------------------------------
def _start(arguments: Arguments, homes: list[Path]) -> int:
    configs = [_config(home) for home in homes]
    for home, config in zip(homes, configs, strict=True):
        pid = daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE)
        if pid:
            raise ModelError(f"{home.name} runs already (PID: {pid})")
        _check_ports_free(home, config.own)
    supervisors = [_spawn(home) for home in homes]
    deadline_s = time.monotonic() + arguments.integer("wait", START_TIMEOUT_S)
    for home, config, supervisor in zip(homes, configs, supervisors, strict=True):
        _await_ready(home, supervisor, deadline_s)
        pid = daemon_control.read_pid(home, daemon_control.PID_FILE)
        print(f"Membership server {home.name} (PID: {pid}, port: {config.own.client_port}) started")
    majority = len(configs[0].servers) // 2 + 1
    if len(homes) >= majority and not arguments.has("noquorum"):
        _await_quorum(configs, _context(homes[0], configs[0]), deadline_s)
    return 0


def _spawn(home: Path) -> subprocess.Popen[bytes]:
    (home / READY_FILE).unlink(missing_ok=True)
    with (home / "diag" / "supervisor.out").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "daemons.supervisor", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home,
            start_new_session=True,
        )


def _await_ready(home: Path, supervisor: subprocess.Popen[bytes], deadline_s: float) -> None:
    while not (home / READY_FILE).exists():
        if supervisor.poll() is not None or time.monotonic() > deadline_s:
            raise OperationError(
                f"membership server {home.name} did not start",
                detail=_last_lines(home),
                hint=f"Its logs are in {home / 'diag'}.",
            )
        time.sleep(POLL_S)


def _await_quorum(
    configs: list[MembershipServerConfig], context: ssl.SSLContext | None, deadline_s: float
) -> None:
    """Wait until all that were started serve; a majority is enough when the time is over."""
    total = len(configs[0].servers)
    own = [config.own for config in configs]
    while (serving := sum(s.serves for s in _probe_all(own, context))) < len(own):
        if time.monotonic() > deadline_s:
            break
        time.sleep(POLL_S)
    if serving <= total // 2:
        raise OperationError(
            "the membership servers run but found no quorum",
            hint="Are the addresses and ports in -servers the same for all of them?",
        )
    print(f"Quorum of {total} membership servers reached")


def _stop(arguments: Arguments, homes: list[Path]) -> int:
    for home in homes:
        _config(home)
    for home in homes:
        if daemon_control.stop(home, force=arguments.has("force")):
            print(f"Membership server {home.name} stopped")
        else:
            print(f"Membership server {home.name} is not running")
    return 0


def _check_ports_free(home: Path, own: ServerAddress) -> None:
    for word, port in (
        ("client", own.client_port),
        ("peer", own.peer_port),
        ("election", own.election_port),
    ):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((own.address, port))
            except OSError as error:
                raise ModelError(
                    f"{home.name} cannot listen on its {word} port {own.address}:{port}:"
                    f" {error.strerror}"
                ) from error


# -- status ---------------------------------------------------------------------------------------
def _status(arguments: Arguments, homes: list[Path]) -> int:
    context = _given_context(arguments)
    if arguments.has("servers"):
        servers = _servers(arguments)
    elif homes:
        servers = _config(homes[0]).servers
        context = _context(homes[0], _config(homes[0]))
    else:
        raise UsageError("ttMembership status wants the home of a server, or -servers LIST")
    pids = {}
    for home in homes:
        pids[_config(home).id] = daemon_control.read_pid(home, daemon_control.PID_FILE)
    statuses = _probe_all(list(servers), context)
    serving = sum(status.serves for status in statuses)
    has_quorum = serving >= len(servers) // 2 + 1
    if arguments.value("o").lower() == "json":
        print(_as_json(servers, statuses, has_quorum))
    else:
        rows = [
            (
                server.id,
                f"{server.address}!{server.client_port}",
                status.role,
                status.version,
                status.connections if status.serves else "",
                status.latency_ms,
                pids.get(server.id) or "",
            )
            for server, status in zip(servers, statuses, strict=True)
        ]
        print(table(("Id", "Server", "Role", "Version", "Conns", "Latency ms", "PID"), rows))
        word = "Quorum" if has_quorum else "No quorum"
        print(f"\n{word}: {serving} of {len(servers)} servers answer")
    return 0 if has_quorum else 1


def _as_json(
    servers: tuple[ServerAddress, ...], statuses: list[ServerStatus], has_quorum: bool
) -> str:
    listed = [
        {
            "id": server.id,
            "address": server.address,
            "clientPort": server.client_port,
            "role": status.role,
            "version": status.version,
            "connections": status.connections,
            "znodes": status.znodes,
            "latencyMs": status.latency_ms,
        }
        for server, status in zip(servers, statuses, strict=True)
    ]
    return json.dumps({"quorum": has_quorum, "servers": listed}, indent=2)


def _probe_all(servers: list[ServerAddress], context: ssl.SSLContext | None) -> list[ServerStatus]:
    async def ask_all() -> list[ServerStatus]:
        asked = (probe(s.address, s.client_port, tls=context) for s in servers)
        return list(await asyncio.gather(*asked))

    return asyncio.run(ask_all())


def _context(home: Path, config: MembershipServerConfig) -> ssl.SSLContext | None:
    return tls.of_server(home).context() if config.tls else None


def _given_context(arguments: Arguments) -> ssl.SSLContext | None:
    if not arguments.has("tls"):
        return None
    folder = Path(arguments.value("tls"))
    try:
        return tls.of_folder(folder).context()
    except OSError as error:
        raise ParameterError(f"-tls {folder}: {error}") from error


def _servers(arguments: Arguments) -> tuple[ServerAddress, ...]:
    try:
        return parse_servers(arguments.value("servers"))
    except BadSettingsError as problem:
        raise ParameterError(str(problem)) from problem


def _config(home: Path) -> MembershipServerConfig:
    if not (home / CONFIG_FILE).exists():
        raise ParameterError(f"{home} is not the home of a membership server")
    try:
        return load_config(home / CONFIG_FILE)
    except BadSettingsError as problem:
        raise ParameterError(str(problem)) from problem


def _last_lines(home: Path) -> str:
    for name in ("supervisor.out", "daemon.out", "tterrors.log", "zookeeper.log"):
        path = home / "diag" / name
        if path.exists() and (text := path.read_text(errors="replace").strip()):
            return os.linesep.join(text.splitlines()[-5:])
    return ""


if __name__ == "__main__":
    sys.exit(main())
