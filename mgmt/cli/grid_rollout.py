"""ttGridRollout FILE: from nothing to a grid with one open database, by the ordinary commands."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mgmt.cli import main as ttgridadmin
from mgmt.cli.command import Option
from mgmt.cli.render import dotted
from mgmt.cli.rollout_file import Rollout, RolloutInstance, parse
from mgmt.cli.tool import guarded, installation_of_this_program
from mgmt.cli.words import parse_tool, tool_help
from protocol.errors import OperationError, ParameterError, UsageError

OPTIONS = (Option("wait", "SECS", "longest wait for each step of the database (300)"),)
WAIT_S = 300
SCRIPT_RUNNER = ("-m", "deploy.sql_script")  # a program of its own: it needs a PostgreSQL client
Work = Callable[[], None]


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    arguments = parse_tool("ttGridRollout", words, OPTIONS, ("FILE",))
    if arguments.has("help") or arguments.has("h"):
        print(tool_help("ttGridRollout FILE", "Make a grid with one open database.", OPTIONS))
        return 0
    name = arguments.word("FILE")
    if not name:
        raise UsageError("ttGridRollout wants the file that describes the grid")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"cannot read {name}: {error.strerror}") from error
    roll_out(parse(text), Path(name).absolute().parent, arguments.integer("wait", WAIT_S))
    return 0


class Steps:
    """Shows each step as a dotted line with its time, and the output of the one that fails."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def do(self, title: str, work: Work) -> None:
        """Run one step. Its output is shown only when it fails."""
        began_s = time.monotonic()
        print(dotted(title), end="", flush=True)
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                work()
        except BaseException:
            print("FAILED", flush=True)
            print(output.getvalue().rstrip(), file=sys.stderr)
            raise
        now_s = time.monotonic()
        print(f"OK {now_s - began_s:5.1f} s   ({now_s - self._began_s:.1f} s)", flush=True)


def roll_out(plan: Rollout, folder: Path, wait_s: int) -> None:
    """The whole walk. Raises OperationError naming the step that failed."""
    steps = Steps()
    management = plan.mgmt_instances[0]
    home = Path(plan.mgmt_location or plan.instance_location) / management.instance
    steps.do(
        f"Creating management instance {management.host}.{management.instance}",
        lambda: _create_management(plan, management),
    )
    os.environ["TIMESTEN_HOME"] = str(home)
    steps.do(f"Creating grid {plan.grid_name}", lambda: _create_grid(plan, management, folder))
    for standby in plan.mgmt_instances[1:]:
        steps.do(
            f"Adding {standby.host}.{standby.instance}, the standby, to the model",
            lambda standby=standby: _add_standby(plan, standby),  # type: ignore[misc]
        )
    for instance in plan.data_instances:
        steps.do(
            f"Adding {instance.host}.{instance.instance} to the model",
            lambda instance=instance: _add_data_instance(plan, instance),  # type: ignore[misc]
        )
    database = Path(plan.dbdef_file).name.removesuffix(".dbdef")
    steps.do(f"Defining database {database}", lambda: _define(plan, database, folder))
    steps.do("Applying the model: creating and starting instances", lambda: _admin("modelApply"))
    wait = ("-wait", str(wait_s))
    steps.do(f"Creating database {database}", lambda: _admin("dbCreate", database, *wait))
    steps.do(
        "Making the distribution map",
        lambda: _admin("dbDistribute", database, "-add", "all", "-apply"),
    )
    steps.do(f"Opening database {database}", lambda: _admin("dbOpen", database, *wait))
    if plan.init_script:
        steps.do(
            f"Running {Path(plan.init_script).name}",
            lambda: _run_script(plan, database, folder / plan.init_script),
        )


def _create_management(plan: Rollout, management: RolloutInstance) -> None:
    location = plan.mgmt_location or plan.instance_location
    _run_program(
        [
            str(installation_of_this_program() / "bin" / "ttInstanceCreate"),
            *("-name", management.instance, "-location", location, "-grid"),
            *("-daemonPort", str(management.daemon_port), "-csPort", str(management.cs_port)),
        ]
    )


