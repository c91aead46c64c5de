"""What is made of a report of a driver's own test suite."""

from __future__ import annotations

from pathlib import Path

from tests.clients import suites

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="one"/>
<testcase classname="a" name="two"><skipped message="s"/></testcase>
<testcase classname="a" name="three"><failure message="m">
def test():
    text about ranges that is no message
E   psycopg.errors.UndefinedFunction: function generate_series does not exist
</failure></testcase>
<testcase classname="a" name="four"><failure message="m">
E   AssertionError: 1 is not 2
</failure></testcase>
<testcase classname="a" name="five"><error message="type inet does not exist"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_judged_by_messages(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_text(REPORT)
    found = suites.outcome(file)
    assert (found.passed, found.skipped, sum(found.reasons.values())) == (1, 1, 2)
    assert found.failed == [("a::four", "AssertionError: 1 is not 2")]
    assert "**psycopg" in suites.described("psycopg", found)
    assert "1 passed, 1 failed, 2 not applicable, 1 skipped" in suites.described("psycopg", found)


def test_every_suite_has_a_place_in_the_page() -> None:
    page = suites.PAGE.read_text(encoding="utf-8")
    for name in suites.SUITES:
        assert f"<!-- suite {name} -->" in page and f"<!-- end of {name} -->" in page
