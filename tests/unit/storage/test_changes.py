"""Row changes and log entries as bytes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.storage import changes as row_changes
from data.storage.changes import RowChange, invert, key_of, keys_of
from data.storage.entry import (
    EntryKind,
    Later,
    LogEntry,
    TxnPayload,
    decode_epoch,
    decode_later,
    decode_payload,
    decode_txn,
    decode_txns,
    encode_epoch,
    encode_later,
    encode_payload,
    encode_txn,
    encode_txns,
)
from protocol.ids import TxnId

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)
ROWS = st.lists(VALUES, min_size=1, max_size=6).map(tuple)
CHANGES = st.builds(
    RowChange, st.sampled_from(["TERRY.A", "TERRY.B", "GI.17"]), ROWS, ROWS
) | st.builds(lambda t, r: RowChange(t, None, r), st.sampled_from(["TERRY.A", "x"]), ROWS)


@given(st.lists(CHANGES))
def test_changes_come_back_from_their_bytes(changes: list[RowChange]) -> None:
    assert row_changes.decode(row_changes.encode(changes)) == changes


@given(st.lists(CHANGES))
def test_inverting_twice_gives_the_changes_again(changes: list[RowChange]) -> None:
    assert invert(invert(changes)) == changes


def test_rows_come_back_as_tuples_with_their_types() -> None:
    change = RowChange("T", (1, 1.0, "1", b"1", None), None)
    (found,) = row_changes.decode(row_changes.encode([change]))
    assert isinstance(found.old, tuple)
    assert [type(value) for value in found.old] == [int, float, str, bytes, type(None)]


def test_a_table_name_is_sent_once_per_batch_of_changes() -> None:
    changes = [RowChange("TERRY.CUSTOMERS", None, (n,)) for n in range(50)]
    assert row_changes.encode(changes).count(b"TERRY.CUSTOMERS") == 1


def test_no_changes_are_no_bytes() -> None:
    assert row_changes.encode([]) == b""
    assert row_changes.decode(b"") == []


def test_other_bytes_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        row_changes.decode(b"\x93\x01\x02\x03")


def test_an_update_that_moves_the_key_touches_two_keys() -> None:
    old, new = ("a", 1, "x"), ("a", 2, "x")
    assert key_of(old, (1,)) == (1,)
    assert keys_of(RowChange("T", old, new), (1,)) == ((1,), (2,))
    assert keys_of(RowChange("T", old, new), (0,)) == (("a",),)
    assert keys_of(RowChange("T", None, new), (1,)) == ((2,),)
    assert keys_of(RowChange("T", old, None), (1,)) == ((1,),)


def test_payloads_come_back_from_their_bytes() -> None:
    payload = TxnPayload(b"c", b"d", (3, 1), b"l")
    assert decode_payload(encode_payload(payload)) == payload
    one, two = TxnId(1, "a", 2), TxnId(7, "b", 2**40)
    assert decode_txn(encode_txn(two)) == two
    assert decode_txns(encode_txns((one, two))) == (one, two)
    assert decode_epoch(encode_epoch(2**33)) == 2**33
    assert decode_later(encode_later(Later(7, 2, 3, 1))) == Later(7, 2, 3, 1)


def test_the_stored_form_of_entries_does_not_change() -> None:
    """Golden bytes: elements on disk and other versions hold them."""
    entry = LogEntry(2, 9, EntryKind.COMMIT, TxnId(1, "i", 3), b"p")
    assert msgspec.msgpack.encode(entry).hex() == "9502090193 01a16903 c40170".replace(" ", "")
    assert encode_payload(TxnPayload(b"c", b"", (1, 2))).hex() == "96c40163c400920102c40090c2"
    older = bytes.fromhex("94c40163c400920102c400")  # before there were parts
    assert decode_payload(older) == TxnPayload(b"c", b"", (1, 2))
    older = bytes.fromhex("95c40163c400920102c40090")  # before a COMMIT could take effect later
    assert decode_payload(older) == TxnPayload(b"c", b"", (1, 2))
    change = RowChange("T", None, (1, "a", None))
    assert row_changes.encode([change]).hex() == "9291a154919300c09301a161c0"
    assert (
        row_changes.encode([change, change]).hex() == "9291a154929300c09301a161c09300c09301a161c0"
    )
    assert [(kind.name, kind.value) for kind in EntryKind] == [
        ("COMMIT", 1),
        ("PREPARE", 2),
        ("ABORT", 3),
        ("DDL", 4),
        ("EPOCH", 5),
        ("FORGET", 8),
        ("PART", 9),
        ("APPLIED", 10),
    ]


def test_the_stored_form_of_new_rows() -> None:
    """Golden bytes, as above."""
    rows = [RowChange("T", None, (1, "a")), RowChange("T", None, (2, None))]
    data = row_changes.encode_inserts("T", [[1, 2], ["a", None]])
    assert data.hex() == "9401a1540292920102" + "92a161c0"
    older = bytes.fromhex("93a15402929201a1619202c0")  # before they were kept by columns
    for stored in (data, older):
        assert row_changes.decode(stored) == rows
        assert row_changes.count(stored) == 2


def test_new_rows_by_columns() -> None:
    columns = [[192, 2], ["a", None], [0.5, 2.5], [b"\xc0", "\u00c0"], [7, 8]]
    new = row_changes.decode_inserts(row_changes.encode_inserts("T", columns))
    assert (len(new), new.width) == (2, 5)
    assert new.column(1) == columns[1]
    assert new.column(-1) == columns[4]
    assert [new.has_null(at) for at in range(5)] == [False, True, False, False, False]
    assert new.rows == list(zip(*columns, strict=True))
    assert new.flat() == [*new.rows[0], *new.rows[1]]
    assert new[1] == RowChange("T", None, new.rows[1])
    assert new[1:] == [new[1]]


def test_many_changes_are_kept_in_pieces() -> None:
    many = [RowChange("A" if n % 3 else "B", None, (n, "x")) for n in range(9_500)]
    data = row_changes.encode(many)
    assert data == row_changes.joined(list(row_changes.encode_slices(many)))
    assert row_changes.decode(data) == many
    pieces = list(row_changes.decode_slices(data))
    assert [len(piece) for piece in pieces] == [1000] * 9 + [500]
    assert list(row_changes.decode_slices(row_changes.encode(many[:5]))) == [many[:5]]
    assert list(row_changes.decode_slices(b"")) == []


def test_changes_are_counted_without_being_decoded() -> None:
    one, two = RowChange("T", None, (1, "a")), RowChange("U", (1,), None)
    for length in (0, 1, 7, 30, 31, 32, 33, 40, 255, 300):
        named = RowChange("N" * length, (5, None), (5, b"\x91\x92"))
        for number in (1, 2, 14, 15, 16, 17, 300):
            for changes in ([named] * number, [one, *[named] * number], [named, two] * number):
                assert row_changes.count(row_changes.encode(changes)) == len(changes)
    assert row_changes.count(b"") == 0
