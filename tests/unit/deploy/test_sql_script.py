"""The script that ttGridRollout runs in a new database."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import sql_script


def test_a_refused_connection_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "tables.sql"
    script.write_text("CREATE TABLE t (id NUMBER);\n")
    monkeypatch.setattr("sys.argv", ["sql_script", str(tmp_path), "6624", "database1", str(script)])
    assert sql_script.main() == 1
    said = capsys.readouterr().out
    assert said.startswith(f"not connected to database1, nothing of {script} was run: ")
    assert str(tmp_path / ".s.PGSQL.6624") in said
