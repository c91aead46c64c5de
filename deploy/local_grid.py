"""A whole grid on this machine: python -m deploy.local_grid up|stop|start|status|logs|destroy.

Settings come from the environment: GRID_DIR (.grid), K (2), DATA (4), PORT_BASE (6600), ENCRYPTION
(off), STANDBY (on). They are kept in GRID_DIR; a later `up` with others is refused.
Uses the tools that an operator would use.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from daemons import compiled
from deploy.grid_plan import DATABASE, GridPlan, from_environment, taken_ports
from deploy.sample import again, load
from mgmt.api.schema import EXIT_UNREACHABLE
from mgmt.cli import daemon_control
from mgmt.transport.installation import create_installation
from protocol.errors import GridError, ModelError, OperationError, ParameterError
from protocol.instance_file import INSTANCE_FILE, TOKEN_FILE

PLAN_FILE = "grid.json"
USER = "terry"
STEP_TIMEOUT_S = 300
POLL_S = 0.3
BEGAN_S = time.monotonic()
ACTIONS = ("up", "stop", "start", "status", "logs", "destroy")


def main() -> int:
    """Entry point."""
    words = sys.argv[1:]
    if len(words) != 1 or words[0] not in ACTIONS:
        print(f"usage: python -m deploy.local_grid {'|'.join(ACTIONS)}", file=sys.stderr)
        return 2
    try:
        wanted = _wanted(dict(os.environ))
        actions: dict[str, Callable[[GridPlan], int]] = {
            "up": up,
            "stop": stop,
            "start": start,
            "status": status,
            "logs": logs,
            "destroy": destroy,
        }
        return actions[words[0]](wanted if words[0] == "up" else _stored(wanted.folder))
    except GridError as error:
        print(f"{error.message}", *(t for t in (error.detail, error.hint) if t), sep="\n",
              file=sys.stderr)  # fmt: skip
        return 1
    except psycopg.Error as error:
        print(f"The database refused: {error.sqlstate or ''} {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. make grid goes on or begins again.", file=sys.stderr)
        return 130


def _wanted(environment: dict[str, str]) -> GridPlan:
    """The plan asked for; what is left open is as in the grid that is there, if there is one."""
    stored = _read(Path(environment.get("GRID_DIR") or ".grid").absolute())
    if stored is not None:
        before = stored[0]
        for name, value in (
            ("K", before.k),
            ("DATA", before.data),
            ("PORT_BASE", before.port_base),
            ("ENCRYPTION", before.encryption),
            ("STANDBY", before.standby),
        ):
            environment[name] = environment.get(name) or str(value)
    return from_environment(environment)


# -- actions --------------------------------------------------------------------------------------
def up(plan: GridPlan) -> int:
    """Make the grid unless it is there; start it if it is stopped."""
    stored = _read(plan.folder)
    if stored is not None:
        before, ready = stored
        if differences := plan.differences(before):
            raise ModelError(
                f"the grid in {plan.folder} was made with other settings: {differences}",
                hint="Choose another GRID_DIR (and PORT_BASE), or first: make grid-destroy",
            )
        if ready:
            return start(plan)
        _say("an unfinished grid is here: beginning again")
        _stop_processes(plan, force=True)
        _remove(plan)
    if taken := taken_ports(plan):
        raise ModelError("\n".join(taken), hint="Choose another PORT_BASE, or stop what is there.")
    _make(plan)
    _tell(plan)
    return 0


def _make(plan: GridPlan) -> None:
    login = _roll_out(plan)
    _load_sample(plan, login)
    _write(plan, ready=True)


def make(plan: GridPlan) -> load.Login:
    """A grid with the sample's user and tables but no rows (tests fill them). Raises GridError."""
    login = _roll_out(plan)
    _make_schema(plan, login)
    _write(plan, ready=True)
    return login


