"""The API as programs see it: the picture, the stream of events, the document, the redirect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mgmt.api import schema
from mgmt.api.schema_picture import EventList, EventListReply, GridPicture, Picture
from protocol import instance_file
from protocol.errors import NotActiveManagementError
from tests.support.management import ManagedGrid, host, managed_grid, no_start


@asynccontextmanager
async def http(grid: ManagedGrid, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with the grid's token, or another one."""
    settings = instance_file.load(grid.home)
    if token is None:
        token = settings.path(instance_file.TOKEN_FILE).read_text().strip()
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{settings.mgmt_port}", headers={"Authorization": f"Bearer {token}"}
    ) as session:
        yield session


async def messages(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """The messages of a stream: name, data."""
    name = ""
    async for line in response.content:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


@pytest.fixture
async def open_api(tmp_path: Path) -> AsyncIterator[ManagedGrid]:
    """A grid whose internal network is not encrypted, so that a plain client can talk to it."""
    async with managed_grid(tmp_path, grid=False) as grid:
        await grid.call(grid.grid_request(internal_encryption="off"))
        yield grid


async def test_the_picture_shows_the_grid_and_what_runs(open_api: ManagedGrid) -> None:
    await open_api.call(host("host3", 3, group=1))
    picture = await open_api.call(GridPicture(), Picture)
    assert (picture.grid, picture.active) == ("grid1", "host1.instance1")
    assert (picture.model_latest, picture.model_current) == (1, 0)
    assert [row.rep_role for row in picture.management] == ["Active"]
    assert picture.databases == ()


async def test_the_stream_tells_what_happens(open_api: ManagedGrid) -> None:
    async with (
        http(open_api) as client,
        client.get("/api/v1/events", params={"pictures": "1"}) as response,
    ):
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        seen = messages(response)
        async for name, data in seen:
            if name == "picture":
                assert data["grid"] == "grid1"
                break
        await open_api.call(host("host3", 3, group=1))
        await open_api.call(no_start())
        texts: list[str] = []
        async for name, data in seen:
            if name == "happened":
                texts.append(data["text"])
                if data["kind"] == "operation" and data["text"].endswith("done"):
                    break
    assert any("host3" in text for text in texts), texts
    began = next(text for text in texts if text.startswith("modelApply") and "began" in text)
    assert "ttGridAdmin" in began


async def test_events_are_remembered_over_a_restart(open_api: ManagedGrid) -> None:
    await open_api.call(host("host3", 3, group=1))
    before = await open_api.call(EventList(), EventListReply)
    assert "host3" in before.events[-1].text
    await open_api.stop()
    await open_api.start()
    after = await open_api.call(EventList(since=before.last - 1), EventListReply)
    assert after.events[0] == before.events[-1]
    assert after.last > before.last, "numbers go on"


async def test_operations_say_who_asked(open_api: ManagedGrid) -> None:
    await open_api.call(host("host3", 3, group=1))
    await open_api.call(no_start())
    reply = await open_api.call(schema.OperationList(), schema.OperationListReply)
    assert reply.operations[-1].kind == "modelApply"
    assert "ttGridAdmin" in reply.operations[-1].by


async def test_only_the_holder_of_the_token_sees_events(open_api: ManagedGrid) -> None:
    async with http(open_api, "wrong") as client:
        async with client.get("/api/v1/events") as response:
            assert response.status == 401
        async with client.get("/api/openapi.json") as response:
            assert (await response.json())["info"]["title"] == "TenGrid management API"


async def test_the_standby_redirects(
    open_api: ManagedGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_api.instance is not None
    api = open_api.instance.api

    def refuse() -> None:
        raise NotActiveManagementError("this management instance is not the active one")

    monkeypatch.setattr(api, "_check_active", refuse)
    async with http(open_api) as client:
        async with client.post("/api/v1/hosts/list", json={}) as response:
            assert response.status == 421, "nobody is active: there is nowhere to go"
        monkeypatch.setattr(api, "_active_url", lambda: "http://127.0.0.2:7777")
        async with client.post("/api/v1/hosts/list", json={}, allow_redirects=False) as response:
            assert response.status == 307
            assert response.headers["Location"] == "http://127.0.0.2:7777/api/v1/hosts/list"
            assert (await response.json())["error"]["code"] == NotActiveManagementError.code
        async with client.get("/api/v1/events?since=4", allow_redirects=False) as response:
            assert response.headers["Location"] == "http://127.0.0.2:7777/api/v1/events?since=4"
    with pytest.raises(NotActiveManagementError):  # the commands say where to go
        await open_api.call(schema.HostList(), schema.HostListReply)


async def test_the_console_is_served_with_a_strict_policy(open_api: ManagedGrid) -> None:
    async with http(open_api, "none") as client:
        async with client.get("/") as response:  # redirected to the page
            assert response.url.path == "/console/"
            assert "TenGrid" in await response.text()
            policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        async with client.get("/console/main.js") as response:
            assert response.content_type == "text/javascript"
            tag = response.headers["ETag"]
        async with client.get("/console/main.js", headers={"If-None-Match": tag}) as response:
            assert response.status == 304
        for path in ("/console/nothing.js", "/console/..%2Fapp.py", "/console/__init__.py"):
            async with client.get(path) as response:
                assert response.status == 404, path


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/hosts/list", 405, "USAGE"),
        ("DELETE", "/api/openapi.json", 405, "USAGE"),
        ("POST", "/api/v2/hosts/list", 404, "UNKNOWN_OBJECT"),
        ("GET", "/api/nosuch", 404, "UNKNOWN_OBJECT"),
        ("POST", "/api/v1/hosts/nosuch", 404, "UNKNOWN_OBJECT"),
    ],
)
async def test_what_is_no_request_gets_an_error_as_all_errors_are(
    open_api: ManagedGrid, method: str, path: str, status: int, code: str
) -> None:
    async with http(open_api) as client:
        response = await client.request(method, path)
        assert (response.status, response.content_type) == (status, "application/json")
        assert (await response.json())["error"]["code"] == code


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("databases/transferStatus", {"kind": "foo"}),
        ("grids/events", {"limit": -1}),
        ("grids/events", {"limit": 0}),
    ],
)
async def test_values_that_mean_nothing_are_refused(
    open_api: ManagedGrid, path: str, body: dict[str, Any]
) -> None:
    async with http(open_api) as client:
        response = await client.post(f"/api/v1/{path}", json=body)
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "PARAMETER"


@pytest.mark.parametrize("sent", [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nA b\r\n\r\n"])
async def test_who_speaks_no_http_writes_nothing_into_the_log(
    open_api: ManagedGrid, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    port = instance_file.load(open_api.home).mgmt_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert b" 400 " in await reader.read()
    writer.close()
    assert not [record for record in caplog.records if record.exc_info]
