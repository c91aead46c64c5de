"""docs/feature-map.md, made from tests/sql/features.py."""

from __future__ import annotations

from tests.sql.features import AREAS, ROWS, Row

HEAD = """# Features of TimesTen Scaleout, row by row

*Made by `python -m tests.support.reference` from `tests/sql/features.py`; do not edit.*

**works**: as in TimesTen. **differs**: there, but not the same. **refused**: an error that names
it. **todo**: not looked at yet. Each row has a test that shows it. How to write things:
[sql-reference.md](sql-reference.md)."""
HEADINGS = ["", "| | TimesTen has | here | | test |", "|---|---|---|---|---|"]


def page() -> str:
    """The page."""
    lines = [HEAD]
    for area, (title, _) in AREAS.items():
        lines += ["", f"## {area}: {title}", *HEADINGS]
        lines += [_line(row) for row in ROWS if row.id.startswith(area)]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    path, _, name = row.test.partition("::")
    test = f"[{name}](../{path})" if row.test else ""
    here = row.here.replace("|", "\\|")
    return f"| {row.id} | {row.title} | {row.status} | {here} | {test} |"
