"""membership.conf: the one line that names the membership servers. Pure."""

from __future__ import annotations

from protocol.errors import ParameterError


def parse_membership(text: str) -> tuple[str, ...]:
    """Servers of a membership.conf as "address!port". Raises ParameterError.

    One line "Servers a!2181,b!2181"; a:2181 is accepted where the address has no colon.
    """
    servers = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(None, 1)
        if not words:
            continue
        if words[0].lower() != "servers" or len(words) == 1:
            raise ParameterError(f"membership configuration: '{line.strip()}' is not understood")
        servers += [_server(item.strip()) for item in words[1].split(",") if item.strip()]
    if not servers:
        raise ParameterError(
            "membership configuration: no servers", hint="It has one line: Servers HOST!PORT,..."
        )
    if len(set(servers)) != len(servers):
        raise ParameterError("membership configuration: a server is named twice")
    return tuple(servers)


def _server(item: str) -> str:
    address, mark, port = item.rpartition("!")
    if not mark:
        address, _, port = item.rpartition(":")
    if not address or "!" in address or not port.isdigit() or not 0 < int(port) < 65536:
        raise ParameterError(f"membership configuration: '{item}' is not HOST!PORT")
    return f"{address}!{port}"
