"""The drivers' own test suites against a grid; what they say stands in docs/clients.md.

    python -m tests.clients.suites psycopg|asyncpg|sqlalchemy [SOURCE] [options]

SOURCE is the driver's source tree (of its version control: psycopg's archive on the package index
has no tests); asyncpg's is downloaded if none is given. SQLAlchemy's suite is in the package.
psycopg's needs the package anyio.

Results go to FOLDER/NAME.jsonl (`--results FOLDER`), a line per test; `--resume` goes on with the
tests that are not in it, `--again WORDS` with those and the ones that failed and have WORDS in
their name. `--only-judge` shows what is there. A test has a limit of time; one that ends its
process is noted and the others go on. `--grid DIR` uses a grid of `make grid`, not a new one.

A failure is judged by tests/clients/suite_NAME.toml, then by suite_reasons.toml: the first entry
whose pattern fits the test's name and whose pattern fits its message says why it is not applicable
or a known gap.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import psycopg

from deploy import local_grid
from deploy.grid_plan import DATABASE
from deploy.sample.load import Login
from tests.clients import suite_recorder
from tests.clients.programs import PAGE, ROOT
from tests.support.real_grid import RealGrid

LIMIT_S = 7200  # of a run
TEST_LIMIT_S = 60
PASSWORD = "suite"
PRIVILEGES = "ADMIN"
COMMON = ("-p", "no:asyncio", "-p", "suite_recorder", "-q", "--tb=short", "-W", "default")
NOT_FOR_US = "not slow and not timing and not mypy and not crdb and not refcount and not proxy"
HERE = Path(__file__).parent
KINDS = ("not applicable", "known gap")


@dataclass
class Outcome:
    """Of one suite."""

    counts: Counter[str] = field(default_factory=Counter)  # passed, skipped, failed and KINDS
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)  # kind, reason
    failed: list[tuple[str, str]] = field(default_factory=list)  # test and message: not judged


def outcome(name: str, results: Path) -> Outcome:
    """From the recorder's lines: of a test that ran twice the last one."""
    last = {event["test"]: event for event in suite_recorder.events(str(results))}
    found = Outcome()
    for test, event in last.items():
        kind = event.get("outcome", "error")
        if kind in ("passed", "skipped"):
            found.counts[kind] += 1
            continue
        judged, why = judgement(name, test, event.get("message", "the run ended in this test"))
        found.counts[judged or "failed"] += 1
        if judged:
            found.reasons[judged, why] += 1
        else:
            found.failed.append((test, event.get("message", "")))
    return found


def judgement(name: str, test: str, message: str) -> tuple[str, str]:
    """Kind and reason of a failure; two times "" if it is not judged."""
    for entry in entries(name):
        if re.search(entry.get("tests", ""), test) and re.search(
            entry.get("message", ""), message, re.IGNORECASE
        ):
            return entry["kind"], entry["reason"]
    return "", ""


@functools.cache
def entries(name: str) -> list[dict[str, str]]:
    """The judgements, in their order: those of one suite, then those of all."""
    found: list[dict[str, str]] = []
    for file in (HERE / f"suite_{name}.toml", HERE / "suite_reasons.toml"):
        if file.exists():
            found += tomllib.loads(file.read_text(encoding="utf-8"))["judged"]
    return [entry for entry in found if entry.get("suite", name) == name]


# -- the suites -----------------------------------------------------------------------------------
def owner(grid: RealGrid, name: str) -> str:
    """Where the user of a suite connects. Drivers expect that an error ends a transaction."""
    words = grid.words(grid.addresses()[0])
    where = f"host={words['host']} port={words['port']} dbname={words['dbname']}"
    way = "-c tengrid.on_statement_error=abort"
    return f"{where} user=suite_{name} password={PASSWORD} options='{way}'"


def make_user(grid: RealGrid, name: str) -> None:
    """A user with nothing in its schema."""
    with grid.administrator() as connection:
        with contextlib.suppress(psycopg.Error):
            connection.execute(f"DROP USER {name} CASCADE".encode())
        connection.execute(f"CREATE USER {name} IDENTIFIED BY '{PASSWORD}'".encode())
        connection.execute(f"GRANT {PRIVILEGES} TO {name}".encode())


