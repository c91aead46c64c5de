"""ttExporter: what it writes for the daemon, and what it says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mgmt.cli import daemon_admin, exporter, status
from protocol import audit_file, exporter_file, instance_file
from protocol.errors import ParameterError, UsageError
from protocol.exporter_file import ExporterSettings
from protocol.instance_file import InstanceSettings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a data instance that does not run."""
    for folder in ("conf", "info"):
        (tmp_path / folder).mkdir()
    settings = InstanceSettings(name="host3.instance1", kind="data", home=str(tmp_path))
    (tmp_path / instance_file.INSTANCE_FILE).write_text(instance_file.render(settings))
    monkeypatch.setenv("TIMESTEN_HOME", str(tmp_path))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["ttExporter", *words])
    return exporter.main()


def test_on_shown_and_off(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "-port", "9624", "-insecure", "-limit", "3") == 0
    assert exporter_file.load(home) == ExporterSettings(port=9624, insecure=True, limit=3)
    assert (home / exporter_file.FILE).stat().st_mode & 0o777 == 0o600
    assert "host3.instance1 is not running; it will serve port 9624" in capsys.readouterr().out
    networks = {
        listener["network"]: listener["port"] for listener in status._facts(home)["listeners"]
    }
    assert networks["metrics"] == "9624"
    assert run(monkeypatch) == 0
    assert "9624" in capsys.readouterr().out
    assert run(monkeypatch, "-stop") == 0
    assert exporter_file.load(home) is None
    assert "serves nothing" in capsys.readouterr().out


def test_what_the_daemon_says_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "info" / "daemon.pid").write_text(str(os.getpid()))
    monkeypatch.setattr(exporter, "read_pid", lambda home, file: os.getpid())
    wanted = ExporterSettings(port=9624, insecure=True)
    (home / exporter_file.FILE).write_bytes(exporter_file.render(wanted))
    state = home / exporter_file.STATE_FILE
    state.write_text("serving http://127.0.0.1:9624/metrics")
    assert run(monkeypatch) == 0
    assert "serves http://127.0.0.1:9624/metrics." in capsys.readouterr().out
    state.write_text("failed the port is in use")
    assert run(monkeypatch) == 1
    assert "the port is in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-port", "9624"), "no certificates"),
        (("-port", "0", "-insecure"), "-port wants a number"),
        (("-port", "x", "-insecure"), "not 'x'"),
        (("-insecure",), "go with -port"),
        (("-port", "9624", "-stop"), "only one of"),
    ],
)
def test_wrong_words_change_nothing(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    assert run(monkeypatch, *words) != 0
    assert said in capsys.readouterr().err
    assert exporter_file.load(home) is None


def test_a_damaged_file_is_refused(home: Path) -> None:
    (home / exporter_file.FILE).write_text('{"port": 99999999}')
    with pytest.raises(ParameterError, match="out of range"):
        exporter_file.load(home)


def test_what_is_changed_is_in_the_audit_log_of_the_instance(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "-port", "9624", "-insecure") == 0
    assert run(monkeypatch) == 0  # changes nothing
    monkeypatch.setattr("sys.argv", ["ttDaemonAdmin", "-stop"])
    assert daemon_admin.main() == 0
    assert run(monkeypatch, "-port", "70000") != 0
    file = home / audit_file.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["command"], line["result"]) for line in lines] == [
        ("ttExporter -port 9624 -insecure", "done"),
        ("ttDaemonAdmin -stop", "done"),
        ("ttExporter -port 70000", UsageError.code),
    ]
    assert all(line["event"] == "audit.command" for line in lines)
    assert lines[0]["who"].endswith(" with ttExporter")
