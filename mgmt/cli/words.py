"""The small options parser of the tools beside ttGridAdmin. Pure."""

from __future__ import annotations

from mgmt.cli.command import Arguments, Command, Option, Positional, parse


def parse_tool(
    name: str, words: list[str], options: tuple[Option, ...], positionals: tuple[str, ...] = ()
) -> Arguments:
    """The words of a tool's command line. Raises UsageError."""
    table = Command(
        name, "", "", tuple(Positional(p, required=False) for p in positionals), options
    )
    return parse(table, words)


def tool_help(name: str, summary: str, options: tuple[Option, ...]) -> str:
    """What `TOOL -help` prints."""
    width = max(len(f"-{o.name} {o.value}") for o in options) + 2
    lines = [f"Usage: {name} [options]", "", f"  {summary}", "", "Options:"]
    return "\n".join(
        lines + [f"  {f'-{o.name} {o.value}'.ljust(width)}{o.help}".rstrip() for o in options]
    )
