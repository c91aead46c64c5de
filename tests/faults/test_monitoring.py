"""A data instance is killed: a real Prometheus sees it, and the alerts for it fire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import exporter_file, instance_file
from tests.support import prometheus
from tests.support.real_grid import Observer, RealGrid

PORT_OFFSET = 40  # beside the ports of a grid


@pytest.fixture
def targets(grid: RealGrid) -> Iterator[list[str]]:
    """Exporters of all instances, switched on as an administrator does it; off afterwards."""
    prometheus.program("prometheus")
    homes = [grid.plan.management_home(), *(grid.home(host) for host in grid.hosts)]
    found = []
    for home in homes:
        address = instance_file.load(home).internal_address
        port = grid.plan.port_base + PORT_OFFSET
        said = grid.tool(home, "ttExporter", "-port", str(port), "-insecure")
        assert f"serves http://{address}:{port}/metrics" in said
        found.append(f"{address}:{port}")
    yield found
    for home in homes:
        (home / exporter_file.FILE).unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_alert_for_a_lost_replica_fires(
    grid: RealGrid, watch: Observer, targets: list[str], tmp_path: Path
) -> None:
    with prometheus.running(tmp_path, targets) as server:
        whole = "sum(timesten_replica_set_in_sync) == 4 and sum(timesten_instance_alive) == 4"
        await asyncio.to_thread(server.wait_for, lambda: server.query(whole), 60.0)
        quiet = await asyncio.to_thread(server.alerts)
        assert "TenGridReplicaLost" not in quiet
        assert "TenGridNoLead" not in quiet
        host = grid.hosts[0]
        grid.kill_instance(host)
        labels = await asyncio.to_thread(
            server.wait_for, lambda: server.alerts().get("TenGridReplicaLost"), 60.0
        )
        assert labels["dsn"] == grid.login.database
        assert labels["instance"] != f"host{host}.instance1"
        await asyncio.to_thread(
            server.wait_for, lambda: server.alerts().get("TenGridInstanceDown"), 30.0
        )
        dead = f'timesten_instance_alive{{member="host{host}.instance1"}} == 0'
        await asyncio.to_thread(server.wait_for, lambda: server.query(dead), 30.0)
        await asyncio.to_thread(grid.start_instance, host)
        await watch.whole()
        await asyncio.to_thread(
            server.wait_for, lambda: "TenGridReplicaLost" not in server.alerts(), 60.0
        )
