"""Losses of power for grids in one process: what was not flushed is gone, the boot id is new.

What a disk holds after a loss of power is at least what the last flush left there, and here it is
not one byte more: every flush of an element's files takes a copy of them, and `cut` puts those
copies in the place of the files.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data.storage.element import Element
from data.storage.sqlite import WalKeeper
from protocol.messages.admin import INTENT_CREATED, INTENT_LOADED, INTENT_OPEN, render_intent
from tests.support.memory_grid import DATABASE, MemoryGrid, Node

BOOT_ID_VARIABLE = "TENGRID_BOOT_ID_FILE"
FILES = ("element.db", "element.db-wal")
FLUSHED = ".flushed"  # suffix of the copies


class Power:
    """The power of all hosts of a MemoryGrid. Make it before the grid starts."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self._boot = directory / "boot_id"
        self._boots = 0
        self._frozen: set[Path] = set()
        self.new_boot()
        patch.setenv(BOOT_ID_VARIABLE, str(self._boot))
        flush_now, flush = WalKeeper.flush_now, WalKeeper.flush

        def flushed_now(keeper: WalKeeper) -> None:
            flush_now(keeper)
            self._copy(keeper._file.parent)

        async def flushed(keeper: WalKeeper) -> None:
            await flush(keeper)
            self._copy(keeper._file.parent)

        patch.setattr(WalKeeper, "flush_now", flushed_now)
        patch.setattr(WalKeeper, "flush", flushed)

    def copy_synced_commits(self, patch: pytest.MonkeyPatch) -> None:
        """SQLite flushes each commit of an element with synchronous=FULL: that is a flush too."""
        commit = Element._commit_sqlite

        def committed(element: Element) -> None:
            commit(element)
            if element._writer.pragma("synchronous") >= 2:
                self._copy(element.path)

        patch.setattr(Element, "_commit_sqlite", committed)

    def new_boot(self) -> None:
        """The machines were started anew."""
        self._boots += 1
        self._boot.write_text(f"boot {self._boots}")

    def _copy(self, folder: Path) -> None:
        if folder not in self._frozen:
            for name in FILES:
                if (folder / name).exists():
                    shutil.copyfile(folder / name, folder / (name + FLUSHED))

    async def cut(self, grid: MemoryGrid, nodes: list[Node], written: Sequence[Node] = ()) -> None:
        """These nodes' power goes, all others' processes end in order; nobody runs after it.

        `written`: where the operating system had happened to write everything already.
        """
        folders = [Path(node.spec.data_store) for node in nodes]
        for node in written:
            self._copy(Path(node.spec.data_store))
        self._frozen |= set(folders)
        await set_intent(grid, INTENT_CREATED)  # nobody hands over: it is too sudden for that
        await asyncio.gather(*(grid.stop_node(n) for n in grid.nodes if n.instance is not None))
        for folder in folders:
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
                os.replace(folder / (name + FLUSHED), folder / name)
            (folder / "element.db-shm").unlink(missing_ok=True)
        self._frozen -= set(folders)
        self.new_boot()

    async def on(self, grid: MemoryGrid, *, open_it: bool = True) -> None:
        """Everything is started again; the database is to be open, or only loaded."""
        await asyncio.gather(*(grid.start_node(node) for node in grid.nodes))
        await set_intent(grid, INTENT_OPEN if open_it else INTENT_LOADED)


async def set_intent(grid: MemoryGrid, word: str) -> None:
    """Tell all instances what to bring the database to."""
    membership: Any = next(n.membership for n in grid.nodes if n.instance is not None)
    await membership.put_state(DATABASE, render_intent(word, grid.database_id))
