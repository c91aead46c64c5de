"""A real Prometheus on loopback with the rules of deploy/monitoring, sped up."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.zookeeper import free_ports

MONITORING = Path(__file__).resolve().parents[2] / "deploy" / "monitoring"
RULES = MONITORING / "alerts.yml"


def program(name: str) -> str:
    """prometheus or promtool; the test is skipped where Debian's package is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here: apt-get install prometheus (deploy/setup.sh --test)")
    return found


class Prometheus:
    """Scrapes targets each half second; alerts fire after a second."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result now."""
        words = urllib.parse.urlencode({"query": expression})
        return list(self._get(f"query?{words}")["result"])

    def alerts(self) -> dict[str, dict[str, str]]:
        """Those that fire, with their labels."""
        found = self._get("alerts")["alerts"]
        return {a["labels"]["alertname"]: a["labels"] for a in found if a["state"] == "firing"}

    def wait_for(self, what: Callable[[], Any], timeout_s: float = 30.0) -> Any:
        """The first true answer."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError):  # it is still starting
                answer = what()
                if answer:
                    return answer
            time.sleep(0.1)  # Prometheus tells nobody: it is asked
        raise AssertionError(f"Prometheus did not show it in {timeout_s} s; {self._state()}")

    def _state(self) -> str:
        return f"alerts {self.alerts()}, up {self.query('up')}"

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self._url + path, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
        return found


@contextlib.contextmanager
def running(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """Prometheus with these targets ("address:port")."""
    binary = program("prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    rules = re.sub(r"for: \w+", "for: 1s", RULES.read_text(encoding="utf-8"))
    (folder / "alerts.yml").write_text(rules, encoding="utf-8")
    job = {
        "job_name": "tengrid",
        "honor_labels": True,
        "static_configs": [{"labels": {"grid": "grid1"}, "targets": list(targets)}],
    }
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [job],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # is YAML too
    (port,) = free_ports(1)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(binary, f"--config.file={folder / 'prometheus.yml'}"),
                *(f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(timeout=20)
