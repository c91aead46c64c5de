"""ttGridAdmin: arguments in, text or JSON and an exit code out."""

from __future__ import annotations

import sys
from importlib import metadata
from itertools import pairwise
from typing import Any

import msgspec

from mgmt.api import schema
from mgmt.cli import render
from mgmt.cli.client import Client, home_from_environment
from mgmt.cli.command import Arguments, Command, check_required, help_text, parse
from mgmt.cli.commands import COMMANDS, find
from mgmt.cli.refused import refusal
from protocol import trace
from protocol.errors import GridError, UsageError

WARNING = "Warning:"
HELP_WORDS = ("-h", "-help", "--help", "-?", "help")
JSON_VERSION = 1


def main() -> int:
    """Entry point; returns the exit code (mgmt/api/schema.py lists them)."""
    try:
        return run(sys.argv[1:])
    except BrokenPipeError:  # `ttGridAdmin ... | head`
        sys.stderr.close()
        return schema.EXIT_FAILED
    except KeyboardInterrupt:
        print("Interrupted: an operation that was started goes on.", file=sys.stderr)
        return 130


def run(words: list[str]) -> int:
    """Run one command line."""
    as_json = _wants_json(words)
    try:
        if not words:
            raise UsageError("no command", hint="ttGridAdmin -help lists the commands.")
        first = words[0].lower()
        if first in HELP_WORDS:
            print(_help(words[1:]))
            return schema.EXIT_OK
        if first in ("-v", "-version", "--version"):
            print(f"TenGrid {metadata.version('tengrid')}")
            return schema.EXIT_OK
        command = find(words[0])
        if command is None:
            raise _unknown(words[0])
        arguments = parse(command, words[1:])
        if any(arguments.has(option) for option in ("help", "h", "?")):
            print(help_text(command))
            return schema.EXIT_OK
        check_required(command, arguments)
        return _execute(command, arguments)
    except GridError as error:
        _print_error(error, as_json)
        return schema.exit_code(error)


def _execute(command: Command, arguments: Arguments) -> int:
    if trace.steps.listener is not None:
        trace.step("mgmt/cli/main.py")
    form = arguments.value("o", "verbose").lower()
    if form not in ("json", "verbose", "text"):
        raise UsageError(f"-o {form}: use json or verbose")
    client = Client(home_from_environment())
    show = _ProgressPrinter(quiet=form == "json")
    reply: Any
    try:
        if command.local is not None:
            reply = command.local(arguments, client)
        else:
            assert command.build is not None
            assert command.reply is not None
            reply = client.call(command.build(arguments), command.reply, show)
    finally:
        show.end_line()
    if reply is None:
        return schema.EXIT_OK
    if trace.steps.listener is not None:
        trace.step("mgmt/cli/main.py", reply)
    code = command.exit_code(reply) if command.exit_code is not None else schema.EXIT_OK
    if form == "json":
        fields = msgspec.to_builtins(reply)
        fields.setdefault("status", code)
        print(
            msgspec.json.format(msgspec.json.encode({"jsonVer": JSON_VERSION, **fields})).decode()
        )
        return code
    text = render_reply(command, reply, arguments)
    for line in text.split("\n") if text else ():
        _say(line)
    return code


def _say(line: str) -> None:
    """A line of text; warnings go where errors go, so that what is documented stands alone."""
    print(line, file=sys.stderr if line.startswith(WARNING) else sys.stdout, flush=True)


def render_reply(command: Command, reply: Any, arguments: Arguments) -> str:
    """The reply as text."""
    if command.render is not None:
        return command.render(reply, arguments)
    if isinstance(reply, schema.Done):
        return "\n".join(reply.messages)
    raise AssertionError(f"{command.name} has no renderer")


class _ProgressPrinter:
    """Prints a stream's events: the title with dots when a step begins, OK when it ended."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._open = False

    def __call__(self, event: schema.Event) -> None:
        if self._quiet:
            return
        if event.kind == "step":
            self.end_line()
            print(render.dotted(event.text), end="", flush=True)
            self._open = True
        elif event.kind in ("ok", "failed"):
            print(event.text if event.kind == "ok" else "FAILED", flush=True)
            self._open = False
        else:
            self.end_line()
            _say(event.text)

    def end_line(self) -> None:
        """Finish a line that waits for its OK."""
        if self._open:
            print(flush=True)
            self._open = False


def _unknown(word: str) -> GridError:
    return refusal(word) or UsageError(
        f"unknown command {word}", hint="ttGridAdmin -help lists the commands."
    )


def _help(words: list[str]) -> str:
    if words:
        command = find(words[0])
        if command is None:
            raise _unknown(words[0])
        return help_text(command)
    lines = [
        "Usage: ttGridAdmin COMMAND [arguments] [-o json|verbose]",
        "       ttGridAdmin help COMMAND | COMMAND -help | -help | -V",
        "",
        "Names of commands and options are case-insensitive.",
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no active management instance answers,",
        "            4 may succeed later, 5 a command run by hostExec or instanceExec failed.",
    ]
    width = max(len(command.name) for command in COMMANDS) + 2
    groups = dict.fromkeys(command.group for command in COMMANDS)
    for group in groups:
        lines += ["", f"{group}:"]
        members = [command for command in COMMANDS if command.group == group]
        lines += [f"  {c.name.ljust(width)}{c.summary}" for c in members]
    return "\n".join(lines)


def _print_error(error: GridError, as_json: bool) -> None:
    if as_json:
        body = {"error": schema.error_body(error), "status": schema.exit_code(error)}
        print(msgspec.json.format(msgspec.json.encode(body)).decode())
        return
    print(f"Error {error.tt_number or error.code}: {error.message}", file=sys.stderr)
    for text in (error.detail, error.hint):
        if text:
            print(text, file=sys.stderr)


def _wants_json(words: list[str]) -> bool:
    """Whether -o json was asked for, known before the words are parsed (they may be wrong)."""
    lowered = [word.lower() for word in words]
    return any(pair == ("-o", "json") for pair in pairwise(lowered))


if __name__ == "__main__":
    sys.exit(main())