def _roll_out(plan: GridPlan) -> load.Login:
    """Everything up to the open, empty database."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    _write(plan, ready=False)
    with _step("Membership servers"):
        if plan.encryption == "on":
            words = ("-servers", plan.membership_servers(), "-out", str(plan.membership_tls()))
            _tool("ttMembership", "certify", *words)
        for number in (1, 2, 3):
            _tool("ttMembership", "create", *plan.membership_words(number))
        _tool("ttMembership", "start", *map(str, plan.membership_homes()))
    installation = create_installation(plan.folder / "install")
    for name, text in plan.files(installation).items():
        _private(plan.folder / name, text)
    _run([str(installation / "bin" / "ttGridRollout"), str(plan.folder / "rollout.conf")])
    login = load.Login(DATABASE, USER, secrets.token_urlsafe(18))
    _write_client_files(plan, login)
    return login


def _make_schema(plan: GridPlan, login: load.Login) -> list[load.Address]:
    """User and tables; returns where SQL clients connect."""
    with _step(f"Sample: user {USER}, tables"):
        info = plan.data_homes()[0] / "info"
        again.user(info, plan.cs_port, getpass.getuser(), login)
        addresses = [load.Address(host, plan.cs_port) for host in plan.external_addresses()]
        again.schema(addresses[0], login)
    return addresses


def _load_sample(plan: GridPlan, login: load.Login) -> None:
    addresses = _make_schema(plan, login)
    with _step("Sample: rows") as show:
        counts = load.load(addresses, login, show)
    _say("  " + ", ".join(f"{count:,} {table}" for table, count in counts.items()))


def stop(plan: GridPlan) -> int:
    """Close and unload the database, stop all processes."""
    if _management_runs(plan):
        with _step("Closing and unloading the database"):
            _put_to_rest(plan)
    with _step("Stopping all processes"):
        _stop_processes(plan, force=False)
    _say(f"stopped after {_elapsed()}; the data is in {plan.folder}: make grid-start goes on")
    return 0


def start(plan: GridPlan) -> int:
    """Start what does not run, then load and open the database."""
    with _step("Membership servers"):
        homes = [h for h in plan.membership_homes() if not _supervised(h)]
        if homes:
            _tool("ttMembership", "start", *map(str, homes))
    with _step("Management"):
        _start_daemons(plan.management_homes())
        _await_active(plan)
    homes_of_data = _data_homes(plan)
    with _step(f"{len(homes_of_data)} data instances"):
        _start_daemons(homes_of_data)
    with _step("Loading and opening the database") as show:
        if _words_of(plan)[1] == "unloaded":
            _admin(plan, "dbLoad", DATABASE)
        _await_word(plan, 1, "loaded-complete", show)
        if _words_of(plan)[2] == "closed":
            _admin(plan, "dbOpen", DATABASE, "-wait", str(STEP_TIMEOUT_S))
        _await_word(plan, 2, "open", show)
    _renew_client_files(plan)
    _tell(plan)
    return 0


def status(plan: GridPlan) -> int:
    """What runs, and how the database is."""
    homes = (*plan.membership_homes(), *plan.management_homes(), *_data_homes(plan))
    for home in homes:
        pid = daemon_control.read_pid(home, daemon_control.PID_FILE)
        place = home.relative_to(plan.folder)
        print(f"{place!s:<28} {f'runs (PID {pid})' if pid else 'does not run'}")
    if not _management_runs(plan):
        return 1
    print()
    print(_admin(plan, "dbStatus", "-all").rstrip())
    return 0


def logs(plan: GridPlan) -> int:
    """Follow the logs of all processes."""
    homes = (*plan.membership_homes(), *plan.management_homes(), *_data_homes(plan))
    files = [str(home / "diag" / "ttmesg.log") for home in homes]
    return subprocess.call(["tail", "-n", "20", "-F", *[f for f in files if Path(f).exists()]])


def destroy(plan: GridPlan) -> int:
    """Stop everything and delete all that `up` made."""
    with _step("Stopping all processes"):
        _stop_processes(plan, force=True)
    _remove(plan)
    _say(f"destroyed; {plan.folder} is {'kept' if plan.folder.exists() else 'gone'}")
    return 0


# -- parts ----------------------------------------------------------------------------------------
def _data_homes(plan: GridPlan) -> tuple[Path, ...]:
    """Of the data instances there are: some may have been added (hostCreate) or deleted."""
    known = plan.data_homes()
    there = {f.parents[1] for f in plan.folder.glob(f"host*/*/{INSTANCE_FILE}")}
    others = sorted(there - {*known, *plan.management_homes()})
    return (*[home for home in known if home in there], *others)


def _put_to_rest(plan: GridPlan) -> None:
    wait = ("-wait", "60")
    words = _words_of(plan)
    if words[2] in ("open", "opening"):
        _admin(plan, "dbClose", DATABASE, *wait)
    if words[1] != "unloaded":
        _admin(plan, "dbUnload", DATABASE, "-force", *wait)


def _await_word(plan: GridPlan, index: int, word: str, show: Callable[[str], None]) -> None:
    """After a crash the elements load and open by themselves; that takes a moment."""
    deadline_s = time.monotonic() + STEP_TIMEOUT_S
    while (words := _words_of(plan))[index] != word:
        if time.monotonic() > deadline_s:
            raise OperationError(
                f"{DATABASE} is {','.join(words)} after {STEP_TIMEOUT_S} s",
                hint=f"ttGridAdmin dbStatus {DATABASE} -all says more.",
            )
        show(",".join(words))
        time.sleep(POLL_S)


def _words_of(plan: GridPlan) -> Sequence[str]:
    """The three status words; all empty when there is no database."""
    reply = json.loads(_admin(plan, "dbStatus", "-o", "json"))
    for database in reply["databases"]:
        if database["name"] == DATABASE:
            return tuple(database["overall"]["summary"])
    return ("", "unloaded", "closed")


def _management_runs(plan: GridPlan) -> bool:
    homes = plan.management_homes()
    return any(daemon_control.read_pid(home, daemon_control.PID_FILE) for home in homes)


def _await_active(plan: GridPlan) -> None:
    """One becomes active by itself, unless mgmtActiveStop stopped it."""
    deadline_s = time.monotonic() + STEP_TIMEOUT_S
    while True:
        attempts = [_attempt(_command(home, "gridDisplay")) for home in plan.management_homes()]
        if any(attempt.returncode == 0 for attempt in attempts):
            return
        if time.monotonic() > deadline_s:
            raise OperationError(
                "no management instance is active",
                hint=f"{plan.management_home()}/bin/ttGridAdmin mgmtExamine says more.",
            )
        _attempt(_command(plan.management_home(), "mgmtActiveStart"))
        time.sleep(POLL_S)


def _supervised(home: Path) -> bool:
    return bool(daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE))


def _start_daemons(homes: Sequence[Path]) -> None:
    _control([home for home in homes if not _supervised(home)], "-start")


def _stop_processes(plan: GridPlan, *, force: bool) -> None:
    """Data instances first, then management, membership servers last."""
    words = ("-stop", "-force") if force else ("-stop",)
    _control([home for home in _data_homes(plan) if _runs(home)], *words)
    for home in reversed(plan.management_homes()):  # one after the other: the active may change
        _control([home] if _runs(home) else [], *words)
    running = [str(home) for home in plan.membership_homes() if _runs(home)]
    if running:
        _tool("ttMembership", "stop", *running, *words[1:])


def _runs(home: Path) -> bool:
    return _supervised(home) or bool(daemon_control.read_pid(home, daemon_control.PID_FILE))


def _control(homes: Sequence[Path], *words: str) -> None:
    """ttDaemonAdmin in several homes at once. Raises OperationError with all that failed."""
    running = [
        subprocess.Popen(
            [str(home / "bin" / "ttDaemonAdmin"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for home in homes
    ]
    outputs = [process.communicate()[0] for process in running]
    failed = [
        f"{home}: {output.strip()}"
        for home, process, output in zip(homes, running, outputs, strict=True)
        if process.returncode
    ]
    if failed:
        raise OperationError("\n".join(failed))


def _write_client_files(plan: GridPlan, login: load.Login) -> None:
    """env.sh, pg_service.conf and pgpass, for the owner's eyes only."""
    passfile = plan.folder / "pgpass"
    rootcert: tuple[str, ...] = ()
    if plan.encryption == "on":
        _private(plan.folder / "root.crt", _admin(plan, "certificateExport"))
        rootcert = ("-rootcert", str(plan.folder / "root.crt"))
    service = _admin(
        plan,
        *("gridClientExport", "-service", "-database", DATABASE),
        *("-user", USER, "-passfile", str(passfile), *rootcert),
    )
    _private(plan.folder / "pg_service.conf", service)
    _private(passfile, _passwords(service, login))
    _private(plan.folder / "env.sh", plan.environment_script())


