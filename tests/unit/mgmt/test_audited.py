"""What the audit log says of a management request."""

from __future__ import annotations

from mgmt.api import audited, schema
from mgmt.api.schema_databases import DbLoad, DbStatus
from mgmt.api.schema_picture import GridPicture


def test_what_only_reads_is_not_audited() -> None:
    assert not audited.is_audited(DbStatus)
    assert not audited.is_audited(GridPicture)
    assert not audited.is_audited(schema.OperationList)


def test_what_changes_something_is() -> None:
    assert audited.is_audited(DbLoad)
    assert audited.is_audited(schema.ModelApply)
    assert audited.is_audited(schema.OperationCancel)


def test_a_request_in_one_line() -> None:
    assert audited.spoken(schema.OperationCancel(id=7)) == "operations/cancel id=7"
    assert audited.spoken(DbLoad(name="sales")) == "databases/load name=sales"


def test_contents_of_files_and_long_values_are_left_out() -> None:
    request = schema.DbdefCreate(name="d", text="[d]\nPWD=hush")
    assert "hush" not in audited.spoken(request)
    assert "text=..." in audited.spoken(request)
    assert len(audited.spoken(DbLoad(name="x" * 500))) < 200
