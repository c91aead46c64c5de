"""ttInstanceCreate: make the home of an instance from the installation it is called from."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

from mgmt.cli import instance_home
from mgmt.cli.command import Arguments, Option
from mgmt.cli.tool import guarded, installation_of_this_program
from mgmt.cli.words import parse_tool, tool_help
from protocol import instance_file
from protocol.errors import ModelError, OperationError, ParameterError, UsageError
from protocol.instance_file import InstanceSettings

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z")
OPTIONS = (
    Option("name", "NAME", "name of the instance (instance1)"),
    Option("location", "DIR", "directory in which the instance home is made"),
    Option("grid", "", "it can become a management instance of a grid"),
    Option("daemonPort", "PORT", "internal network (6624)"),
    Option("csPort", "PORT", "SQL clients (6625)"),
    Option("data", "", "a data instance (used by modelApply)"),
    Option("version", "", "print the release"),
)


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    arguments = parse_tool("ttInstanceCreate", words, OPTIONS)
    if arguments.has("help") or arguments.has("h"):
        print(tool_help("ttInstanceCreate", "Create an instance.", OPTIONS))
        return 0
    if arguments.has("version"):
        print(metadata.version("tengrid"))
        return 0
    _create(arguments)
    return 0


def _create(arguments: Arguments) -> None:
    name = arguments.value("name", "instance1")
    if not NAME.match(name):
        raise ParameterError(
            f"'{name}' cannot be the name of an instance: letters, digits, _ and -"
        )
    location = arguments.value("location") or _ask_location()
    if not arguments.has("grid") and not arguments.has("data"):
        raise UsageError(
            "ttInstanceCreate wants -grid: there are only instances of a grid",
            hint="Data instances are made by ttGridAdmin instanceCreate and modelApply.",
        )
    daemon_port = _port(arguments, "daemonPort", instance_file.DEFAULT_DAEMON_PORT)
    cs_port = _port(arguments, "csPort", instance_file.DEFAULT_CS_PORT)
    if daemon_port == cs_port:
        raise ParameterError(f"daemonPort and csPort are both {cs_port}: they must differ")
    home = Path(location).absolute() / name
    if home.exists() and any(home.iterdir()):
        raise ModelError(
            f"{home} exists already", hint="Choose another -name or -location, or remove it."
        )
    installation = installation_of_this_program()
    print(f"Creating instance in {home} ...")
    sys.stdout.flush()
    settings = InstanceSettings(
        name=name,
        kind="data" if arguments.has("data") else "mgmt",
        home=str(home),
        daemon_port=daemon_port,
        cs_port=cs_port,
        installation=str(installation),
    )
    try:
        instance_home.create(settings, short_name=name, user=getpass.getuser())
    except OSError as error:
        shutil.rmtree(home, ignore_errors=True)
        raise OperationError(f"cannot create {home}: {error.strerror}") from error
    _report(home, name, installation)


def _report(home: Path, name: str, installation: Path) -> None:
    release = ".".join(metadata.version("tengrid").split(".")[:2])
    print(f"INFO: Mapping files from the installation to {home}/install")
    print("NOTE: The TimesTen daemon startup/shutdown scripts have not been installed.")
    print("The startup script is located here :")
    print(f"        '{home}/startup/tt_{name}'")
    print("Run the 'setuproot' script :")
    print(f"        {home}/bin/setuproot -install")
    print("This will move the TimesTen startup script into its appropriate location.")
    print(f"The {release} Release Notes are located here :")
    print(f"  '{installation}/README.html'")


def _port(arguments: Arguments, option: str, default: int) -> int:
    port = arguments.integer(option, default)
    if not 1 <= port <= 65535:
        raise ParameterError(f"-{option} {port}: a port is 1 to 65535")
    return port


def _ask_location() -> str:
    if not sys.stdin.isatty():
        raise UsageError("ttInstanceCreate wants -location DIR")
    return input(f"Location of the instance [{os.path.expanduser('~')}]: ") or os.path.expanduser(
        "~"
    )


if __name__ == "__main__":
    sys.exit(main())
