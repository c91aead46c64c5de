"""The OpenAPI document of the API, made of the request and reply types. Pure.

A reply type is found by its name (`HostList` → `HostListReply`), or in `_OTHERS`, else it is
`Done`; the application asserts that each handler answers what stands here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from mgmt.api import schema, schema_certificates
from mgmt.api.schema_picture import GridEvent, GridPicture, Picture

OPENAPI = "3.1.0"
REF = "#/components/schemas/{name}"
_OTHERS: dict[type[schema.Request], type[schema.Reply]] = {
    schema.GridDisplay: schema.GridReply,
    GridPicture: Picture,
    schema.GridClientExport: schema.TextFile,
    schema.MembershipConfigExport: schema.TextFile,
    schema.ModelExport: schema.TextFile,
    schema.ModelImport: schema.TextFile,
    schema.DbdefExport: schema.TextFile,
    schema.DbdefList: schema.NamesReply,
    schema.ConnectableExport: schema.TextFile,
    schema_certificates.CertificateExport: schema.TextFile,
    schema_certificates.ClientExportAll: schema_certificates.ClientFilesReply,
}
_ERRORS = (
    (400, "The request is wrong."),
    (401, "The token is missing or wrong."),
    (403, "Not allowed."),
    (404, "There is no such object."),
    (409, "Not possible in the present state."),
    (421, "This management instance is not active, and it does not know which one is."),
    (500, "It failed."),
    (503, "It failed; the same request may succeed later."),
)
_ABOUT = (
    "What `ttGridAdmin` and the console use. Every request is a POST with a JSON body and the token"
    " of `conf/api.token` of a management instance. A standby answers 307 with the address of the"
    " active instance. Requests that take long answer lines of JSON: any number of `Event`, then"
    " one `Outcome` with the reply or the error."
)


def reply_of(request: type[schema.Request]) -> type[schema.Reply]:
    """The type of the answer to a request."""
    if request in _OTHERS:
        return _OTHERS[request]
    name = f"{request.__name__}Reply"
    module = inspect.getmodule(request)
    found = getattr(module, name, None)
    return found if found is not None else schema.Done


def document(requests: Iterable[type[schema.Request]], version: str) -> dict[str, Any]:
    """The whole document. `version`: of the software."""
    kinds = sorted(requests, key=lambda kind: kind.PATH)
    types: list[type[Any]] = [*kinds, *(reply_of(kind) for kind in kinds)]
    types += [schema.ErrorBody, schema.Event, GridEvent, Picture]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template=REF)
    refs = dict(zip(unique, schemas, strict=True))
    components["Outcome"] = {  # its reply is raw JSON, which has no schema of its own
        "type": "object",
        "description": "The last line: the reply, or the error.",
        "properties": {
            "type": {"enum": ["outcome"]},
            "reply": {"type": "object"},
            "error": refs[schema.ErrorBody],
        },
        "required": ["type"],
    }
    components["Failure"] = {
        "type": "object",
        "properties": {"error": refs[schema.ErrorBody]},
        "required": ["error"],
    }
    paths: dict[str, Any] = {
        schema.API_PREFIX + kind.PATH: {"post": _operation(kind, refs)} for kind in kinds
    }
    paths[schema.API_PREFIX + "events"] = {"get": _events()}
    return {
        "openapi": OPENAPI,
        "info": {"title": "TenGrid management API", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(kind) for kind in kinds)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _tag(kind: type[schema.Request]) -> str:
    return kind.PATH.split("/")[0]


def _operation(kind: type[schema.Request], refs: dict[type[Any], Any]) -> dict[str, Any]:
    text = inspect.getdoc(kind) or ""
    summary = text.split("\n\n")[0].replace("\n", " ")
    answer = refs[reply_of(kind)]
    content = {"application/json": {"schema": answer}}
    if kind.STREAM:
        lines = {"oneOf": [refs[schema.Event], {"$ref": REF.format(name="Outcome")}]}
        content = {"application/x-ndjson": {"schema": lines, "x-reply": answer}}
    return {
        "operationId": kind.__name__,
        "tags": [_tag(kind)],
        "summary": summary,
        "description": text,
        "requestBody": {"content": {"application/json": {"schema": refs[kind]}}},
        "responses": {
            "200": {"description": "Done.", "content": content},
            "307": {"description": "This is the standby: see Location."},
            **_failures(),
        },
    }


def _failures() -> dict[str, Any]:
    body = {"application/json": {"schema": {"$ref": REF.format(name="Failure")}}}
    return {str(status): {"description": text, "content": body} for status, text in _ERRORS}


def _events() -> dict[str, Any]:
    names: Sequence[tuple[str, str, str]] = (
        ("since", "integer", "events after this number come first"),
        ("pictures", "integer", "1: also a picture of the grid each second"),
    )
    return {
        "operationId": "Events",
        "tags": ["events"],
        "summary": "What happens, as server-sent events.",
        "description": "`happened`: a `GridEvent`, its number as `id`. `picture`: a `Picture`."
        " The stream ends when this instance is not the active one any more.",
        "parameters": [
            {"name": n, "in": "query", "schema": {"type": t}, "description": d} for n, t, d in names
        ],
        "responses": {
            "200": {
                "description": "A stream.",
                "content": {
                    "text/event-stream": {
                        "schema": {
                            "oneOf": [
                                {"$ref": REF.format(name="GridEvent")},
                                {"$ref": REF.format(name="Picture")},
                            ]
                        }
                    }
                },
            },
            "307": {"description": "This is the standby: see Location."},
            **_failures(),
        },
    }
