"""What a client session keeps of a prepared statement and of a portal. No I/O."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from data.session.engine import Execution, Prepared
from protocol.errors import PeerProtocolError
from protocol.pgwire import codec, messages
from protocol.pgwire.plain_rows import plain_number
from protocol.pgwire.values import (
    Decoder,
    ResultColumn,
    RowEncoder,
    decoder,
    oid,
    plain_digits,
    row_encoder,
    spread_formats,
)
from protocol.sqltypes import StorageValue

ALL_TEXT: Final = b"\0\0"  # Bind's list of result formats when it names none
_LAYOUTS_MAX: Final = 2000
_STATEMENT_FORMATS_MAX: Final = 16  # different format lists remembered per statement


class Mode(IntEnum):
    """What the statement in progress belongs to: how to go on after it."""

    EXTENDED = 0  # an Execute: nothing follows
    RUN = 1  # Bind to Sync in one: ReadyForQuery
    QUERY = 2  # a simple query: the next statement of it
    ENDING = 3  # the end of an implicit transaction: ReadyForQuery


RUN: Final = Mode.RUN


class Layout(NamedTuple):
    """How a result goes out in certain formats."""

    encoder: RowEncoder | None
    description: bytes  # RowDescription or NoData
    bound: bytes  # BindComplete and the description


def make_layout(columns: tuple[ResultColumn, ...] | None, formats: bytes) -> Layout:
    """The layout for Bind's counted list of result formats. Raises PeerProtocolError."""
    codes = codec.formats_of(formats)
    if columns is None:
        return Layout(None, messages.NO_DATA, messages.BIND_COMPLETE + messages.NO_DATA)
    encoder = row_encoder(tuple([column.type for column in columns]), codes)
    description = messages.row_description(columns, encoder.formats)
    return Layout(encoder, description, messages.BIND_COMPLETE + description)


_text_layouts: dict[int, tuple[tuple[ResultColumn, ...], Layout]] = {}


def text_layout(columns: tuple[ResultColumn, ...]) -> Layout:
    """The all-text layout, cached by the identity of `columns` (which the cache keeps alive)."""
    found = _text_layouts.get(id(columns))
    if found is not None:
        return found[1]
    layout = make_layout(columns, ALL_TEXT)
    if len(_text_layouts) >= _LAYOUTS_MAX:
        _text_layouts.clear()
    _text_layouts[id(columns)] = (columns, layout)
    return layout


class _Decoding:
    """How parameters in certain formats are decoded."""

    __slots__ = ("decoders", "digits")

    def __init__(self, decoders: tuple[Decoder, ...], digits: list[int]) -> None:
        self.decoders = decoders
        self.digits = digits  # see plain_digits


class Statement:
    """A prepared statement of the session with everything that was worked out for it."""

    __slots__ = ("_decoders", "_layouts", "is_plain", "oids", "prepared", "sql")

    def __init__(self, prepared: Prepared, oids: tuple[int, ...], sql: str) -> None:
        self.prepared = prepared
        self.oids = oids  # as declared by the client, 0 or missing: not declared
        self.sql = sql
        self.is_plain = prepared.tag_kind not in ("COPY_IN", "COPY_OUT", "EMPTY", "SESSION")
        self._decoders: dict[bytes, _Decoding] = {}
        self._layouts: dict[bytes, Layout] = {}

    def layout(self, formats: bytes) -> Layout:
        """The layout for Bind's list of result formats."""
        found = self._layouts.get(formats)
        if found is None:
            found = make_layout(self.prepared.columns, formats)
            if len(self._layouts) >= _STATEMENT_FORMATS_MAX:
                self._layouts.clear()
            self._layouts[formats] = found
        return found

    def values(self, formats: bytes, params: list[bytes | None]) -> tuple[StorageValue, ...]:
        """The parameters as storage values. Raises GridError of class 08P01 or 22."""
        decoding = self._decoders.get(formats)
        if decoding is None:
            decoding = self._make_decoding(formats)
        decoders, digits = decoding.decoders, decoding.digits
        if len(decoders) != len(params):
            raise PeerProtocolError(
                f"bind message supplies {len(params)} parameters, "
                f"but the prepared statement requires {len(decoders)}"
            )
        values: list[StorageValue] = []
        for at in range(len(params)):  # zip() is a call of an object where this is machine code
            param = params[at]
            if param is None:
                values.append(None)
                continue
            number = plain_number(param, digits[at])
            values.append(number if number >= 0 else decoders[at](param))
        return tuple(values)

    def _make_decoding(self, formats: bytes) -> _Decoding:
        types = self.prepared.param_types
        codes = spread_formats(codec.formats_of(formats), len(types))
        oids = self.oids + (0,) * (len(types) - len(self.oids))
        made = _Decoding(
            tuple(map(decoder, types, codes, oids)), list(map(plain_digits, types, codes))
        )
        if len(self._decoders) >= _STATEMENT_FORMATS_MAX:
            self._decoders.clear()
        self._decoders[formats] = made
        return made

    def parameter_description(self) -> bytes:
        """ParameterDescription; a declared OID is shown as it was declared."""
        shown = [
            declared or oid(type)
            for type, declared in zip(
                self.prepared.param_types,
                self.oids + (0,) * len(self.prepared.param_types),
                strict=False,
            )
        ]
        return messages.parameter_description(shown)


class PortalState(IntEnum):
    """How far a portal has come."""

    NEW = 0
    SUSPENDED = 1
    FINISHED = 2


class Portal:
    """A statement bound to values, or a cursor."""

    __slots__ = ("execution", "hold", "layout", "size", "state", "statement", "values")

    def __init__(
        self,
        statement: Statement,
        values: tuple[StorageValue, ...],
        layout: Layout,
        hold: bool = False,
    ) -> None:
        self.size = 0  # bytes of the values
        self.hold = hold  # a cursor that outlives its transaction
        self.statement = statement
        self.values = values
        self.layout = layout
        self.state = PortalState.NEW
        self.execution: Execution | None = None  # of a suspended portal

    def close(self) -> None:
        """Release what runs for it."""
        self.state = PortalState.FINISHED
        if self.execution is not None:
            execution, self.execution = self.execution, None
            execution.close()
