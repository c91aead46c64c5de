"""The console's files: nothing from elsewhere, no markup made of data, small."""

from __future__ import annotations

import re

from tests.tidy.source import ROOT

FOLDER = ROOT / "mgmt" / "api" / "console"
BYTES_MAX = 120_000  # of all files: the whole console is loaded at once
LINES_MAX = 400
NAMESPACE = "http://www.w3.org/2000/svg"
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://|\bstyle=|"
    r"setAttribute\(\"style\"|localStorage\.setItem\((?!\"tengrid\.theme\")"
)


def test_pages_make_no_markup_of_data_and_load_nothing_from_elsewhere() -> None:
    wrong = []
    files = [path for path in sorted(FOLDER.rglob("*")) if path.is_file()]
    assert len(files) > 8
    for path in files:
        text = path.read_text(encoding="utf-8").replace(NAMESPACE, "")
        for number, line in enumerate(text.splitlines(), 1):
            if found := FORBIDDEN.search(line):
                wrong.append(f"{path.name}:{number}: {found[0]}")
        if text.count("\n") > LINES_MAX:
            wrong.append(f"{path.name} has more than {LINES_MAX} lines")
    assert not wrong
    assert sum(path.stat().st_size for path in files) < BYTES_MAX


def test_modules_import_what_there_is() -> None:
    wrong = []
    for path in FOLDER.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for names, source in re.findall(r"import \{([^}]*)\} from \"\./([^\"]+)\"", text):
            other = (FOLDER / source).read_text(encoding="utf-8")
            for name in (n.strip() for n in names.split(",")):
                if not re.search(
                    rf"export (?:const|async function|function|class) {name}\b", other
                ):
                    wrong.append(f"{path.name}: {source} exports no {name}")
                if len(re.findall(rf"\b{name}\b", text)) < 2:
                    wrong.append(f"{path.name}: {name} is not used")
    assert not wrong
