"""docs/reference/api.md: the requests of the HTTP API, made from the OpenAPI document."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import msgspec

import mgmt.api
from mgmt.api import openapi, schema

NOTE = "*Made by `python -m tests.support.reference` from `mgmt/api/schema*.py`; do not edit.*"
HEAD = """

`ttGridAdmin` and the console use this API; your own programs may too. Version 1 lives under
`/api/v1/`: fields are added to it, none is taken away or gets another meaning.

- Each request is `POST /api/v1/<path>` with a JSON body (`{}` if nothing has to be said) to the
  active management instance, at its internal address and `mgmtPort`. In the tables **required
  fields** are bold.
- `Authorization: Bearer <token>`: the content of `conf/api.token` in the home of a management
  instance, which only its owner can read.
- A standby answers 307; `Location` is the same request at the active instance.
- Errors have the HTTP status of [errors.md](errors.md) and a body `{"error": {"code", "message",
  "detail", "hint", "tt_number", "retriable"}}`.
- Requests marked *stream* answer lines of JSON: any number of `{"type": "event", "kind",
  "text"}`, then one `{"type": "outcome", "reply" or "error"}`. What they began goes on when the
  client goes away.
- `GET /api/openapi.json` (no token) describes all types; feed it to your client generator.
- `GET /api/v1/events` is a stream of server-sent events, with the token too: `happened` (a
  `GridEvent`: instances, leads, copies in sync, states of elements, maps, the model, operations
  with their steps) and, with `?pictures=1`, `picture` once a second (as `grids/picture`).
  `?since=N` or `Last-Event-ID` begins behind event N.

```
TOKEN="Authorization: Bearer $(cat conf/api.token)"
curl -H "$TOKEN" -d '{}' http://127.0.0.11:3754/api/v1/databases/status
curl -H "$TOKEN" -N http://127.0.0.11:3754/api/v1/events
```
"""


def all_requests() -> list[type[schema.Request]]:
    """Every request type that has a path."""
    for module in pkgutil.iter_modules(mgmt.api.__path__):
        if module.name.startswith("schema"):
            importlib.import_module(f"mgmt.api.{module.name}")
    found: list[type[schema.Request]] = []
    pending = list(schema.Request.__subclasses__())
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind.PATH and kind.__module__.startswith("mgmt.api"):
            found.append(kind)
    return sorted(found, key=lambda kind: kind.PATH)


def page() -> str:
    """The whole page."""
    lines = ["# The HTTP API", "", NOTE, HEAD]
    tag = ""
    for kind in all_requests():
        own = kind.PATH.split("/")[0]
        if own != tag:
            tag = own
            lines += ["", f"## {tag}", "", "| path | what | fields | answer |", "|---|---|---|---|"]
        summary = (kind.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("    ", " ")
        path = f"`{kind.PATH}`" + (" *stream*" if kind.STREAM else "")
        answer = openapi.reply_of(kind).__name__
        lines.append(f"| {path} | {_cell(summary)} | {_fields(kind)} | `{answer}` |")
    return "\n".join([*lines, ""])


def _fields(kind: type[Any]) -> str:
    fields = msgspec.structs.fields(kind)
    return ", ".join(f"**{f.encode_name}**" if f.required else f.encode_name for f in fields)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
