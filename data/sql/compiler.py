"""Text → CompiledStatement: the one entry to the SQL compiler. Pure."""

from __future__ import annotations

from data.catalog.catalog import Catalog
from data.sql.plan_types import CompiledStatement
from protocol.sqltypes import SqlType


class Compiler:
    """Compiles statements against one version of the catalog. Make a new one per version."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def compile(
        self,
        text: str,
        param_types: tuple[SqlType | None, ...] = (),
        schema: str = "",
        user: str = "",
    ) -> CompiledStatement:
        """Compile one statement. `param_types`: as declared by the client, None: infer.

        Raises SqlSyntaxError, UnknownTableError, UnknownColumnError, TypeMismatchError, … and
        NotSupportedError for what is refused by name.
        """
        raise NotImplementedError
