"""The OpenAPI document says what the API does, and everything it refers to is in it."""

from __future__ import annotations

import json
import re

import msgspec

from mgmt.api import openapi, schema, schema_databases
from tests.support.api_page import all_requests


def test_every_request_is_described_and_every_reference_is_there() -> None:
    found = openapi.document(all_requests(), "1.2.3")
    text = json.dumps(found)
    assert len(found["paths"]) == len(all_requests()) + 1  # and the stream of events
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in found["components"]["schemas"], name
    load = found["paths"]["/api/v1/databases/load"]["post"]
    assert load["operationId"] == "DbLoad"
    assert "application/x-ndjson" in load["responses"]["200"]["content"]
    assert found["info"]["version"] == "1.2.3"


def test_replies_are_found_by_name() -> None:
    assert openapi.reply_of(schema_databases.DbStatus) is schema_databases.DbStatusReply
    assert openapi.reply_of(schema.DbdefList) is schema.NamesReply
    assert openapi.reply_of(schema_databases.DbOpen) is schema.Done


def test_paths_are_unique() -> None:
    paths = [kind.PATH for kind in all_requests()]
    assert len(paths) == len(set(paths))
    assert msgspec.json.encode(openapi.document(all_requests(), "1"))
