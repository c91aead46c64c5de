"""The drivers' own test suites against a grid; what they say stands in docs/clients.md.

    python -m tests.clients.suites psycopg|asyncpg|sqlalchemy [SOURCE] [--match WORDS] [--write]

SOURCE is the driver's source tree (of its version control: psycopg's archive on the package index
has no tests); asyncpg's is downloaded if none is given. SQLAlchemy's suite is in the package.
A failure counts as not applicable if its message fits one of REASONS. They are patterns, not a
judgement of each test: a fault of ours whose message looks like one of them is counted there too.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from tests.clients.programs import PAGE, ROOT
from tests.support.real_grid import RealGrid

LIMIT_S = 3600
TEST_LIMIT_S = 60
COMMON = ("-p", "no:asyncio", "-q", "--tb=short", "-W", "default", f"--timeout={TEST_LIMIT_S}")
NOT_FOR_US = "not slow and not timing and not mypy and not crdb and not refcount and not proxy"
# what the message of a failure has in it: why it is no fault of the grid
REASONS: tuple[tuple[str, str], ...] = (
    (r"(int.|num|ts|tstz|date|int.multi|\w+multi)range|\bhstore|\binet\b|\bcidr\b|TIMETZ|"
     r"type \"?(tid|regtype|anyarray|bit|varbit|name|xml|money|oid)|DROP TYPE|CREATE TYPE|"
     r"CREATE DOMAIN|DROP DOMAIN|function row|composite",
     "types of PostgreSQL's own: ranges, networks, enumerations, composites, domains, TIMETZ"),
    (r"array types are not supported|arrays of more than one dimension|malformed array",
     "columns of arrays, arrays of several dimensions (arrays of parameters work)"),
    (r"generate_series|pg_sleep|set_byte|pg_terminate_backend|function .* does not exist",
     "functions of PostgreSQL's own: generate_series, pg_sleep, set_byte"),
    (r"CREATE (SCHEMA|DATABASE|EXTENSION|FUNCTION|TRIGGER|ROLE)|DROP (SCHEMA|FUNCTION|DATABASE)|"
     r"language plpgsql|DO \(a|syntax error.*(plpgsql|\$\$)|ALTER DATABASE",
     "schemas are users; functions are PL/SQL, not PL/pgSQL; no extensions"),
    (r"database postgres does not exist",
     "a database `postgres`: a grid has only those that were made"),
    (r"max_prepared_transactions|PREPARE TRANSACTION|tpc|two-phase",
     "two-phase commit by clients: a grid commits across elements by itself"),
    (r"INERROR|current transaction is aborted|InFailedSqlTransaction|DID NOT RAISE.*Aborted",
     "a failed statement leaves its transaction open (decision 0003)"),
    (r"scrollable cursors|a cursor only moves forward|SCROLL", "scrollable cursors"),
    (r"client_encoding|encoding|LATIN1|EUC|UntranslatableCharacter", "encodings other than UTF-8"),
    (r"LISTEN|NOTIFY|notif", "LISTEN and NOTIFY"),
    (r"read uncommitted|isolation", "READ UNCOMMITTED is shown as READ COMMITTED"),
    (r"DecimalTuple|NaN and infinity|TT_TINYINT|invalid number|number is out of range|exponent",
     "numbers are Oracle's: 38 digits, no NaN, no trailing zeros, TT_TINYINT from 0"),
    (r"datetime|DatetimeField|INTERVAL|date or timestamp|timestamptz|timezone|TimeZone",
     "dates are Oracle's: DATE has a time of day, intervals are two types, years 1 to 9999"),
    (r"select list is empty|SQL statement is empty", "a select list without columns"),
    (r"already exists", "names that an earlier test left over"),
    (r"\(None,\) ==|None != ''", "an empty string is NULL"),
    (r"Decimal\('\d+\.\d+'\) ==|driver_cols|all_uppercase_quoted|ALL_UPPERCASE",
     "`/` divides exactly; names are upper case inside"),
    (r"not supported", "other statements that are refused by name (0A000)"),
)  # fmt: skip


@dataclass
class Outcome:
    """Of one suite."""

    passed: int
    skipped: int
    reasons: Counter[str]  # of what is not applicable
    failed: list[tuple[str, str]]  # test and message


def outcome(report: Path) -> Outcome:
    """From pytest's JUnit report."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    found = Outcome(0, 0, Counter(), [])
    for case in cases:
        problem = next((e for e in case if e.tag in ("failure", "error")), None)
        if problem is None:
            skipped = any(e.tag == "skipped" for e in case)
            found.skipped += skipped
            found.passed += not skipped
            continue
        said = " ".join(_errors(problem.text or "") or [problem.get("message", "")])
        why = reason(said)
        if why:
            found.reasons[why] += 1
        else:
            name = f"{case.get('classname', '')}::{case.get('name', '')}"
            found.failed.append((name, said[:200]))
    return found


def reason(message: str) -> str:
    """Why a failure is not applicable; "" if it counts."""
    return next((why for pattern, why in REASONS if re.search(pattern, message, re.IGNORECASE)), "")


def _errors(text: str) -> list[str]:
    return [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]


# -- the suites -----------------------------------------------------------------------------------
def _psycopg(grid: RealGrid, source: Path, folder: Path) -> list[str]:
    words = grid.words(grid.addresses()[0])
    dsn = " ".join(f"{n}={words[n]}" for n in ("host", "port", "user", "password", "dbname"))
    tests = [
        str(source / "tests"),
        f"--ignore={source}/tests/pool",
        f"--ignore={source}/tests/crdb",
    ]
    return [*tests, f"--rootdir={source}", f"--test-dsn={dsn}", "-m", NOT_FOR_US]


