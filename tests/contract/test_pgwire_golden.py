"""Bytes of the PostgreSQL protocol as the server must send them; client libraries depend on each.

Values, RowDescription and binary COPY were compared with what PostgreSQL 15.18 sends for the same
expressions; the other messages follow the layouts in PostgreSQL's manual.
"""

from __future__ import annotations

import pytest

from protocol.errors import UniqueViolationError
from protocol.pgwire import messages
from protocol.pgwire.copy_rows import CopyFormat
from protocol.pgwire.values import ResultColumn, row_encoder
from protocol.sqltypes import Kind, SqlType

COLUMNS = (
    ResultColumn("id", SqlType(Kind.INTEGER), 16384, 1),
    ResultColumn("money", SqlType(Kind.NUMBER, 10, 2)),
    ResultColumn("name", SqlType(Kind.VARCHAR, length=20)),
    ResultColumn("born", SqlType(Kind.TIMESTAMP, 6)),
)
ERROR = UniqueViolationError("duplicate", detail="Key (1).", hint="Try 2.", position=3)
MESSAGES = {
    "AuthenticationOk": (messages.AUTH_OK, "52 00000008 00000000"),
    "AuthenticationSASL": (
        messages.AUTH_SASL,
        "52 00000017 0000000a 534352414d2d5348412d32353600 00",
    ),
    "AuthenticationSASLContinue": (
        messages.authentication_sasl_continue(b"r=x"),
        "52 0000000b 0000000b 723d78",
    ),
    "AuthenticationSASLFinal": (
        messages.authentication_sasl_final(b"v=x"),
        "52 0000000b 0000000c 763d78",
    ),
    "ParameterStatus": (messages.parameter_status("a", "b"), "53 00000008 6100 6200"),
    "BackendKeyData": (
        messages.backend_key_data(1, 0xFFFFFFFF),
        "4b 0000000c 00000001 ffffffff",
    ),
    "ReadyForQuery": (messages.READY[b"T"], "5a 00000005 54"),
    "ParseComplete": (messages.PARSE_COMPLETE, "31 00000004"),
    "BindComplete": (messages.BIND_COMPLETE, "32 00000004"),
    "CloseComplete": (messages.CLOSE_COMPLETE, "33 00000004"),
    "NoData": (messages.NO_DATA, "6e 00000004"),
    "PortalSuspended": (messages.PORTAL_SUSPENDED, "73 00000004"),
    "EmptyQueryResponse": (messages.EMPTY_QUERY, "49 00000004"),
    "CommandComplete": (
        messages.command_complete("INSERT 0 1"),
        "43 0000000f 494e53455254203020310 0".replace(" ", ""),
    ),
    "ParameterDescription": (
        messages.parameter_description([23, 0]),
        "74 0000000e 0002 00000017 00000000",
    ),
    "RowDescription": (
        messages.row_description(COLUMNS, (0, 1, 0, 0)),
        "54 00000061 0004"
        "696400 00004000 0001 00000017 0004 ffffffff 0000"
        "6d6f6e657900 00000000 0000 000006a4 ffff 000a0006 0001"
        "6e616d6500 00000000 0000 00000413 ffff 00000018 0000"
        "626f726e00 00000000 0000 0000045a 0008 ffffffff 0000",
    ),
    "ErrorResponse": (
        messages.error_response(ERROR),
        "45 0000004a"
        "53 4552524f5200 56 4552524f5200 43 323335303500 4d 5454303930373a206475706c696361746500"
        "44 4b6579202831292e00 48 54727920322e00 50 3300 52 554e4951554500 00",
    ),
    "NoticeResponse": (
        messages.notice_response("WARNING", "w", "25P01"),
        "4e 00000021 53 5741524e494e4700 56 5741524e494e4700 43 323550303100 4d 7700 00",
    ),
    "CopyInResponse": (messages.copy_in_response(False, 2), "47 0000000b 00 0002 0000 0000"),
    "CopyOutResponse": (messages.copy_out_response(True, 1), "48 00000009 01 0001 0001"),
    "CopyDone": (messages.COPY_DONE, "63 00000004"),
    "NegotiateProtocolVersion": (
        messages.negotiate_protocol_version(["_pq_.x"]),
        "76 00000013 00030000 00000001 5f70715f2e7800",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    made, golden = MESSAGES[name]
    assert made.hex() == golden.replace(" ", "")


# value, text and binary form as PostgreSQL 15 sends the like
VALUES = [
    (SqlType(Kind.SMALLINT), -2, "2d32", "fffe"),
    (SqlType(Kind.INTEGER), 305419896, "333035343139383936", "12345678"),
    (SqlType(Kind.BIGINT), -1, "2d31", "ffffffffffffffff"),
    (SqlType(Kind.NUMBER, 10, 2), -1234567, "2d31323334352e3637", "0003000140000002000109291a2c"),
    (SqlType(Kind.NUMBER), "0.001", "302e303031", "0001ffff00000003000a"),
    (SqlType(Kind.NUMBER), "100000000", "313030303030303030", "00010002000000000001"),
    (SqlType(Kind.NUMBER, 9, 2), 0, "302e3030", "0000000000000002"),
    (SqlType(Kind.BINARY_FLOAT), 1.5, "312e35", "3fc00000"),
    (SqlType(Kind.BINARY_DOUBLE), 1e100, "31652b313030", "54b249ad2594c37d"),
    (SqlType(Kind.CHAR, length=3), "a", "612020", "612020"),
    (SqlType(Kind.VARCHAR), "é", "c3a9", "c3a9"),
    (SqlType(Kind.BOOLEAN), 1, "74", "01"),
    (SqlType(Kind.VARBINARY), b"\x01\x02", "5c7830313032", "0102"),
    (SqlType(Kind.TT_DATE), 951782400000000, "323030302d30322d3239", "0000003b"),
    (
        SqlType(Kind.TIMESTAMP, 6),
        946684800000001,
        "323030302d30312d30312030303a30303a30302e303030303031",
        "0000000000000001",
    ),
    (SqlType(Kind.TT_TIME), 3661000000, "30313a30313a3031", "00000000da366d40"),
    (
        SqlType(Kind.INTERVAL_DS),
        90061000000,
        "31206461792030313a30313a3031",
        "00000000da366d40 00000001 00000000",
    ),
    (
        SqlType(Kind.INTERVAL_YM),
        14,
        "31207965617220 32206d6f6e73",
        "0000000000000000 00000000 0000000e",
    ),
]


@pytest.mark.parametrize(("kind", "value", "text", "binary"), VALUES)
def test_values(kind: SqlType, value: object, text: str, binary: str) -> None:
    for format, golden in ((0, text), (1, binary)):
        row = row_encoder((kind,), (format,))([(value,)])  # type: ignore[list-item]
        cell = golden.replace(" ", "")
        size = len(cell) // 2
        assert row.hex() == f"44{size + 10:08x}0001{size:08x}{cell}"


def test_binary_copy_begins_inside_its_first_message() -> None:
    encoder = CopyFormat((SqlType(Kind.INTEGER),), ("ID",), "binary").row_encoder()
    header = "5047434f50590aff0d0a00" + "00" * 8
    row = bytes(encoder.opened(encoder([(7,)]))).hex()
    assert row == "64 00000021".replace(" ", "") + header + "00010000000400000007"
    assert encoder.trailer(any_rows=True).hex() == "6400000006ffff"
    assert encoder.trailer(any_rows=False).hex() == "6400000019" + header + "ffff"
