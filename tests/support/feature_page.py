"""docs/feature-map.md, made from tests/sql/features.py."""

from __future__ import annotations

from collections import Counter

from tests.sql.features import AREAS, DIFFERS, REFUSED, ROWS, WORKS, Row

HEAD = """# Features of TimesTen Scaleout, row by row

*Made by `python -m tests.support.reference` from `tests/sql/features.py`; do not edit.*

**works**: as in TimesTen. **differs**: there, but not the same. **refused**: an error that names
it. Each row has a test that shows it. How to write things: [sql-reference.md](sql-reference.md)."""
STATUSES = (WORKS, DIFFERS, REFUSED)
HEADINGS = ["", "| | TimesTen has | here | | test |", "|---|---|---|---|---|"]


def page() -> str:
    """The page."""
    lines = [HEAD, "", f"| | {' | '.join(STATUSES)} |", "|---|---|---|---|"]
    for area, (title, _) in AREAS.items():
        counts = Counter(row.status for row in ROWS if row.id.startswith(area))
        numbers = " | ".join(str(counts[status]) for status in STATUSES)
        lines.append(f"| {area}: {title} | {numbers} |")
    for area, (title, _) in AREAS.items():
        lines += ["", f"## {area}: {title}", *HEADINGS]
        lines += [_line(row) for row in ROWS if row.id.startswith(area)]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    path, _, name = row.test.partition("::")
    test = f"[{name or path.rpartition('/')[2]}](../{path})" if row.test else ""
    here = row.here.replace("|", "\\|")
    return f"| {row.id} | {row.title} | {row.status} | {here} | {test} |"
