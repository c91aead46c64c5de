"""The specifications of an instance's elements on disk: one JSON file each, under the home."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from protocol.messages.admin import ElementSpec

FOLDER = "conf/databases"  # relative to the instance home


class SpecStore:
    """Writes are atomic and flushed: a daemon killed at any moment finds old or new, whole."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def load(self) -> list[ElementSpec]:
        """All specifications. Raises msgspec.ValidationError or OSError for a damaged file."""
        if not self._folder.is_dir():
            return []
        return [_decode(path.read_bytes()) for path in sorted(self._folder.glob("*.json"))]

    def save(self, spec: ElementSpec) -> None:
        """Keep, or replace, the specification of a database's element."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(spec.database)
        scratch = path.with_suffix(".new")
        with scratch.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(msgspec.structs.asdict(spec))))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        _flush_folder(self._folder)

    def forget(self, database: str) -> None:
        """Remove it; nothing happens if there is none."""
        path = self._path(database)
        if path.exists():
            path.unlink()
            _flush_folder(self._folder)

    def _path(self, database: str) -> Path:
        return self._folder / f"{database.lower()}.json"


def _decode(body: bytes) -> ElementSpec:
    fields = msgspec.json.decode(body, type=dict[str, object])
    ordered = [fields[name] for name in ElementSpec.__struct_fields__ if name in fields]
    return msgspec.convert(ordered, ElementSpec)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
