"""Messages of a client that means ill: whole messages come back or it ends, and nothing faults.

More of it: TENGRID_FUZZ=100000 in the environment makes so many examples.
"""

from __future__ import annotations

import asyncio
import os
import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.pgwire.connection import Phase
from tests.support.fake_engine import FakeEngine
from tests.support.wire import FLUSH, SYNC, Loopback, close, execute, message, parse, query

EXAMPLES = int(os.environ.get("TENGRID_FUZZ", "100"))
NAMES = st.sampled_from(["", "a", "b"])
TEXTS = st.sampled_from(
    [
        "SELECT 1",
        "SELECT $1",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "COPY t FROM STDIN",
        "COPY t TO STDOUT",
        "",
        ";",
        "SELECT 1; SELECT 2",
        "nonsense",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH 2 FROM c",
        "DEALLOCATE ALL",
        "INSERT INTO t VALUES (1, 'x')",
    ]
)
WHOLE = st.one_of(
    st.builds(query, TEXTS),
    st.builds(parse, NAMES, TEXTS),
    st.builds(execute, NAMES, st.integers(-1, 3)),
    st.builds(close, st.sampled_from(["P", "S", "x"]), NAMES),
    st.builds(lambda n: message("D", b"P" + n.encode() + b"\0"), NAMES),
    st.builds(lambda n: message("D", b"S" + n.encode() + b"\0"), NAMES),
    st.builds(
        lambda portal, name, rest: message(
            "B", portal.encode() + b"\0" + name.encode() + b"\0" + rest
        ),
        NAMES,
        NAMES,
        st.sampled_from(
            [b"\0\0\0\0\0\0", b"\0\0\0\1\0\0\0\1x\0\0", b"\0\1\0\1\0\1\xff\xff\xff\xff"]
        ),
    ),
    st.just(SYNC),
    st.just(FLUSH),
    st.builds(lambda data: message("d", data), st.binary(max_size=30)),
    st.just(message("c")),
    st.just(message("f", b"no\0")),
)
BROKEN = st.one_of(
    st.builds(
        lambda kind, body: message(kind, body),
        st.sampled_from("BCDEFHPQSXdcfpz\0"),
        st.binary(max_size=40),
    ),
    st.builds(
        lambda kind, length, body: bytes([kind]) + struct.pack("!i", length) + body,
        st.integers(0, 255),
        st.sampled_from([-1, 0, 3, 4, 5, 100, 2**26, 2**31 - 1]),
        st.binary(max_size=40),
    ),
    st.binary(min_size=1, max_size=40),
)


def _loopback() -> Loopback:
    engine = FakeEngine({"trusted": None})
    engine.run("CREATE TABLE t (id tt_integer PRIMARY KEY, name varchar2(100))")
    return Loopback(engine)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(WHOLE, WHOLE, BROKEN), max_size=12), st.integers(0, 9))
async def test_any_messages_in_any_order(messages: list[bytes], chunk: int) -> None:
    client = _loopback()
    client.send(b"".join(messages), chunk)  # split() fails on a torn answer
    assert client.host.faults == []
    if client.session.connection.phase is not Phase.CLOSED:
        assert client.session.connection.buffered < 2**20
    client.session.lost()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 9))
async def test_any_bytes_instead_of_a_start(data: bytes, chunk: int) -> None:
    client = Loopback(FakeEngine({"trusted": None}), start=False)
    client.send(data, chunk)
    assert client.host.faults == []
    client.session.lost()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(WHOLE, max_size=15))
async def test_after_sync_everything_is_in_order_again(messages: list[bytes]) -> None:
    client = _loopback()
    client.send(b"".join(messages))
    client.send(message("f", b"no\0") + SYNC)
    answers = client.send(query("ROLLBACK") + query("SELECT 1 AS the_end"))
    for _ in range(1000):  # the fake engine answers some statements on later turns of the loop
        if any(b"the_end" in body for _, body in answers) and answers[-1] == ("Z", b"I"):
            break
        await asyncio.sleep(0)
        answers += client.taken()
    else:
        raise AssertionError(answers)
    assert client.host.faults == []
    client.session.lost()
