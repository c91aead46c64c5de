"""Pages of docs/: generated ones are up to date, files they name are there, decisions in order."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from mgmt.model import attributes
from tests.support.reference import FOLDER, PAGES
from tests.support.steps import DOCS

ROOT = DOCS.parent
TOPS = "data|protocol|membership|mgmt|daemons|deploy|tests|docs|benchmarks"


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run python -m tests.support.reference"


def test_every_attribute_of_a_database_definition_is_explained() -> None:
    page = (FOLDER / "settings.md").read_text(encoding="utf-8").lower()
    known = [*attributes.INTEGERS, *attributes.TEXTS, *attributes.REFUSED]
    assert [name for name in known if f"`{name}`" not in page] == []


def test_files_that_documents_name_exist() -> None:
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", *ROOT.glob("*/**/DESIGN.md")]
    wrong = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in pages
        if ".venv" not in page.parts
        for name in names_of_files(page.read_text(encoding="utf-8"))
        if not (ROOT / name).exists() and not (page.parent / name).exists()
    ]
    assert not wrong


def names_of_files(text: str) -> list[str]:
    """Words in `code` that look like a path of this repository, and targets of links."""
    found = re.findall(rf"`((?:{TOPS})/[\w./-]+\.(?:py|md|sh))`", text)
    links = [target for target in re.findall(r"\]\(([^)#]+?)\)", text) if "://" not in target]
    return [*found, *links]


def test_decisions_have_a_number_of_their_own_and_say_it() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    numbers = Counter(page.name[:4] for page in pages)
    assert max(numbers.values()) == 1
    for page in pages:
        assert page.read_text(encoding="utf-8").startswith(f"# {page.name[:4]} ")
