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


def test_no_key_is_shown_whatever_its_field_is_called() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n"
    request = schema.GridCreate(
        name="g", k=2, membership="Servers h1!2181\n", internal_address="10.0.0.1",
        external_address="10.0.1.1", mgmt_port=3754, membership_root=pem,
        membership_certificate=pem,
    )  # fmt: skip
    said = audited.spoken(request)
    assert "MIGH" not in said
    assert "BEGIN" not in said
    assert "membership_root=... membership_certificate=..." in said
