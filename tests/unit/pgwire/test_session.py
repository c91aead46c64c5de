"""The protocol as a client sees it, byte by byte, without sockets; and garbage of every kind."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.session.engine import ResultSink
from protocol.errors import ShuttingDownError
from protocol.limits import WIRE_MESSAGE_BYTES_MAX
from protocol.pgwire.connection import STARTUP_BYTES_MAX
from tests.support.fake_engine import FakeEngine
from tests.support.wire import (
    FLUSH,
    SYNC,
    Loopback,
    Messages,
    bind,
    close,
    describe,
    execute,
    kinds,
    message,
    parse,
    query,
    startup,
)


@pytest.fixture
def engine() -> FakeEngine:
    """A table of ten rows."""
    engine = FakeEngine({"trusted": None})
    engine.run("CREATE TABLE t (id tt_integer PRIMARY KEY, name varchar2(9))")
    engine.run("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) "
               "INSERT INTO t SELECT n, 'row ' || n FROM r")  # fmt: skip
    return engine


@pytest.fixture
def client(engine: FakeEngine) -> Loopback:
    """A started session."""
    return Loopback(engine)


def field(messages: Messages, kind: str, code: str) -> str:
    """A field of the first ErrorResponse or NoticeResponse."""
    payload = next(payload for found, payload in messages if found == kind)
    fields = {part[:1].decode(): part[1:].decode() for part in payload.split(b"\0") if part}
    return fields[code]


def tags(messages: Messages) -> list[str]:
    """Command tags."""
    return [payload[:-1].decode() for kind, payload in messages if kind == "C"]


SELECT = "SELECT id, name FROM t WHERE id = $1::int"


def test_startup_in_single_bytes(engine: FakeEngine) -> None:
    client = Loopback(engine, start=False)
    for request in (80877104, 80877103):  # GSSENCRequest, SSLRequest: neither is offered
        client.session.received(struct.pack("!ii", 8, request))
        assert client.written == b"N"
        client.written.clear()
    assert kinds(client.send(startup(), chunk=1)) == "R" + "S" * 13 + "KZ"


@pytest.mark.parametrize("chunk", [0, 1, 3, 17])
def test_extended_query_however_it_is_cut(client: Loopback, chunk: int) -> None:
    one = bind("", "s", b"3") + describe("P", "") + execute("") + SYNC
    data = parse("s", SELECT) + describe("S", "s") + SYNC + one + one
    answer = client.send(data, chunk)
    assert kinds(answer) == "1tTZ" + "2TDCZ" * 2
    assert tags(answer) == ["SELECT 1"] * 2
    assert answer[6] == ("D", b"\0\2\0\0\0\0013\0\0\0\5row 3")


def test_the_fast_way_and_the_general_way_answer_alike(client: Loopback) -> None:
    client.send(parse("s", SELECT) + SYNC)
    fast = client.send(bind("", "s", b"3") + execute("") + SYNC)
    slow = client.send(bind("", "s", b"3") + FLUSH + execute("") + FLUSH + SYNC)
    assert fast == slow
    for wrong in (b"x", b"99999999999"):
        fast = client.send(bind("", "s", wrong) + describe("P", "") + execute("") + SYNC)
        slow = client.send(
            bind("", "s", wrong) + FLUSH + describe("P", "") + execute("") + FLUSH + SYNC
        )
        assert fast == slow
        assert kinds(fast) == "EZ"


def test_binary_parameters_and_results(client: Loopback) -> None:
    client.send(parse("s", SELECT, 23) + SYNC)
    answer = client.send(
        bind("", "s", struct.pack("!i", 4), formats=(1,), results=(1, 0)) + execute("") + SYNC
    )
    assert answer[1] == ("D", b"\0\2\0\0\0\4\0\0\0\4\0\0\0\5row 4")


def test_portals_with_row_limits(client: Loopback) -> None:
    client.send(query("BEGIN") + parse("s", "SELECT id FROM t ORDER BY id") + SYNC)
    answer = client.send(bind("p", "s") + execute("p", 4) + execute("p", 4) + SYNC)
    assert kinds(answer) == "2DDDDsDDDDsZ"
    assert kinds(client.send(execute("p", 4) + SYNC)) == "DDCZ"
    assert tags(client.send(execute("p", 4) + SYNC)) == ["SELECT 0"]
    assert kinds(client.send(close("P", "p") + close("P", "p") + SYNC)) == "33Z"
    assert field(client.send(execute("p") + SYNC), "E", "C") == "34000"


def test_a_suspended_portal_ends_with_its_transaction(client: Loopback, engine: FakeEngine) -> None:
    client.send(parse("s", "SELECT id FROM t") + SYNC)
    assert kinds(client.send(bind("p", "s") + execute("p", 2) + SYNC)) == "2DDsZ"
    assert engine.closed_executions == 1
    assert field(client.send(execute("p", 2) + SYNC), "E", "C") == "34000"


def test_an_error_skips_to_sync(client: Loopback) -> None:
    answer = client.send(
        parse("a", "SELECT * FROM nosuch")
        + bind("", "a")
        + execute("")
        + query("SELECT 1")
        + SYNC
        + query("SELECT 2")
    )
    assert kinds(answer) == "EZTDCZ"
    assert field(answer, "E", "M") == "TT2206: table nosuch not found"


def test_one_sync_is_one_transaction(client: Loopback, engine: FakeEngine) -> None:
    client.send(parse("i", "INSERT INTO t VALUES ($1::int, 'new')") + SYNC)
    insert = lambda n: bind("", "i", n) + execute("")  # noqa: E731
    answer = client.send(insert(b"100") + insert(b"101") + insert(b"1") + insert(b"102") + SYNC)
    assert kinds(answer) == "2C2C2EZ"
    assert engine.run("SELECT count(*) FROM t") == [(10,)]
    answer = client.send(insert(b"100") + insert(b"101") + SYNC)
    assert engine.run("SELECT count(*) FROM t") == [(12,)]
    assert kinds(answer) == "2C2CZ"


def test_names_must_be_free_and_known(client: Loopback) -> None:
    client.send(parse("s", SELECT) + SYNC)
    assert field(client.send(parse("s", SELECT) + SYNC), "E", "C") == "42P05"
    assert kinds(client.send(parse("", SELECT) + parse("", "SELECT 1") + SYNC)) == "11Z"
    assert field(client.send(bind("", "x") + SYNC), "E", "C") == "26000"
    assert field(client.send(describe("S", "x") + SYNC), "E", "C") == "26000"
    assert field(client.send(describe("P", "x") + SYNC), "E", "C") == "34000"
    twice = bind("p", "s", b"1") + bind("p", "s", b"1")
    assert field(client.send(twice + SYNC), "E", "C") == "42P03"
    assert field(client.send(bind("", "s") + execute("") + SYNC), "E", "C") == "08P01"
    assert kinds(client.send(close("S", "s") + close("S", "s") + SYNC)) == "33Z"


def test_simple_queries(client: Loopback) -> None:
    assert kinds(client.send(query("SELECT 1; SELECT id FROM t;"))) == "TDCT" + "D" * 10 + "CZ"
    assert kinds(client.send(query(""))) == "IZ"
    assert kinds(client.send(query(" -- nothing"))) == "IZ"
    assert kinds(client.send(query("SELECT 1; SELECT * FROM nosuch; SELECT 2"))) == "TDCEZ"
    answer = client.send(query("COMMIT"))
    assert (kinds(answer), field(answer, "N", "S")) == ("NCZ", "WARNING")


def test_errors_in_a_block_point_into_the_whole_query(client: Loopback) -> None:
    answer = client.send(query("SELECT 1; SELECT 1; SELECT * FROM nosuch"))
    assert field(answer, "E", "P") == "35"


@pytest.mark.parametrize("chunk", [0, 1, 11])
def test_copy_in_simple_and_extended(client: Loopback, engine: FakeEngine, chunk: int) -> None:
    rows = message("d", b"20\tx\n2") + message("d", b"1\ty\n")
    assert kinds(client.send(query("COPY t FROM STDIN"))) == "G"
    answer = client.send(rows + message("c") + query("SELECT 1"), chunk)
    assert kinds(answer) == "CZTDCZ"
    assert tags(answer)[0] == "COPY 2"
    start = parse("", "COPY t FROM STDIN") + bind("", "") + execute("") + SYNC
    assert kinds(client.send(start, chunk)) == "12G"
    rows = message("d", b"30\tx\n") + message("c") + SYNC
    assert kinds(client.send(rows, chunk)) == "CZ"
    assert engine.run("SELECT id FROM t WHERE id > 10 ORDER BY id") == [(20,), (21,), (30,)]


def test_bind_does_not_read_on_in_the_next_message(client: Loopback) -> None:
    client.send(parse("s", SELECT) + SYNC)
    torn = message("B", b"\0s\0\0\0\0\1\0\0\0\6" + b"1")
    for follows in (describe("P", "") + execute("") + SYNC, execute("") + SYNC, FLUSH + SYNC):
        answer = client.send(torn + follows)
        assert (kinds(answer), field(answer, "E", "C")) == ("EZ", "08P01")
    assert kinds(client.send(message("B", b"\0s\0\0\3\0\0") + SYNC)) == "EZ"


def test_the_function_call_message_is_refused(client: Loopback) -> None:
    call = message("F", struct.pack("!ihhi4sh", 1598, 0, 1, 4, b"0\0\0\0", 0))
    answer = client.send(call + query("SELECT 1"))
    assert (kinds(answer), field(answer, "E", "C")) == ("EZTDCZ", "0A000")
    assert field(answer, "E", "S") == "ERROR"


def test_commands_that_are_refused_and_why(client: Loopback) -> None:
    client.send(query("PREPARE q (int) AS SELECT id FROM t WHERE id = $1::int"))
    client.send(query("BEGIN"))
    for sql, sqlstate in [
        ("EXECUTE q(1, 2)", "42601"),
        ("EXECUTE q", "42601"),
        ("DISCARD ALL", "25001"),
        ("PREPARE TRANSACTION 'x'", "0A000"),
    ]:
        assert field(client.send(query(sql)), "E", "C") == sqlstate, sql


def test_errors_in_the_query_of_a_command_point_into_the_command(client: Loopback) -> None:
    for sql in ("DECLARE c CURSOR FOR\nSELECT * FROM nosuch", "PREPARE q AS SELECT * FROM nosuch"):
        assert field(client.send(query(sql)), "E", "P") == str(sql.index("nosuch") + 1)
    answer = client.send(parse("", "DECLARE c CURSOR FOR SELECT * FROM nosuch") + SYNC)
    assert field(answer, "E", "P") == "36"


def test_copy_that_fails(client: Loopback, engine: FakeEngine) -> None:
    bad = query("COPY t FROM STDIN") + message("d", b"20\tx\nbad\ty\n")
    answer = client.send(bad + message("d", b"40\tx\n") + message("c"))
    assert kinds(answer) == "GEZ"
    assert kinds(client.send(query("SELECT 1"))) == "TDCZ"
    answer = client.send(
        query("COPY t FROM STDIN") + message("d", b"20\tx\n") + message("f", b"no\0")
    )
    assert (kinds(answer), field(answer, "E", "C")) == ("GEZ", "57014")
    answer = client.send(query("COPY t FROM STDIN") + query("SELECT 1") + SYNC)
    assert kinds(answer)[:3] == "GEZ"
    start = parse("", "COPY t FROM STDIN") + bind("", "") + execute("")
    answer = client.send(start + message("d", b"bad\ty\n"))
    answer += client.send(message("d", b"21\ty\n") + message("c") + SYNC)
    assert kinds(answer) == "12GEZ"
    assert engine.run("SELECT count(*) FROM t") == [(10,)]


def test_leaving_in_the_middle_of_copy_undoes_it(client: Loopback, engine: FakeEngine) -> None:
    client.send(query("COPY t FROM STDIN") + message("d", b"20\tx\n") + message("X"))
    assert client.is_closed
    assert engine.open_sessions == 0
    assert engine.run("SELECT count(*) FROM t") == [(10,)]


def test_session_commands_of_drivers(client: Loopback) -> None:
    for sql, tag in [
        ("DEALLOCATE ALL", "DEALLOCATE ALL"),
        ("PREPARE q (int) AS SELECT id FROM t WHERE id = $1::int", "PREPARE"),
        ("EXECUTE q(5)", "SELECT 1"),
        ("DEALLOCATE PREPARE q", "DEALLOCATE"),
        ("CLOSE ALL", "CLOSE CURSOR ALL"),
        ("UNLISTEN *", "UNLISTEN"),
        ("DISCARD PLANS", "DISCARD PLANS"),
        ("DISCARD ALL", "DISCARD ALL"),
    ]:
        if sql == "UNLISTEN *" or tag:
            assert tags(client.send(query(sql))) == [tag], sql
    for sql, code in [
        ("EXECUTE q(5)", "26000"),
        ("FETCH 1 FROM nosuch", "34000"),
        ("DECLARE c SCROLL CURSOR FOR SELECT 1", "0A000"),
        ("LISTEN x", "0A000"),
        ("FETCH", "42601"),
    ]:
        assert field(client.send(query(sql)), "E", "C") == code, sql


def test_cursors(client: Loopback) -> None:
    client.send(query("BEGIN"))
    assert tags(client.send(query("DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id"))) == [
        "DECLARE CURSOR"
    ]
    answer = client.send(query("FETCH 3 FROM c; MOVE 2 IN c; FETCH c"))
    assert tags(answer) == ["FETCH 3", "MOVE 2", "FETCH 1"]
    assert answer[-3] == ("D", b"\0\1\0\0\0\0016")
    assert tags(client.send(query("FETCH ALL FROM c; FETCH 1 FROM c; CLOSE c"))) == [
        "FETCH 4",
        "FETCH 0",
        "CLOSE CURSOR",
    ]
    assert field(client.send(query("FETCH c")), "E", "C") == "34000"


def test_a_fatal_error_for_what_is_no_message(engine: FakeEngine) -> None:
    for garbage, code in [
        (b"\x80" + struct.pack("!i", 4), "08P01"),
        (b"Q" + struct.pack("!i", 3), "08P01"),
        (b"Q" + struct.pack("!i", -1), "08P01"),
        (b"Q" + struct.pack("!i", WIRE_MESSAGE_BYTES_MAX + 1), "54000"),
    ]:
        client = Loopback(engine)
        answer = client.send(garbage)
        assert (kinds(answer), client.is_closed) == ("E", True)
        assert field(answer, "E", "S") == "FATAL"
        assert field(answer, "E", "C") == code
    assert engine.open_sessions == 0


def test_startup_that_is_refused(engine: FakeEngine) -> None:
    for packet, code in [
        (struct.pack("!ii", 8, 2 << 16), "0A000"),
        (struct.pack("!ii", STARTUP_BYTES_MAX + 1, 3 << 16), "54000"),
        (b"GET / HTTP/1.1\r\n\r\n", "54000"),
        (struct.pack("!ii", 9, 3 << 16) + b"\0", "28P01"),
        (startup(database="other"), "3D000"),
        (struct.pack("!ii", 4, 3 << 16), "08P01"),
        (b"\0\0\0\0\0\0\0\0", "08P01"),
    ]:
        client = Loopback(engine, start=False)
        answer = client.send(packet)
        assert client.is_closed, packet
        assert field(answer, "E", "C") == code, packet


def test_a_newer_minor_version_is_negotiated_down(engine: FakeEngine) -> None:
    client = Loopback(engine, start=False)
    answer = client.send(startup(version=3 << 16 | 2))
    assert answer[0] == ("v", struct.pack("!ii", 3 << 16, 0))
    assert kinds(answer).endswith("KZ")


def test_cancel_request_is_passed_on_and_closes(engine: FakeEngine) -> None:
    client = Loopback(engine, start=False)
    assert client.send(struct.pack("!iiII", 16, 80877102, 7, 4711)) == []
    assert client.is_closed
    assert client.host.cancelled == [(7, 4711)]


def test_an_engine_fault_is_an_error_and_not_the_end(
    client: Loopback, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a bug")

    assert engine.last_session is not None
    client.send(parse("s", SELECT) + SYNC)
    for name in ("execute", "prepare"):
        with monkeypatch.context() as patch:
            patch.setattr(engine.last_session, name, broken)
            for data in (
                query("SELECT 1"),
                bind("", "s", b"1") + execute("") + SYNC,
                bind("", "s", b"1") + FLUSH + execute("") + SYNC,
                parse("", "SELECT 1") + SYNC,
            ):
                answer = client.send(data)
                assert answer[-1] == ("Z", b"I")
                assert "E" not in kinds(answer) or field(answer, "E", "C") == "XX000"
    assert client.host.faults
    assert kinds(client.send(query("SELECT 1"))) == "TDCZ"


def test_a_client_that_does_not_read_stops_being_served(client: Loopback) -> None:
    client.session.pause_writing()
    assert client.send(query("SELECT 1") * 3) == []
    client.send(query("SELECT 2") * 40_000)
    assert not client.is_reading
    client.session.resume_writing()
    assert client.is_reading
    assert tags(client.taken()) == ["SELECT 1"] * 40_003


def test_end_of_service(client: Loopback, engine: FakeEngine) -> None:
    client.send(query("BEGIN"))
    client.session.drain(ShuttingDownError("stop"))
    assert not client.is_closed
    answer = client.send(query("COMMIT"))
    assert kinds(answer) == "CZE"
    assert field(answer, "E", "C") == "57P01"
    assert client.is_closed
    other = Loopback(engine)
    other.session.end(ShuttingDownError("stop"))
    assert (kinds(other.taken()), other.is_closed) == ("E", True)


# -- garbage ---------------------------------------------------------------------------------------
names = st.sampled_from(["", "s", "p", "x"])
numbers = st.integers(-2, 3)
SQLS = [
    "SELECT id FROM t ORDER BY id",
    SELECT,
    "INSERT INTO t VALUES ($1::int, 'fuzz')",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "COPY t FROM STDIN",
    "COPY t FROM STDIN (FORMAT binary)",
    "DECLARE c CURSOR FOR SELECT id FROM t",
    "FETCH 2 FROM c",
    "MOVE ALL IN c",
    "CLOSE c",
    "DEALLOCATE ALL",
    "PREPARE x AS SELECT $1::int",
    "EXECUTE x(1)",
    "SELECT * FROM nosuch",
    "",
    "SELECT 1; INSERT INTO t VALUES (99, 'y'); SELECT 2",
    "BEGIN; SELECT 1; nonsense",
]
sqls = st.sampled_from(SQLS)
params = st.lists(st.sampled_from([None, b"1", b"x", b"\0\0\0\1", b""]), max_size=2)
formats = st.lists(st.integers(0, 2), max_size=2).map(tuple)
whole = st.one_of(
    sqls.map(query),
    st.builds(parse, names, sqls),
    st.builds(parse, names, sqls, st.sampled_from([0, 23, 25, 1700, 2950])),
    st.builds(
        lambda portal, name, values, given, wanted: bind(
            portal, name, *values, formats=given, results=wanted
        ),
        names,
        names,
        params,
        formats,
        formats,
    ),
    st.builds(describe, st.sampled_from("SPx"), names),
    st.builds(execute, names, numbers),
    st.builds(close, st.sampled_from("SP"), names),
    st.sampled_from([SYNC, SYNC, FLUSH, message("c"), message("f", b"stop\0")]),
    st.builds(message, st.just("d"), st.sampled_from([b"50\tx\n", b"bad\n", b"PGCOPY", b""])),
)
broken = st.builds(
    lambda kind, body, lie: kind.encode() + struct.pack("!i", len(body) + 4 + lie) + body,
    st.sampled_from("BPDECSHQdcfXpF?"),
    st.binary(max_size=30),
    st.sampled_from([0, 0, 0, 1, -1, -5]),
)


def check(client: Loopback) -> None:
    """Nothing got out of the session but messages, and if it lives it still answers."""
    assert client.host.faults == []
    client.taken()
    if client.is_closed:
        return
    client.send(message("f", b"\0") + SYNC)
    client.send(SYNC + query("ROLLBACK") + query("ROLLBACK"))
    if not client.is_closed:
        assert kinds(client.send(query("SELECT 1"))) == "TDCZ"


@settings(max_examples=300, deadline=None)
@given(st.lists(whole, max_size=15), st.sampled_from([0, 1, 7]))
def test_any_order_of_messages_is_survived(data: list[bytes], chunk: int) -> None:
    engine = FakeEngine({"trusted": None})
    engine.run("CREATE TABLE t (id tt_integer PRIMARY KEY, name varchar2(9))")
    engine.run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    client = Loopback(engine)
    client.send(b"".join(data), chunk)
    check(client)
    client.session.lost()
    assert engine.open_sessions == 0


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(whole, broken, st.binary(max_size=20)), max_size=8))
def test_any_bytes_are_survived(data: list[bytes]) -> None:
    engine = FakeEngine({"trusted": None})
    engine.run("CREATE TABLE t (id tt_integer PRIMARY KEY, name varchar2(9))")
    client = Loopback(engine)
    client.send(b"".join(data))
    assert client.host.faults == []
    client.session.lost()
    assert engine.open_sessions == 0


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(
    lambda data: struct.pack("!i", len(data) + 4) + data)))  # fmt: skip
def test_any_startup_bytes_are_survived(data: bytes) -> None:
    client = Loopback(FakeEngine({"trusted": None}), start=False)
    client.session.received(data)
    assert client.host.faults == []


def test_an_answer_that_comes_later_is_written_once(
    client: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows come with its end: no callback of the loop is spent on writing them before."""
    waiting: list[ResultSink] = []

    def execute_later(*arguments: Any) -> None:
        waiting.append(arguments[-1])

    client.send(parse("s", SELECT) + SYNC)
    monkeypatch.setattr(client.session._sql, "execute", execute_later)
    row = b"D\0\0\0\x0b\0\1\0\0\0\0013"
    for rows_first in (False, True):
        assert client.send(bind("", "s", b"3") + execute("") + SYNC) == []
        sink = waiting.pop()
        if rows_first:
            sink.rows(row, 1)
            assert client.soon
            sink.done("SELECT 1")
        else:
            sink.answer(row, 1, "SELECT 1")
            assert not client.soon
        assert kinds(client.taken()) == "2DCZ"
