"""The facts about the distribution in an installation."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from mgmt.transport.bundle import _write_facts


@pytest.mark.parametrize(
    ("folder", "file"), [("tengrid-1.2.3.dist-info", "METADATA"), ("tengrid.egg-info", "PKG-INFO")]
)
def test_an_installation_knows_its_version(tmp_path: Path, folder: str, file: str) -> None:
    source = tmp_path / "source" / folder
    source.mkdir(parents=True)
    (source / file).write_text("Metadata-Version: 2.1\nName: tengrid\nVersion: 1.2.3\n")
    (source / "entry_points.txt").write_text("[console_scripts]\nttStatus = mgmt.cli.status:main\n")
    packages = tmp_path / "packages"
    packages.mkdir()
    _write_facts(metadata.Distribution.at(source), packages)
    copied = metadata.Distribution.at(packages / "tengrid-1.2.3.dist-info")
    assert copied.version == "1.2.3"
    assert [point.name for point in copied.entry_points] == ["ttStatus"]
