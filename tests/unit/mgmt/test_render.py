"""Replies as text."""

from __future__ import annotations

from mgmt.cli import render


def test_a_progress_line_reads_as_documented() -> None:
    for title in (
        "Creating new model version............................................OK",
        "Exporting current model (version 1)...................................OK",
        "Pushing new configuration files to each instance......................OK",
        "Making model version 1 current, version 2 writable....................OK",
    ):
        name = title.removesuffix("OK").rstrip(".")
        assert render.dotted(name) + "OK" == title


def test_columns_are_as_wide_as_their_values_and_numbers_stand_right() -> None:
    text = render.table(("Host", "DSG"), [("host10", 1), ("h", None)])
    assert text == "Host   DSG\n------ ---\nhost10   1\nh"


def test_an_empty_table_has_its_headings() -> None:
    assert render.table(("Name", "DSG"), []) == "Name DSG\n---- ---"
