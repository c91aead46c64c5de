"""/metrics of a data instance: switched on and off by its file, scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from daemons import exposition
from daemons.exporter import Exporter
from protocol import exporter_file, tls
from protocol.exporter_file import ExporterSettings
from protocol.messages.metrics import AskFigures
from tests.support import certificates, prometheus
from tests.support.memory_grid import ADDRESS, MemoryGrid, Node, running_grid
from tests.support.zookeeper import free_ports

FOLLOW_S = 10.0


def exporter_of(node: Node) -> Exporter:
    """As daemons/datad.py makes it."""

    async def scrape() -> bytes:
        assert node.instance is not None
        figures = node.instance.measures.figures(AskFigures())
        return exposition.text(exposition.of_data_instance(figures, "1.0"))

    return Exporter(node.settings, scrape)


def switch_on(node: Node, port: int, limit: int = 0) -> None:
    settings = ExporterSettings(port=port, insecure=True, limit=limit)
    (node.home / exporter_file.FILE).write_bytes(exporter_file.render(settings))


async def state(node: Node, word: str) -> str:
    """The state file, when it begins with that word."""
    async with asyncio.timeout(FOLLOW_S):
        while True:
            with contextlib.suppress(OSError):
                text = (node.home / exporter_file.STATE_FILE).read_text(encoding="utf-8")
                if text.startswith(word):
                    return text
            await asyncio.sleep(0.02)  # the file is all there is to look at


async def get(
    port: int, path: str = "/metrics", context: ssl.SSLContext | None = None
) -> tuple[int, str]:
    """Status and body."""
    reader, writer = await asyncio.open_connection(ADDRESS, port, ssl=context)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body.decode()


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, k=2, sets=1) as made:
        yield made


async def test_on_limited_moved_and_off(grid: MemoryGrid) -> None:
    node = grid.nodes[0]
    first, second = free_ports(2)
    exporter = exporter_of(node)
    exporter.start()
    try:
        assert await state(node, "off") == "off"
        switch_on(node, first)
        assert await state(node, "serving") == f"serving http://{ADDRESS}:{first}/metrics"
        status, body = await get(first)
        assert status == 200
        assert f'timesten_perm_allocated_bytes{{dsn="database1",instance="{node.name}"}}' in body
        assert (await get(first, "/else"))[0] == 404
        switch_on(node, second, limit=1)
        await state(node, f"serving http://{ADDRESS}:{second}/")
        with pytest.raises(ConnectionRefusedError):
            await get(first)
        assert [(await get(second))[0] for _ in range(3)].count(429) >= 1
        (node.home / exporter_file.FILE).unlink()
        await state(node, "off")
        with pytest.raises(ConnectionRefusedError):
            await get(second)
    finally:
        await exporter.stop()


async def test_only_certificates_of_the_grid_are_let_in(grid: MemoryGrid, tmp_path: Path) -> None:
    node, signer = grid.nodes[0], certificates.authority()
    root, own = certificates.write(tmp_path / "own", signer, node.name)
    (node.home / tls.FOLDER).mkdir()
    (node.home / tls.ROOT_FILE).write_bytes(root.read_bytes())
    (node.home / tls.INSTANCE_FILE).write_bytes(own.read_bytes())
    node.settings = msgspec.structs.replace(node.settings, internal_encryption="required")
    exporter = exporter_of(node)
    exporter.start()
    try:
        (port,) = free_ports(1)
        settings = ExporterSettings(port=port)
        (node.home / exporter_file.FILE).write_bytes(exporter_file.render(settings))
        assert await state(node, "serving") == f"serving https://{ADDRESS}:{port}/metrics"
        scraper = ssl.create_default_context(cafile=str(root))
        scraper.check_hostname = False
        with pytest.raises((OSError, IndexError)):  # no certificate: cut off
            await get(port, context=scraper)
        _, shown = certificates.write(tmp_path / "scraper", signer, "scraper", kind="tool")
        scraper.load_cert_chain(shown)
        status, body = await get(port, context=scraper)
        assert status == 200
        assert "timesten_certificate_expires_seconds" in body
    finally:
        await exporter.stop()


async def test_what_cannot_be_served_is_told(grid: MemoryGrid) -> None:
    node = grid.nodes[0]
    exporter = exporter_of(node)
    exporter.start()
    try:
        switch_on(node, node.settings.cs_port)
        assert "in use" in await state(node, "failed")
        secure = ExporterSettings(port=free_ports(1)[0])
        (node.home / exporter_file.FILE).write_bytes(exporter_file.render(secure))
        async with asyncio.timeout(FOLLOW_S):
            while "-insecure" not in await state(node, "failed"):
                await asyncio.sleep(0.02)  # as above
    finally:
        await exporter.stop()


async def test_prometheus_scrapes_and_the_alert_for_a_lost_replica_fires(
    grid: MemoryGrid, tmp_path: Path
) -> None:
    prometheus.program("prometheus")
    exporters = [exporter_of(node) for node in grid.nodes]
    ports = free_ports(len(exporters))
    for node, exporter, port in zip(grid.nodes, exporters, ports, strict=True):
        switch_on(node, port)
        exporter.start()
        await state(node, "serving")
    targets = [f"{ADDRESS}:{port}" for port in ports]
    try:
        with prometheus.running(tmp_path / "prometheus", targets) as server:
            whole = 'sum(timesten_replica_set_in_sync{dsn="database1"}) == 2 and sum(up) == 2'
            await asyncio.to_thread(server.wait_for, lambda: server.query(whole))
            assert "TenGridReplicaLost" not in await asyncio.to_thread(server.alerts)
            assert grid.nodes[0].instance is not None
            (figures,) = grid.nodes[0].instance.measures.figures(AskFigures()).databases
            gone = 1 if figures.role == "lead" else 0
            await exporters[gone].stop()
            await grid.stop_node(grid.nodes[gone])
            labels = await asyncio.to_thread(
                server.wait_for, lambda: server.alerts().get("TenGridReplicaLost")
            )
            assert labels["dsn"] == "database1"
            assert labels["instance"] == grid.nodes[1 - gone].name
            await asyncio.to_thread(
                server.wait_for, lambda: server.alerts().get("TenGridInstanceDown")
            )
    finally:
        for exporter in exporters:
            await exporter.stop()
