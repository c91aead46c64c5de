"""What the shape of a statement may be, looked at before anybody parses it. Pure.

The parser backtracks: a few hundred brackets within each other keep it busy for minutes, arrays
within arrays double its work with every level. Nobody writes such statements but to do harm.
"""

from __future__ import annotations

import re

from protocol.errors import TooComplexError

NESTING_MAX = 100  # of parentheses and CASE … END
ARRAY_NESTING_MAX = 4
SOURCES_MAX = 250  # tables, views and subqueries of one statement, WITH and views unfolded

_SHAPE = re.compile(
    r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?\*/|(?P<open>\()|(?P<close>\))|(?P<array>\[)|(?P<end>\])
    |(?P<word>(?<![\w$\#])(?:case|end)(?![\w$\#]))""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def check_shape(text: str) -> None:
    """Raises TooComplexError if brackets nest too deeply."""
    few = text.count("(") <= NESTING_MAX and text.count("[") <= ARRAY_NESTING_MAX
    if few and len(text) < 4 * NESTING_MAX:  # no room for so many CASE either
        return
    depth = arrays = cases = 0
    for match in _SHAPE.finditer(text):
        match match.lastgroup:
            case "open":
                depth += 1
            case "close":
                depth -= 1
            case "array":
                arrays += 1
            case "end":
                arrays -= 1
            case "word":
                cases += 1 if match.group()[0] in "cC" else -1
            case _:
                continue
        if depth > NESTING_MAX or arrays > ARRAY_NESTING_MAX or cases > NESTING_MAX:
            raise too_complex("nested so deeply")


def too_complex(how: str) -> TooComplexError:
    """The error, with a way out."""
    return TooComplexError(
        f"a statement {how} is not compiled",
        hint="Split it, or keep intermediate results in a table.",
    )
