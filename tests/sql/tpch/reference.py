"""Answers of PostgreSQL to the queries: made with a server of our own, kept in answers/ if small.

python -m tests.sql.tpch.reference 0.002      makes answers/0.002.txt again
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.sql.tpch import generate, queries
from tests.support import postgresql

ANSWERS = queries.HERE / "answers"


def from_postgresql(scale: float) -> dict[str, list[str]]:
    """Load a server and ask it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        postgresql.server(Path(folder) / "reference") as connection,
    ):
        connection.execute(queries.postgresql_schema().encode())
        for table in generate.TABLES:
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for line in generate.copy_lines(table, scale):
                    copy.write(line)
        connection.execute("ANALYZE")
        return {
            name: queries.answer(connection.execute(text.encode()).fetchall())
            for name, text in queries.texts(scale).items()
        }


def kept(scale: float) -> dict[str, list[str]] | None:
    """Answers made before."""
    path = ANSWERS / f"{scale:g}.txt"
    if not path.exists():
        return None
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            rows = found[line[3:]] = []
        else:
            rows.append(line)
    return found


def answers(scale: float) -> dict[str, list[str]]:
    """Those kept, else PostgreSQL's."""
    return kept(scale) or from_postgresql(scale)


def main() -> None:
    """Make and keep the answers for a scale."""
    scale = float(sys.argv[1])
    lines = []
    for name, rows in from_postgresql(scale).items():
        print(name, len(rows), rows[:2])
        lines += [f"== {name}", *rows]
    ANSWERS.mkdir(exist_ok=True)
    (ANSWERS / f"{scale:g}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
