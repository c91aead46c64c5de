"""SQLAlchemy's PostgreSQL dialect with the types of a grid: `postgresql+tengrid://user:word@host/db`.

SQLAlchemy finds it by the entry point in pyproject.toml. It is the dialect over psycopg, and its
name stays `postgresql`, so that types and options for PostgreSQL go on working. What differs:

- Date is TT_DATE, a day without a time (DATE is Oracle's here, with one);
- Float and Double are BINARY_DOUBLE (FLOAT is Oracle's here: a NUMBER);
- Enum is a VARCHAR2 (there is no CREATE TYPE);
- `a // b` rounds by FLOOR: `/` is exact unless both are binary integers;
- bounds of a window's frame are written as literals, at each execution.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.postgresql.base import PGTypeCompiler
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg


class TypeCompiler(PGTypeCompiler):  # type: ignore[misc, unused-ignore]
    """Types as DDL and casts write them."""

    def visit_DATE(self, type_: Any, **_words: Any) -> str:
        """A day."""
        return "TT_DATE"

    def visit_FLOAT(self, type_: Any, **_words: Any) -> str:
        """A binary number, whatever its precision."""
        return "BINARY_DOUBLE"

    visit_DOUBLE = visit_DOUBLE_PRECISION = visit_FLOAT


class Compiler(PGCompiler_psycopg):  # type: ignore[misc, unused-ignore]
    """Statements."""

    def visit_floordiv_binary(self, binary: Any, operator: Any, **words: Any) -> str:
        """a // b"""
        left, right = self.process(binary.left, **words), self.process(binary.right, **words)
        return f"FLOOR({left} / {right})"

    def visit_frame_clause(self, frameclause: Any, **words: Any) -> str:
        """ROWS BETWEEN 1 PRECEDING AND …"""
        words["literal_execute"] = True
        text: str = super().visit_frame_clause(frameclause, **words)  # type: ignore[no-untyped-call]
        return text


class Dialect(PGDialect_psycopg):  # type: ignore[misc, unused-ignore]
    """The dialect that the entry point names."""

    driver = "tengrid"
    supports_statement_cache = True
    supports_native_enum = False
    statement_compiler = Compiler
    type_compiler_cls = TypeCompiler
