"""The generated sample."""

from __future__ import annotations

from deploy.sample import generate
from deploy.sample.load import SCHEMA_FILE, statements


def columns(line: str) -> list[str]:
    assert line.endswith("\n")
    return line.rstrip("\n").split("\t")


def test_the_rows_are_the_same_every_time() -> None:
    assert list(generate.customers(2000)) == list(generate.customers(2000))
    assert list(generate.accounts(500, 500)) == list(generate.accounts(500, 500))
    assert list(generate.transactions(500, 500)) == list(generate.transactions(500, 500))


def test_the_documented_customers_have_their_names_and_accounts() -> None:
    rows = [columns(line) for line in generate.customers(1000)]
    assert [f"{r[0]} {r[2]} {r[1]}" for r in rows[909:920]] == [
        *("910 Riley Tessa", "911 Riley Rashad", "912 Riley Emma", "913 Rivera Erin"),
        *("914 Roberts Ava", "915 Roberts Lee", "916 Roberts Clint", "917 Robertson Faith"),
        *("918 Robinson Miguel", "919 Robinson Mozell", "920 Rodgers Darryl"),
    ]
    owners = [columns(line)[7] for line in generate.accounts(100, 1000)]
    assert {str(number) for number in range(910, 921)} <= set(owners)


def test_rows_fit_their_columns() -> None:
    for line in generate.customers(3000):
        row = columns(line)
        assert len(row) == 7
        assert max(len(row[1]), len(row[2])) <= 30
        assert len(row[3]) <= 64
        assert len(row[5]) == 5
    for line in generate.accounts(3000, 3000):
        row = columns(line)
        assert len(row) == 8
        assert len(row[1]) <= 16
        assert row[2] in "IFHBPQ"
        assert int(row[3]) in (10, 20, 30, 40, 50)
        assert 1 <= int(row[7]) <= 3000
    keys = set()
    for line in generate.transactions(3000, 3000):
        row = columns(line)
        assert len(row) == 6
        assert abs(float(row[5])) < 10_000
        keys.add((row[1], row[0], row[2]))
    assert len(keys) == 3000


def test_the_sample_is_as_large_as_promised() -> None:
    assert generate.CUSTOMERS >= 100_000
    assert generate.ACCOUNTS >= 100_000


def test_the_script_is_cut_into_its_statements() -> None:
    found = statements(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert [s.split()[0] for s in found] == ["CREATE"] * 6 + ["INSERT"] * 11
    assert found[1].endswith("DUPLICATE")
    assert "--" not in found[0]
