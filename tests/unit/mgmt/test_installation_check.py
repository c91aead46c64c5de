"""ttInstallationCheck: what changed in an installation is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgmt.cli.installation_check import check, write_manifest
from protocol.errors import ParameterError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name in ("bin/one", "bin/two", "three"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o644)
    (tmp_path / "link").symlink_to("three")
    write_manifest(tmp_path)
    return tmp_path


def test_an_unchanged_installation_passes_also_after_a_move(tree: Path) -> None:
    moved = tree.rename(tree.with_name("moved"))
    (moved / "bin" / "one.pyc").write_text("made by Python")
    assert check(moved) == []


def test_each_change_is_named(tree: Path) -> None:
    (tree / "bin" / "one").write_text("ONE")
    (tree / "bin" / "two").unlink()
    (tree / "three").chmod(0o666)
    (tree / "four").write_text("")
    (tree / "link").unlink()
    (tree / "link").symlink_to("four")
    assert check(tree) == [
        "missing: bin/two",
        "not of the release: four",
        "changed: bin/one",
        "changed: link",
        "others may write to it: three",
    ]


def test_a_directory_of_links_has_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no readable manifest"):
        check(tmp_path)
