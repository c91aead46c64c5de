"""Names of types as written → types: SQL's, PL/SQL's own, %TYPE, %ROWTYPE. Pure."""

from __future__ import annotations

from data.plsql.calls import Calls
from data.plsql.scope import CursorSymbol, TypeSymbol, Var
from data.plsql.tree import Expr, Member, Name, TypeRef
from data.plsql.types import (
    INTEGER_MAX,
    INTEGER_MIN,
    STRING_MAX,
    CursorType,
    PlType,
    RecordType,
    Scalar,
)
from data.sql.type_names import type_from_name
from protocol.errors import UnknownObjectError
from protocol.sqltypes import BIGINT, BOOLEAN, DATE, VARCHAR, Kind, SqlType

_CLOB = SqlType(Kind.CLOB, length=4 << 20)
_INT32 = (INTEGER_MIN, INTEGER_MAX)
_OWN: dict[str, Scalar] = {
    "PLS_INTEGER": Scalar(BIGINT, "PLS_INTEGER", *_INT32),
    "BINARY_INTEGER": Scalar(BIGINT, "BINARY_INTEGER", *_INT32),
    "SIMPLE_INTEGER": Scalar(BIGINT, "SIMPLE_INTEGER", *_INT32, True),
    "NATURAL": Scalar(BIGINT, "NATURAL", 0, _INT32[1]),
    "NATURALN": Scalar(BIGINT, "NATURALN", 0, _INT32[1], True),
    "POSITIVE": Scalar(BIGINT, "POSITIVE", 1, _INT32[1]),
    "POSITIVEN": Scalar(BIGINT, "POSITIVEN", 1, _INT32[1], True),
    "SIGNTYPE": Scalar(BIGINT, "SIGNTYPE", -1, 1),
    "INTEGER": Scalar(SqlType(Kind.NUMBER, 38, 0)),
    "INT": Scalar(SqlType(Kind.NUMBER, 38, 0)),
    "SMALLINT": Scalar(SqlType(Kind.NUMBER, 38, 0)),
    "BOOLEAN": Scalar(BOOLEAN),
    "DATE": Scalar(DATE),
    "STRING": Scalar(VARCHAR),
    "LONG": Scalar(VARCHAR),
    "CLOB": Scalar(_CLOB),
    "NCLOB": Scalar(_CLOB),
    "BLOB": Scalar(SqlType(Kind.VARBINARY)),
    "RAW": Scalar(SqlType(Kind.VARBINARY)),
    "ROWID": Scalar(VARCHAR),
    "SIMPLE_DOUBLE": Scalar(SqlType(Kind.BINARY_DOUBLE)),
    "SIMPLE_FLOAT": Scalar(SqlType(Kind.BINARY_FLOAT)),
}
_TEXTS = frozenset({"VARCHAR2", "VARCHAR", "CHAR", "NCHAR", "NVARCHAR2", "CHARACTER"})


class TypeNames(Calls):
    """Finds types; a part of the compiler."""

    def type_of(self, ref: TypeRef) -> PlType:
        """The type that is written there. Raises UnknownObjectError."""
        if ref.attribute == "TYPE":
            return self._type_of_value(ref)
        if ref.attribute == "ROWTYPE":
            return self._row_type_of(ref)
        name = ref.name[-1]
        if ref.name == ("REF CURSOR",) or name == "SYS_REFCURSOR":
            return CursorType()
        symbol = self.symbol_or_none(_chain(ref))
        if isinstance(symbol, TypeSymbol):
            return symbol.type
        if len(ref.name) > 1 and ref.name[0] not in ("STANDARD", "SYS"):
            raise self.undeclared(".".join(ref.name), ref.at)
        own = _OWN.get(name)
        if own is not None and not (ref.arguments and name != "RAW"):
            return own
        if name in _TEXTS and not ref.arguments:
            return Scalar(VARCHAR) if name not in ("CHAR", "NCHAR") else Scalar(_one_char(name))
        if name in _TEXTS and isinstance(ref.arguments[0], int):
            length = min(ref.arguments[0], STRING_MAX)
            return Scalar(type_from_name(name, (length, *ref.arguments[1:]), ref.at + 1))
        return Scalar(type_from_name(name, ref.arguments, ref.at + 1))

    def _type_of_value(self, ref: TypeRef) -> PlType:
        """variable%TYPE, record.field%TYPE, table.column%TYPE."""
        expr = _chain(ref)
        if isinstance(self.symbol_or_none(expr), Var) or self._begins_with_variable(expr):
            found = self.expression(expr).type
            if found is not None:
                return found
        columns = self.hooks.columns_of_table(ref.name[:-1]) if len(ref.name) > 1 else None
        for name, sql in columns or ():
            if name == ref.name[-1]:
                return Scalar(sql)
        raise UnknownObjectError(
            f"identifier '{'.'.join(ref.name)}' must be declared", position=ref.at + 1
        )

    def _begins_with_variable(self, expr: Expr) -> bool:
        while isinstance(expr, Member):
            expr = expr.base
            if isinstance(self.symbol_or_none(expr), Var):
                return True
        return False

    def _row_type_of(self, ref: TypeRef) -> PlType:
        """table%ROWTYPE, cursor%ROWTYPE."""
        symbol = self.symbol_or_none(_chain(ref))
        if isinstance(symbol, CursorSymbol) and symbol.row is not None:
            return symbol.row
        if isinstance(symbol, Var) and isinstance(symbol.type, RecordType):
            return symbol.type
        columns = self.hooks.columns_of_table(ref.name)
        if columns is None:
            raise UnknownObjectError(
                f"table, view or cursor '{'.'.join(ref.name)}' does not exist", position=ref.at + 1
            )
        return RecordType(ref.name[-1], [(name, Scalar(sql)) for name, sql in columns])


def _chain(ref: TypeRef) -> Expr:
    expr: Expr = Name(ref.at, ref.name[0])
    for name in ref.name[1:]:
        expr = Member(ref.at, expr, name)
    return expr


def _one_char(name: str) -> SqlType:
    return SqlType(Kind.CHAR if name == "CHAR" else Kind.NCHAR, length=1)
