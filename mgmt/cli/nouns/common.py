"""What several nouns share: version options, renderers, files."""

from __future__ import annotations

from pathlib import Path

from mgmt.api.schema import TextFile, VersionChoice
from mgmt.cli.command import Arguments, Option
from protocol.errors import ParameterError, UsageError

VERSION_OPTIONS = (
    Option("latest", "", "the writable version (default)"),
    Option("current", "", "the version in force"),
    Option("version", "N", "version number N"),
)


def version_choice(arguments: Arguments) -> VersionChoice:
    """The version that -latest, -current or -version N names. Raises UsageError."""
    which = arguments.one_of("latest", "current", "version")
    if which == "version":
        return VersionChoice("number", arguments.integer("version", 0))
    return VersionChoice(which or "latest")


def read_text(name: str) -> str:
    """The text of a file. Raises ParameterError."""
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"cannot read {name}: {error}") from error


def of_certify(arguments: Arguments, file: str) -> str:
    """-membershipTls: a file of the folder that `ttMembership certify` made; "" if not given."""
    folder = arguments.value("membershipTls")
    return read_text(str(Path(folder) / file)) if folder else ""


def write_or_show(reply: TextFile, name: str) -> str:
    """Write the file of the reply, or give its text back to be printed. Raises ParameterError."""
    if not name:
        return reply.text.rstrip("\n")
    try:
        Path(name).write_text(reply.text, encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"cannot write {name}: {error}") from error
    return "\n".join(message.replace("{file}", name) for message in reply.messages)


def stem(name: str, suffix: str) -> str:
    """The object's name: the file's name without its required suffix. Raises UsageError."""
    path = Path(name)
    if path.suffix.lower() != suffix:
        raise UsageError(f"{name}: the file's name must be the object's name with {suffix}")
    return path.name[: -len(suffix)]


def addresses(arguments: Arguments) -> tuple[str, str]:
    """Internal and external address. Raises UsageError."""
    both = arguments.value("address")
    internal = arguments.value("internalAddress", both)
    external = arguments.value("externalAddress", both)
    if both and (arguments.has("internalAddress") or arguments.has("externalAddress")):
        raise UsageError("-address stands for both: leave out -internalAddress, -externalAddress")
    if not internal or not external:
        raise UsageError("give -address, or both -internalAddress and -externalAddress")
    return internal, external


ADDRESS_OPTIONS = (
    Option("address", "ADDR", "one address for both networks"),
    Option("internalAddress", "ADDR", "address between instances"),
    Option("externalAddress", "ADDR", "address for SQL clients"),
)
