"""Hosts in network namespaces: modelApply by real SSH while hosts and cables go away."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.netns import hosts
from deploy.netns.grid import HOME, Grid
from deploy.netns.plan import INTERNAL, ROOT, Lab
from mgmt.cli.installation_check import write_manifest
from protocol.errors import OperationError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(hosts.missing()), reason=f"missing: {', '.join(hosts.missing())}"),
]
WAIT_S = 120


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    """host1 manages; host3 and host4 run, and are in the model with an instance each."""
    monkeypatch.delenv("TENGRID_TEST_RUN", raising=False)  # the fixture ends all processes itself
    found = Grid(Lab(folder=tmp_path / "lab", hosts=(1, 3, 4)))
    try:
        found.build_software()
        found.start_hosts()
        found.start_membership()
        found.create(k=2)
        found.add_data_hosts({3: 1, 4: 2})
        yield found
    finally:
        hosts.stop_all(found.lab)
        hosts.remove(found.lab)


def test_hosts_and_cables_that_go_away_during_model_apply(grid: Grid) -> None:
    folder = grid.lab.folder
    command = hosts.command(grid.lab, "host1", [f"{HOME}/bin/ttGridAdmin", "modelApply"])
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    _until(lambda: any((folder / "host4" / "grid").glob("*.unpacking/python")))
    hosts.power_off(grid.lab, "host4")
    output, _ = running.communicate(timeout=WAIT_S)
    assert running.returncode == 1, output
    assert "host4" in output, output
    assert "cannot be reached by ssh" in output, output
    (tree,) = (folder / "host3" / "grid").glob("tengrid-*")
    made = (tree / "README.html").stat().st_ino

    hosts.start_host(grid.lab, "host4")
    hosts.set_link(grid.lab, "host3", INTERNAL, up=False)
    with pytest.raises(OperationError, match=r"host3.*cannot be reached by ssh"):
        grid.apply()
    hosts.set_link(grid.lab, "host3", INTERNAL, up=True)

    assert grid.apply().endswith("ttGridAdmin modelApply complete\n")
    assert (tree / "README.html").stat().st_ino == made, "not copied twice"
    assert not list((folder / "host4" / "grid").glob("*.unpacking"))
    status = grid.admin("instanceStatus")
    assert status.count('"member": true') == 3, status


def test_host_keys_and_keys_are_checked_where_it_matters(grid: Grid) -> None:
    known = "/root/.ssh/known_hosts"
    hosts.power_off(grid.lab, "host4")  # the connection that hostCreate made ends
    hosts.start_host(grid.lab, "host4")
    hosts.run(grid.lab, "host1", "sed", "-i", "/int-host4/d", known)
    with pytest.raises(OperationError, match=r"host key of 10\.77\.0\.14 is not known"):
        grid.apply()
    hosts.learn(grid.lab, "host1")
    hosts.run(grid.lab, "host4", "mv", "/root/.ssh/authorized_keys", "/root/.ssh/away")
    with pytest.raises(OperationError, match="not log in with the keys tried"):
        grid.apply()
    hosts.run(grid.lab, "host4", "mv", "/root/.ssh/away", "/root/.ssh/authorized_keys")
    grid.admin("modelApply", "-nostart")
    reply = grid.admin("hostExec", "-parallel", "2", "hostname")
    assert [line for line in reply.splitlines() if line.startswith("  ")] == [
        "  host1 rc 0",
        "  host3 rc 0",
        "  host4 rc 0",
    ]


def test_a_full_disk_on_a_host(grid: Grid) -> None:
    words = ("mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", "/grid")
    hosts.run(grid.lab, "host4", *words)
    with pytest.raises(OperationError, match=r"host4.*No space left on device"):
        grid.apply()
    assert hosts.run(grid.lab, "host4", "ls", "-A", "/grid") == ""
    hosts.run(grid.lab, "host4", "mount", "-o", "remount,size=500m", "/grid")
    assert grid.apply().endswith("ttGridAdmin modelApply complete\n")


def test_an_upgrade_to_another_release_by_ssh(grid: Grid) -> None:
    """Another number, another tree: what runs afterwards is from there, on every host."""
    release = _next_release(grid)
    grid.apply()
    grid.make_database()
    psql = ("psql", "-h", f"{HOME}/info", "-p", "6625", "-Atc")
    user, made = "CREATE USER terry IDENTIFIED BY 'tiger'", "CREATE TABLE terry.t (a NUMBER(9))"
    for statement in (user, made):
        hosts.run(grid.lab, "host3", *psql, statement, "database1")
    hosts.run(grid.lab, "host4", *psql, "INSERT INTO terry.t VALUES (1)", "database1")
    grid.admin("gridUpgrade", "-createInstallations", "-source", f"{ROOT}/stage/{release}")
    to = ("-to", release.removeprefix("tengrid-"))
    grid.admin("gridUpgrade", "-type", "mgmt", *to)
    _until(lambda: _upgraded(grid, "host1", release))
    _until(lambda: _operations_done(grid))
    lines = grid.admin("gridUpgrade", "-type", "data", *to, "-online").splitlines()
    assert lines[-1] == f"2 instances run from {to[1]}"
    for name in ("host1", "host3", "host4"):
        assert _upgraded(grid, name, release), name
        tool = hosts.run(grid.lab, name, f"{HOME}/install/bin/ttInstanceCreate", "-version")
        assert to[1] in tool, tool
    rows = hosts.run(grid.lab, "host3", *psql, "SELECT a FROM terry.t", "database1")
    assert rows.strip() == "1"


def _next_release(grid: Grid) -> str:
    """The same software with another number, as a directory on host1; its name."""
    (present,) = grid.lab.software.glob("tengrid-*")
    numbers = present.name.removeprefix("tengrid-").split(".")
    number = ".".join((*numbers[:-1], str(int(numbers[-1]) + 1)))
    made = grid.lab.host_folder("host1") / "grid" / "stage" / f"tengrid-{number}"
    shutil.copytree(present, made, symlinks=True)
    (info,) = (made / "python").rglob("tengrid-*.dist-info")
    facts = info / "METADATA"
    facts.write_text(
        facts.read_text().replace(f"Version: {'.'.join(numbers)}", f"Version: {number}", 1)
    )
    info.rename(info.with_name(f"tengrid-{number}.dist-info"))
    write_manifest(made)
    return made.name


def _upgraded(grid: Grid, name: str, release: str) -> bool:
    """The daemon runs with the Python of that installation."""
    try:
        pid = hosts.run(grid.lab, name, "cat", f"{HOME}/info/daemon.pid").split()[0]
        return f"/{release}/" in hosts.run(grid.lab, name, "readlink", f"/proc/{pid}/exe")
    except OperationError:  # it is between two lives
        return False


def _operations_done(grid: Grid) -> bool:
    try:
        return "running" not in grid.admin("operationList")
    except OperationError:  # the management instance restarts
        return False


def _until(condition: object) -> None:
    assert callable(condition)
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)  # files of other processes: nothing tells when they appear