def _psycopg(grid: RealGrid, source: Path, folder: Path) -> list[str]:
    dsn = owner(grid, "psycopg")
    tests = [
        str(source / "tests"),
        f"--ignore={source}/tests/pool",
        f"--ignore={source}/tests/crdb",
    ]
    return [*tests, f"--rootdir={source}", f"--test-dsn={dsn}", "-m", NOT_FOR_US]


def _asyncpg(grid: RealGrid, source: Path, folder: Path) -> list[str]:
    shutil.copytree(source / "tests", folder / "tests")  # beside no asyncpg that is not built
    shutil.copy(HERE / "suite_asyncpg.py", folder / "conftest.py")
    ignored = ("test__sourcecode.py", "test__environment.py")
    return ["tests", *(f"--ignore=tests/{name}" for name in ignored)]


def _sqlalchemy(grid: RealGrid, source: Path, folder: Path) -> list[str]:
    make_user(grid, "test_schema")
    words = grid.words(grid.addresses()[0])
    where = f"suite_sqlalchemy:{PASSWORD}@{words['host']}:{words['port']}/{words['dbname']}"
    (folder / "setup.cfg").write_text(
        "[sqla_testing]\nrequirement_cls=requirements_here:Requirements\nprofile_file=profiles\n"
        f"[db]\ndefault=postgresql+tengrid://{where}\n"
    )
    shutil.copy(HERE / "suite_sqlalchemy.py", folder / "requirements_here.py")
    shutil.copy(HERE / "suite_sqlalchemy_conftest.py", folder / "conftest.py")
    (folder / "test_suite.py").write_text("from sqlalchemy.testing.suite import *\n")
    return ["test_suite.py", "--requirements", "requirements_here:Requirements"]


SUITES = {"psycopg": _psycopg, "asyncpg": _asyncpg, "sqlalchemy": _sqlalchemy}


def run(grid: RealGrid, name: str, source: Path, folder: Path, words: argparse.Namespace) -> None:
    """Run one of them in a folder of its own, in as many processes as it takes."""
    place = grid.words(grid.addresses()[0])
    results = results_of(words)
    shutil.copy(suite_recorder.__file__, folder / "suite_recorder.py")
    environment = {
        **os.environ, "PYTHONPATH": str(folder), "TENGRID_SUITE_RESULTS": str(results),
        "TENGRID_SUITE_LIMIT": str(words.test_limit),
        "TENGRID_SUITE_CLEAN": "" if name == "sqlalchemy" else owner(grid, name),
        "TENGRID_SUITE_KEEP": "EXECMANY",  # a table of psycopg's session
    }  # fmt: skip
    if name == "asyncpg":  # psycopg's tests look at what libpq reads, too
        environment |= {
            "PGHOST": place["host"], "PGPORT": str(place["port"]), "PGUSER": f"suite_{name}",
            "PGPASSWORD": PASSWORD, "PGDATABASE": place["dbname"],
        }  # fmt: skip
    command = [sys.executable, "-m", "pytest", *SUITES[name](grid, source, folder), *COMMON]
    # psycopg's own conftest refuses to run after a process that was killed: it asks the cache
    command += ["--cache-clear", "-o", f"cache_dir={folder}/cache"]
    command += [f"--timeout={words.test_limit}", *(["-k", words.match] if words.match else [])]
    end = time.monotonic() + words.limit
    with results.with_suffix(".log").open("a", encoding="utf-8") as log:
        while True:
            left = max(end - time.monotonic(), 1)
            done = subprocess.run(
                command, cwd=folder, env=environment, stdout=log, timeout=left, check=False
            )
            if done.returncode in (0, 1, 5):  # 5: no test was left
                return
            note_death(results, done.returncode)