def _passwords(service: str, login: load.Login) -> str:
    """The lines of pgpass for all servers of a service file. Pure."""
    found = [line.partition("=")[::2] for line in service.splitlines()]
    hosts, ports = (
        [word for key, value in found if key == wanted for word in value.split(",")]
        for wanted in ("host", "port")
    )
    servers = sorted(set(zip(hosts, ports, strict=True)))
    end = f"{login.database}:{login.user}:{login.password}"
    return "".join(f"{host}:{port}:{end}\n" for host, port in servers)


def _renew_client_files(plan: GridPlan) -> None:
    """Hosts may have been added or deleted since; without its password file nothing is changed."""
    try:
        lines = (plan.folder / "pgpass").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    mark = f":{DATABASE}:{USER}:"
    passwords = [line.partition(mark)[2] for line in lines if mark in line]
    if passwords:
        _write_client_files(plan, load.Login(DATABASE, USER, passwords[0]))


def _tell(plan: GridPlan) -> None:
    first = plan.external_addresses()[0]
    relative = os.path.relpath(plan.folder / "env.sh")
    shown = str(plan.folder / "env.sh") if relative.startswith("..") else relative
    print(
        f"""
The grid is up after {_elapsed()}: {plan.data} data instances, K={plan.k}, database {DATABASE} open.

    . {shown if shown[0] in "./" else f"./{shown}"}
    psql service={DATABASE} -c 'select count(*) from customers'
    ttGridAdmin dbStatus {DATABASE} -all

Drivers use the same service file (service={DATABASE}) or {first}:{plan.cs_port}, user {USER};
the password is in {plan.folder / "pgpass"}."""
    )
    print(
        f"""
Console: {plan.console()}
its token is in {plan.management_home() / TOKEN_FILE}; in a terminal: ttGridAdmin gridWatch"""
    )
    form = compiled.form()
    faster = "; make compiled, and they take less processor time" if form == "interpreted" else ""
    print(f"\nHot modules: {form}{faster}")
    if plan.encryption == "off":
        print("\nNOTHING IS ENCRYPTED (loopback addresses only); with TLS: ENCRYPTION=on make grid")


