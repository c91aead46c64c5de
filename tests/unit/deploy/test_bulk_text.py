"""Files of ttBulkCp."""

from __future__ import annotations

import pytest

from deploy.clients.bulk_copy import Counts, progress
from deploy.clients.bulk_text import Format, LineError, Reader, Writer, separator

TYPES = ("NUMBER", "VARCHAR2", "DATE", "VARBINARY")


@pytest.mark.parametrize(
    ("line", "copied"),
    [
        ("1,plain,2024-01-31 00:00:00,00ff", "1\tplain\t2024-01-31 00:00:00\t\\\\x00ff"),
        (' 1 , "a, ""b" , NULL, {00FF}', None),
        (' 1 , "a, \\"b" , NULL, {00FF}', '1\ta, "b\t\\N\t\\\\x00FF'),
        ("1,'it is \"x\"',,0xAB", '1\tit is "x"\t\\N\t\\\\xAB'),
        ('1,"NULL",NULL,NULL', "1\tNULL\t\\N\t\\N"),
        ('1,"tab\\tline\\nback\\\\slash",NULL,NULL', "1\ttab\\tline\\nback\\\\slash\t\\N\t\\N"),
        ("1,back\\,slash,NULL,NULL", None),
        ('1,"open,NULL,NULL', None),
        ("1,2,3", None),
        ("1,2,3,4,5", None),
        ('1,"",NULL,""', "1\t\t\\N\t"),
    ],
)
def test_a_line_becomes_a_row_of_copy(line: str, copied: str | None) -> None:
    reader = Reader(Format(), TYPES)
    if copied is None:
        with pytest.raises(LineError):
            reader.row(line)
    else:
        assert reader.row(line + "\r\n") == copied + "\n"


@pytest.mark.parametrize("mark", [",", "|", "\t", " ", ";", "^", "]"])
@pytest.mark.parametrize("quotes", [True, False])
def test_what_is_written_is_read_again(mark: str, quotes: bool) -> None:
    form = Format(separator=mark, quotes=quotes)
    texts = ["x"] if not quotes else ['"', "a\\tb", "\\\\", "it's", mark.replace("\t", "\\t"), " "]
    for text in texts:
        copied = f"-1.5\t{text}\t\\N\t\\\\x00ff\n"
        assert Reader(form, TYPES).row(Writer(form, TYPES).line(copied)) == copied


def test_the_attribute_line() -> None:
    made = Format().with_attributes("##ttBulkCp:VSEP=|:QUOTES=0:COMMENTCHAR=none\n")
    assert made == Format(separator="|", comment="", quotes=False)
    for form in (Format(), Format(separator=":"), Format(separator="\t", quotes=False)):
        assert Format().with_attributes(form.first_line()) == form
    with pytest.raises(LineError, match="TSFORMAT=Oracle is not supported"):
        Format().with_attributes("##ttBulkCp:TSFORMAT=Oracle")
    for wrong in ("ab", "a", "", '"'):
        with pytest.raises(LineError):
            separator(wrong)


def test_comments_are_no_rows() -> None:
    assert [Format().is_row(line) for line in ("# x\n", "\n", "1\n")] == [False, False, True]
    assert Format(comment="").is_row("# x")


def test_the_progress_bar() -> None:
    shown = progress(Counts("f", size=200, read=100, copied=1500, rejected=2))
    assert shown == f"f  [{'#' * 15}{'.' * 15}]  50%  1,500 rows, 2 rejected"
    assert progress(Counts("f", rows=3)) == "f  3 rows"