def note_death(results: Path, code: int) -> None:
    """The test that was running when its process ended has failed."""
    last = suite_recorder.events(str(results))[-1:]
    if not last or "outcome" in last[0]:
        raise SystemExit(f"pytest ended with {code} outside of a test: see {results.stem}.log")
    message = f"its process ended with {code}"
    event = {"test": last[0]["test"], "outcome": "error", "message": message}
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def results_of(words: argparse.Namespace) -> Path:
    """The file of a suite's results."""
    folder: Path = words.results
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{words.name}.jsonl").resolve()


def forget(name: str, results: Path, words: str) -> None:
    """Tests that failed and have one of the words in their name or message shall run again."""
    last = {event["test"]: event for event in suite_recorder.events(str(results))}
    kept = [
        event
        for event in last.values()
        if event.get("outcome") in ("passed", "skipped")
        or not re.search(words, event["test"] + " " + event.get("message", ""))
    ]
    results.write_text("".join(json.dumps(event) + "\n" for event in kept), encoding="utf-8")


@contextlib.contextmanager
def the_grid(folder: Path | None) -> Iterator[RealGrid]:
    """That one, or a new one."""
    if folder is not None:
        plan = local_grid._stored(folder.resolve())
        yield RealGrid(plan, Login(DATABASE, "", ""))
        return
    with tempfile.TemporaryDirectory(prefix="tgs") as place:
        grid = RealGrid.make(Path(place) / "g")
        try:
            yield grid
        finally:
            grid.destroy()


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
    count = found.counts
    lines = [
        f"**{name} {version(name)}**: {count['passed']:,} passed, {count['failed']:,} failed, "
        f"{count['not applicable']:,} not applicable, {count['known gap']:,} known gaps, "
        f"{count['skipped']:,} skipped by the suite itself.",
        "",
        "| judged | why | tests |",
        "|---|---|---|",
        *(f"| {kind} | {why} | {n:,} |" for (kind, why), n in found.reasons.most_common()),
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
    groups: dict[str, list[str]] = {}
    for test, said in found.failed:
        groups.setdefault(re.sub(r"\d+", "N", said)[:110], []).append(test)
    for said, tests in sorted(groups.items(), key=lambda group: -len(group[1])):
        print(f"{len(tests):>5}  {said}\n       {tests[0]}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.clients.suites", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", choices=list(SUITES))
    parser.add_argument("source", nargs="?", type=Path, help="the driver's source tree")
    parser.add_argument("--match", default="", help="only these tests (pytest -k)")
    parser.add_argument("--results", type=Path, default=ROOT / ".suites", help="folder")
    parser.add_argument("--resume", action="store_true", help="only tests without a result")
    parser.add_argument("--again", metavar="PATTERN", help="and failures that fit it, too")
    parser.add_argument("--only-judge", action="store_true", help="run nothing")
    parser.add_argument("--grid", type=Path, metavar="DIR", help="a grid made by make grid")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of the run")
    parser.add_argument("--test-limit", type=float, default=TEST_LIMIT_S, help="of one test")
    parser.add_argument("--write", action="store_true", help="put the numbers into the page")
    return parser


def main(arguments: Iterable[str] | None = None) -> int:
    """Entry point; 1 if a test failed that no entry judges."""
    words = _parser().parse_args(None if arguments is None else list(arguments))
    results = results_of(words)
    if not words.only_judge:
        fresh = not words.resume and words.again is None
        if fresh:
            results.write_text("", encoding="utf-8")
        elif words.again is not None:
            forget(words.name, results, words.again)
        with tempfile.TemporaryDirectory(prefix="tgs") as place, the_grid(words.grid) as grid:
            folder = Path(place) / "suite"
            folder.mkdir()
            source = words.source or ROOT
            if words.source is None and words.name == "asyncpg":
                source = downloaded(words.name, Path(place))
            make_user(grid, f"suite_{words.name}")
            run(grid, words.name, source.resolve(), folder, words)
    found = outcome(words.name, results)
    _show(found)
    print(described(words.name, found))
    if words.write:
        write(words.name, described(words.name, found))
    return int(bool(found.failed))


if __name__ == "__main__":
    sys.exit(main())