def _stored(folder: Path) -> GridPlan:
    stored = _read(folder)
    if stored is None:
        raise ModelError(f"there is no grid in {folder}", hint="Make one: make grid")
    return stored[0]


def _read(folder: Path) -> tuple[GridPlan, bool] | None:
    """The plan of the grid in the folder, and whether it was finished."""
    try:
        fields: dict[str, Any] = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ParameterError(f"{folder / PLAN_FILE}: {error}") from error
    ready = bool(fields.pop("ready"))
    return msgspec.convert({**fields, "folder": folder}, GridPlan, dec_hook=_as_path), ready


def _as_path(kind: type, value: object) -> object:
    return value if isinstance(value, Path) else kind(str(value))


def _write(plan: GridPlan, *, ready: bool) -> None:
    fields: dict[str, object] = {"k": plan.k, "data": plan.data, "port_base": plan.port_base}
    fields |= {"encryption": plan.encryption, "standby": plan.standby, "ready": ready}
    _private(plan.folder / PLAN_FILE, json.dumps(fields) + "\n")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and all(path.is_dir() for path in folder.rglob("*"))


def _remove(plan: GridPlan) -> None:
    """Only what `up` made, and hosts added since: GRID_DIR may have other things in it."""
    added = {home.relative_to(plan.folder).parts[0] for home in _data_homes(plan)}
    added |= {host.name for host in plan.folder.glob("host*") if _is_empty(host)}  # deleted ones
    for name in {*plan.entries(), PLAN_FILE, *added}:
        path = plan.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: something of somebody else
        plan.folder.rmdir()


def _private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, as a whole."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    beside.replace(path)


# -- programs -------------------------------------------------------------------------------------
def _command(home: Path, *words: str) -> list[str]:
    return [str(home / "bin" / "ttGridAdmin"), *words]


def _admin(plan: GridPlan, *words: str) -> str:
    """A ttGridAdmin command at the active management instance; returns what it printed.

    Raises OperationError.
    """
    for home in plan.management_homes():
        command = _command(home, *words)
        done = _attempt(command)
        if done.returncode != EXIT_UNREACHABLE:  # else it is down, or the standby now
            break
    return _output(command, done)


def _tool(program: str, *words: str) -> str:
    """A tool before there is an instance: from the virtual environment."""
    return _capture([str(Path(sys.executable).parent / program), *words])


def _attempt(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _capture(command: Sequence[str]) -> str:
    return _output(command, _attempt(command))


def _output(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        name = " ".join([Path(command[0]).name, *command[1:3]])
        raise OperationError(f"{name} failed:\n{(done.stdout + done.stderr).strip()}")
    return done.stdout


def _run(command: Sequence[str]) -> None:
    """A program that shows its own progress."""
    if code := subprocess.call(command, stdin=subprocess.DEVNULL):
        raise OperationError(f"{Path(command[0]).name} ended with code {code}")


# -- progress -------------------------------------------------------------------------------------
class _Shown:
    """One progress line: redrawn on a terminal, printed now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began_s = self._last_s = time.monotonic()
        self._tty = sys.stdout.isatty()
        if self._tty:
            print(f"{title} ...", end="", flush=True)

    def __call__(self, text: str) -> None:
        """Say how far it is."""
        now_s = time.monotonic()
        if now_s - self._last_s < (0.2 if self._tty else 5.0):
            return
        self._last_s = now_s
        line = f"{self._title} ... {text} ({now_s - self._began_s:.0f} s)"
        print(f"\r\x1b[K{line}" if self._tty else line, end="" if self._tty else "\n", flush=True)

    def end(self, word: str) -> None:
        """The last word."""
        took_s = time.monotonic() - self._began_s
        start = "\r\x1b[K" if self._tty else ""
        line = f"{self._title.ljust(70, '.')}{word} {took_s:5.1f} s   ({_elapsed()})"
        print(start + line, flush=True)


@contextlib.contextmanager
def _step(title: str) -> Any:
    shown = _Shown(title)
    try:
        yield shown
    except BaseException:
        shown.end("FAILED")
        raise
    shown.end("OK")


def _say(text: str) -> None:
    print(text, flush=True)


def _elapsed() -> str:
    return f"{time.monotonic() - BEGAN_S:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
