"""hostExec, installationExec, instanceExec."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import read_text
from mgmt.cli.nouns.instances import kind_option
from protocol.errors import UsageError

GROUP = "Commands on hosts and instances"


def _build(scope: str, arguments: Arguments) -> schema.Execute:
    command = arguments.words("COMMAND")
    script = arguments.value("script")
    if not command and not script:
        raise UsageError("give a command, or -script FILE")
    if arguments.integer("parallel", 10) < 1:
        raise UsageError("-parallel wants a number above 0")
    return schema.Execute(
        scope=scope,
        command=command,
        script=read_text(script) if script else "",
        only=arguments.values("only"),
        exclude=arguments.values("exclude"),
        kind=kind_option(arguments, "all"),
        up_only=arguments.has("up"),
        parallel=arguments.integer("parallel", 10),
    )


def render(reply: schema.ExecuteReply, arguments: Arguments) -> str:
    """Overall return code, the list of return codes, then the output of each."""
    lines = [f"Overall return code: {reply.rc}", "Commands executed on:"]
    lines += [f"  {result.name} rc {result.rc}" for result in reply.results]
    for result in reply.results:
        lines.append(f"Return code from {result.name}: {result.rc}")
        lines += [f"Output from {result.name}:", result.output.rstrip("\n")]
    return "\n".join(lines)


_OPTIONS = (
    Option("only", "HOST[.NAME]", "only there", repeat=True),
    Option("exclude", "HOST[.NAME]", "not there", repeat=True),
    Option("parallel", "N", "so many at a time (10)"),
    Option("script", "FILE", "copy this script to each and run it"),
)


def _exit_code(reply: schema.ExecuteReply) -> int:
    return schema.EXIT_CHILD if reply.rc else schema.EXIT_OK


def _command(name: str, scope: str, summary: str, *more: Option) -> Command:
    return Command(
        name,
        GROUP,
        summary,
        (Positional("COMMAND", required=False, rest=True),),
        (*_OPTIONS, *more),
        build=lambda a: _build(scope, a),
        reply=schema.ExecuteReply,
        render=render,
        exit_code=_exit_code,
    )


COMMANDS = (
    _command("hostExec", "host", "Run a command or script on hosts"),
    _command("installationExec", "installation", "Run a command with each installation's bin"),
    _command(
        "instanceExec",
        "instance",
        "Run a command or script in the environment of instances",
        Option("type", "all|management|data", "only this kind"),
        Option("up", "", "only members"),
    ),
)
