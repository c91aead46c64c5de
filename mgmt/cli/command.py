"""What a command is, and how its words become arguments. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mgmt.api.schema import Reply, Request
from protocol.errors import UsageError


class Option(NamedTuple):
    """A single-dash option; names are case-insensitive."""

    name: str  # as documented: internalAddress
    value: str = ""  # name of its value in help; "": a flag
    help: str = ""
    repeat: bool = False
    optional_number: bool = False  # the value is a number that may be left out (-wait [secs])


class Positional(NamedTuple):
    """A word without dash."""

    name: str
    required: bool = True
    rest: bool = False  # takes all remaining words, options included


class Arguments:
    """The parsed words of one command."""

    def __init__(
        self,
        options: dict[str, list[str]],
        words: dict[str, list[str]],
        in_order: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._options = options  # keys in lower case
        self._words = words
        self.in_order = in_order  # options (lower case) with their values, as they were given

    def has(self, option: str) -> bool:
        """Whether the option was given."""
        return option.lower() in self._options

    def value(self, option: str, default: str = "") -> str:
        """The option's (last) value."""
        return self._options.get(option.lower(), [default])[-1]

    def values(self, option: str) -> tuple[str, ...]:
        """All values of a repeatable option."""
        return tuple(self._options.get(option.lower(), ()))

    def integer(self, option: str, default: int) -> int:
        """The option's value as a number. Raises UsageError."""
        found = self.optional_integer(option)
        return default if found is None else found

    def optional_integer(self, option: str) -> int | None:
        """The option's value as a number, None if not given. Raises UsageError."""
        if not self.has(option):
            return None
        text = self.value(option)
        try:
            return int(text or "0")
        except ValueError:
            raise UsageError(f"-{option} wants a number, not '{text}'") from None

    def word(self, name: str, default: str = "") -> str:
        """A positional argument."""
        return self._words.get(name, [default])[0]

    def words(self, name: str) -> tuple[str, ...]:
        """All words of a `rest` positional."""
        return tuple(self._words.get(name, ()))

    def one_of(self, *options: str) -> str:
        """Which one of mutually exclusive options was given; "" for none. Raises UsageError."""
        given = [option for option in options if self.has(option)]
        if len(given) > 1:
            raise UsageError("use only one of " + ", ".join(f"-{o}" for o in given))
        return given[0] if given else ""


class Command(NamedTuple):
    """One line of the table of commands.

    `build` makes the request; `render` the text of its reply. A command that works on this
    machine first (gridCreate) has `local` instead, which does everything and returns the reply.
    `finish` may act on the reply before it is shown (write a file); it returns the lines to show.
    """

    name: str  # gridCreate
    group: str  # heading in the list of commands
    summary: str
    positionals: tuple[Positional, ...] = ()
    options: tuple[Option, ...] = ()
    build: Callable[[Arguments], Request] | None = None
    reply: type[Reply] | None = None
    render: Callable[[Any, Arguments], str] | None = None
    # (arguments, mgmt.cli.client.Client); None: it has shown everything itself
    local: Callable[[Arguments, Any], Reply | None] | None = None
    exit_code: Callable[[Any], int] | None = None  # from the reply; None: 0


GENERAL_OPTIONS = (
    Option("o", "json|verbose", "form of the output"),
    Option("help", "", "help for the command"),
    Option("h", "", "the same"),
    Option("?", "", "the same"),
)


def parse(command: Command, words: list[str]) -> Arguments:
    """Sort the words after the command's name. Raises UsageError."""
    known = {option.name.lower(): option for option in (*command.options, *GENERAL_OPTIONS)}
    options: dict[str, list[str]] = {}
    in_order: list[tuple[str, str]] = []
    plain: list[str] = []
    takes_rest = bool(command.positionals) and command.positionals[-1].rest
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        is_option = len(word) > 1 and word[0] == "-"
        if not is_option:
            plain.append(word)
            if takes_rest and len(plain) == len(command.positionals):
                plain.extend(words[index:])
                break
            continue
        name = word.lstrip("-").lower()
        option = known.get(name)
        if option is None:
            raise UsageError(
                f"{command.name} has no option {word}",
                hint=f"{spoken(command)} -help lists its options.",
            )
        if name in options and not option.repeat:
            raise UsageError(f"{word} is given twice")
        values = options.setdefault(name, [])
        if option.optional_number:
            if index < len(words) and words[index].isdigit():
                values.append(words[index])
                index += 1
            else:
                values.append("")
        elif option.value:
            if index == len(words):
                raise UsageError(f"{word} wants a value: {option.value}")
            values.append(words[index])
            index += 1
        in_order.append((name, values[-1] if values else ""))
    return Arguments(options, _assign(command, plain), tuple(in_order))


def _assign(command: Command, plain: list[str]) -> dict[str, list[str]]:
    assigned: dict[str, list[str]] = {}
    remaining = plain
    for positional in command.positionals:
        taken = remaining if positional.rest else remaining[:1]
        remaining = remaining[len(taken) :]
        if taken:
            assigned[positional.name] = taken
    if remaining:
        raise UsageError(f"{command.name}: unexpected word '{remaining[0]}'")
    return assigned


def check_required(command: Command, arguments: Arguments) -> None:
    """Raises UsageError when a required word is missing."""
    for positional in command.positionals:
        if positional.required and not arguments.words(positional.name):
            raise UsageError(
                f"{command.name} wants {positional.name}", hint=f"Usage: {usage(command)}"
            )


def spoken(command: Command) -> str:
    """How it is called: the tools beside ttGridAdmin are in no group of its commands."""
    return f"ttGridAdmin {command.name}" if command.group else command.name


def usage(command: Command) -> str:
    """One line: name, words, options."""
    words = [spoken(command)]
    for positional in command.positionals:
        text = f"{positional.name}{'...' if positional.rest else ''}"
        words.append(text if positional.required else f"[{text}]")
    for option in command.options:
        value = f" [{option.value}]" if option.optional_number else f" {option.value}"
        text = f"-{option.name}{value if option.value else ''}"
        words.append(f"[{text}]{'...' if option.repeat else ''}")
    return " ".join(words)


def help_text(command: Command) -> str:
    """What `ttGridAdmin COMMAND -help` prints."""
    lines = [f"Usage: {usage(command)}", "", f"  {command.summary}"]
    options = (*command.options, *GENERAL_OPTIONS[:2])
    width = max(len(f"-{o.name} {o.value}") for o in options) + 2
    lines += ["", "Options:"]
    lines += [f"  {f'-{o.name} {o.value}'.ljust(width)}{o.help}".rstrip() for o in options]
    return "\n".join(lines)
