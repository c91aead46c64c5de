"""docs/life-of-a-command.md says what happens: dbLoad in a grid of real parts in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mgmt.cli import main as cli
from tests.support.real_nodes import real_grid
from tests.support.steps import Step, first_times, listening, table

DOCUMENT = "life-of-a-command.md"
ASKED = ("InstanceStatus", "InstanceReport", "SetAttributes", "LoadElement", "ElementDone")


async def run(*words: str) -> None:
    """A ttGridAdmin command; its client blocks, so it runs on a thread."""
    assert await asyncio.to_thread(cli.run, list(words)) == 0


def of_the_command(step: Step) -> bool:
    """The management's side, and messages between the two."""
    file, message = step
    return file.startswith("mgmt/") or message in ASKED


async def test_db_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with real_grid(tmp_path, (1, 2), "database1") as grid:
        monkeypatch.setenv("TIMESTEN_HOME", str(grid.home))
        await run("dbCreate", "database1", "-wait")
        await run("dbDistribute", "database1", "-add", "all", "-apply")
        await run("dbUnload", "database1", "-force", "-wait")
        capsys.readouterr()
        with listening() as steps:
            await run("dbLoad", "database1", "-wait")
        assert "Database database1 load started" in capsys.readouterr().out
    command = [(row[0], row[1] if len(row) > 1 else "") for row in table(DOCUMENT, "The command")]
    assert first_times(filter(of_the_command, steps)) == command
    element = [row[0] for row in table(DOCUMENT, "An element follows")]
    done = [file for file, message in steps if file.startswith("data/") and not message]
    assert list(dict.fromkeys(done)) == element