def _create_grid(plan: Rollout, management: RolloutInstance, folder: Path) -> None:
    words = ["gridCreate", plan.grid_name, "-k", str(plan.k), "-host", management.host]
    words += ["-membershipConfig", str(folder / plan.zoo_conf), *_addresses(management)]
    words += ["-mgmtPort", str(management.mgmt_port)]
    if plan.session_timeout:
        words += ["-sessionTimeout", plan.session_timeout]
    if plan.internal_encryption:
        words += ["-internalEncryption", plan.internal_encryption]
    if plan.membership_tls:
        words += ["-membershipTls", str(folder / plan.membership_tls)]
    if plan.server_encryption:
        words += ["-serverEncryption", plan.server_encryption]
    _admin(*words)


def _add_standby(plan: Rollout, standby: RolloutInstance) -> None:
    _admin("hostCreate", standby.host, *_addresses(standby))
    _add_instance(plan, standby, "-type", "management", "-mgmtPort", str(standby.mgmt_port))


def _add_data_instance(plan: Rollout, instance: RolloutInstance) -> None:
    group = ("-dataSpaceGroup", str(instance.data_space_group))
    _admin("hostCreate", instance.host, *_addresses(instance), *group)
    _add_instance(plan, instance)


def _add_instance(plan: Rollout, instance: RolloutInstance, *more: str) -> None:
    install = plan.install_location or str(installation_of_this_program())
    _admin("installationCreate", instance.host, "-location", install)
    _admin(
        "instanceCreate",
        f"{instance.host}.{instance.instance}",
        *("-location", _location(plan, instance)),
        *("-daemonPort", str(instance.daemon_port), "-csPort", str(instance.cs_port)),
        *more,
    )


def _location(plan: Rollout, instance: RolloutInstance) -> str:
    """Hosts of one machine share its file system: each has a folder of its own then.

    It is named by a mark, not by the host, so that hostCreate -like -cascade can copy it.
    """
    shared = instance.internal_address.startswith("127.")
    marked = "!!HOST_NAME!!" in plan.instance_location
    if shared and not marked:
        return f"{plan.instance_location}/!!HOST_NAME!!"
    return plan.instance_location


def _define(plan: Rollout, database: str, folder: Path) -> None:
    _admin("dbdefCreate", str(folder / plan.dbdef_file))
    for name in plan.cs_connect_files:
        _admin("connectableCreate", "-dbdef", database, "-cs", str(folder / name))
    for name in plan.direct_connect_files:
        _admin("connectableCreate", "-dbdef", database, str(folder / name))


def _run_script(plan: Rollout, database: str, script: Path) -> None:
    """As the instance administrator, through the local socket of the first data instance."""
    first = plan.data_instances[0]
    location = _location(plan, first).replace("!!HOST_NAME!!", first.host)
    socket_folder = f"{location}/{first.instance}/info"
    _run_program(
        [sys.executable, *SCRIPT_RUNNER, socket_folder, str(first.cs_port), database, str(script)]
    )


def _addresses(instance: RolloutInstance) -> tuple[str, ...]:
    if instance.internal_address:
        external = instance.external_address or instance.internal_address
        return ("-internalAddress", instance.internal_address, "-externalAddress", external)
    return ("-address", instance.address or instance.host)


def _admin(*words: str) -> None:
    """One ttGridAdmin command in this process: a program start costs a third of a second."""
    print(f"% ttGridAdmin {' '.join(words)}")
    code = ttgridadmin.run(list(words))
    if code:
        raise OperationError(
            f"ttGridAdmin {words[0]} ended with code {code}",
            hint="Mend the cause; what was made so far stays.",
        )


def _run_program(command: Sequence[str]) -> None:
    print(f"% {' '.join(command)}")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    print(done.stdout + done.stderr)
    if done.returncode:
        raise OperationError(f"{Path(command[0]).name} ended with code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
