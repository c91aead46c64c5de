"""Alert rules and the dashboard speak of metrics that there are; promtool accepts them."""

from __future__ import annotations

import json
import re
import subprocess

from protocol import metric_names
from tests.support.prometheus import MONITORING, RULES, program
from tests.support.steps import DOCS

KNOWN = {
    f"timesten_{name}"
    for table in (
        metric_names.INSTANCE,
        metric_names.DATABASE,
        metric_names.COPIES,
        metric_names.GRID,
        dict((metric_names.ERRORS,)),
        {"element_role": "", "instance_info": ""},
        {f"{h}_{part}": "" for h in metric_names.HISTOGRAMS for part in ("bucket", "count", "sum")},
    )
    for name in table
}


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool = program("promtool")
    for words in (["config", MONITORING / "prometheus.yml"], ["rules", RULES]):
        done = subprocess.run([promtool, "check", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_use_metrics_that_are_exported() -> None:
    for file in (RULES, MONITORING / "grafana-dashboard.json"):
        used = set(re.findall(r"timesten_\w+", file.read_text(encoding="utf-8")))
        assert used
        assert used <= KNOWN, file.name


def test_every_alert_is_explained() -> None:
    page = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    alerts = re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert len(alerts) >= 10
    assert [name for name in alerts if f"`{name}`" not in page] == []


def test_every_metric_is_explained() -> None:
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    names = {re.sub("_(bucket|count|sum)$", "", name) for name in KNOWN}
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_dashboard_is_whole() -> None:
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    panels = [p for p in board["panels"] if p["type"] != "row"]
    assert len(panels) > 20
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    for panel in panels:
        assert all(target["expr"] for target in panel["targets"]), panel["title"]