def _asyncpg(grid: RealGrid, source: Path, folder: Path) -> list[str]:
    shutil.copytree(source / "tests", folder / "tests")  # beside no asyncpg that is not built
    ignored = ("test__sourcecode.py", "test__environment.py")
    return ["tests", *(f"--ignore=tests/{name}" for name in ignored)]


def _sqlalchemy(grid: RealGrid, source: Path, folder: Path) -> list[str]:
    words = grid.words(grid.addresses()[0])
    where = f"{words['user']}:{words['password']}@{words['host']}:{words['port']}/{words['dbname']}"
    (folder / "setup.cfg").write_text(
        "[sqla_testing]\nrequirement_cls=requirements_here:Requirements\nprofile_file=profiles\n"
        f"[db]\ndefault=postgresql+psycopg://{where}\n"
    )
    (folder / "requirements_here.py").write_text(REQUIREMENTS)
    (folder / "conftest.py").write_text(
        "import pytest\npytest.register_assert_rewrite('sqlalchemy.testing.assertions')\n"
        "from sqlalchemy.dialects.postgresql import provision\n"
        "provision._extensions.clear()  # citext, hstore\n"
        "from sqlalchemy.testing.plugin.pytestplugin import *\n"
    )
    (folder / "test_suite.py").write_text("from sqlalchemy.testing.suite import *\n")
    return ["test_suite.py", "--requirements", "requirements_here:Requirements"]


REQUIREMENTS = """\
from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements


class Requirements(SuiteRequirements):
    schemas = empty_inserts = temporary_tables = temp_table_reflection = exclusions.closed()
    temp_table_names = temp_table_reflect_indexes = temporary_views = exclusions.closed()
    constraint_comment_reflection = computed_columns = exclusions.closed()
    views = sequences = identity_columns = exclusions.open()
    date_historic = datetime_historic = exclusions.open()
"""
SUITES = {"psycopg": _psycopg, "asyncpg": _asyncpg, "sqlalchemy": _sqlalchemy}


def run(grid: RealGrid, name: str, source: Path, folder: Path, match: str) -> Outcome:
    """Run one of them in a folder of its own."""
    words = grid.words(grid.addresses()[0])
    report = folder / "report.xml"
    environment = {
        **os.environ, "PYTHONPATH": str(folder), "PGHOST": words["host"],
        "PGPORT": str(words["port"]), "PGUSER": words["user"], "PGPASSWORD": words["password"],
        "PGDATABASE": words["dbname"],
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", *SUITES[name](grid, source, folder), *COMMON]
    if match:
        command += ["-k", match]
    done = subprocess.run(
        [*command, f"--junitxml={report}"],
        cwd=folder,
        env=environment,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(
            f"the suite did not run to its end (pytest: {done.returncode}): no numbers"
        )
    return outcome(report)


def downloaded(name: str, folder: Path) -> Path:
    """The source of the version that is installed."""
    wanted = f"{name}=={version(name)}"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:",
         "--no-build-isolation", "-d", str(folder), wanted],
        check=True, timeout=300,
    )  # fmt: skip
    (archive,) = folder.glob(f"{name}-*")
    shutil.unpack_archive(archive, folder)
    return next(path for path in folder.iterdir() if path.is_dir())


# -- the page -------------------------------------------------------------------------------------
def described(name: str, found: Outcome) -> str:
    """What the page says of a suite."""
    failed, not_for_us = len(found.failed), sum(found.reasons.values())
    lines = [
        f"**{name} {version(name)}**: {found.passed:,} passed, {failed:,} failed, "
        f"{not_for_us:,} not applicable, {found.skipped:,} skipped by the suite itself.",
        "",
        "| not applicable | tests |",
        "|---|---|",
        *(f"| {why} | {count:,} |" for why, count in found.reasons.most_common()),
    ]
    return "\n".join(lines)


def write(name: str, text: str) -> None:
    """Into the page, between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- suite {name} -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    assert rest, f"docs/clients.md has no place for {name}"
    PAGE.write_text(before + begin + text + end + after, encoding="utf-8")


def _show(found: Outcome) -> None:
    groups = Counter(re.sub(r"\d+", "N", said)[:110] for _, said in found.failed)
    for said, count in groups.most_common():
        example = next(n for n, s in found.failed if re.sub(r"\d+", "N", s)[:110] == said)
        print(f"{count:>5}  {said}\n       {example}")


def main(arguments: Iterable[str] | None = None) -> int:
    """Entry point; 1 if a test failed that no reason excuses."""
    parser = argparse.ArgumentParser(prog="tests.clients.suites", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", choices=list(SUITES))
    parser.add_argument("source", nargs="?", type=Path, help="the driver's source tree")
    parser.add_argument("--match", default="", help="only these tests (pytest -k)")
    parser.add_argument("--report", type=Path, help="judge this report instead of running")
    parser.add_argument("--write", action="store_true", help="put the numbers into the page")
    words = parser.parse_args(arguments)
    if words.report:
        found = outcome(words.report)
    else:
        with tempfile.TemporaryDirectory(prefix="tgs") as place:
            folder = Path(place) / "suite"
            folder.mkdir()
            source = words.source or ROOT
            if words.source is None and words.name == "asyncpg":
                source = downloaded(words.name, Path(place))
            grid = RealGrid.make(Path(place) / "g")
            try:
                found = run(grid, words.name, source.resolve(), folder, words.match)
            finally:
                grid.destroy()
    _show(found)
    print(described(words.name, found))
    if words.write:
        write(words.name, described(words.name, found))
    return int(bool(found.failed))


if __name__ == "__main__":
    sys.exit(main())
