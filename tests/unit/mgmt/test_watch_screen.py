"""gridWatch: what it draws, and how it goes on while nobody answers."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from mgmt.api.schema import MgmtRow
from mgmt.api.schema_activity import DbActivity, DbActivityReply, Percentiles
from mgmt.api.schema_picture import (
    DatabasePicture,
    ElementPicture,
    GridPicture,
    Picture,
    ServerPicture,
    SetPicture,
)
from mgmt.cli.command import parse
from mgmt.cli.nouns import watch
from mgmt.cli.watch_screen import drawn, rate, span
from protocol.errors import PeerUnreachableError, UnknownDatabaseError, UsageError


def element(number: int, rs: int, space: int, **more: Any) -> ElementPicture:
    words: dict[str, Any] = {
        "state": "opened",
        "role": "lead" if space == 1 else "copy",
        "since_us": 0,
        "used_kb": 500,
        "size_kb": 1000,
        "connections": 3,
        **more,
    }
    name = f"host{number + 2}.instance1"
    return ElementPicture(
        element=number, instance=name, host=f"host{number + 2}", data_space=space,
        replica_set=rs, **words,
    )  # fmt: skip


def picture(*elements: ElementPicture, state: str = "ok") -> Picture:
    database = DatabasePicture(
        name="sales",
        words=("created", "loaded-complete", "open"),
        k=2,
        map_version=4,
        data_spaces=2,
        sets=(
            SetPicture(replica_set=1, state=state, lead=1, term=1, in_sync=(1, 2), buckets=4096),
        ),
        elements=elements,
    )
    row = MgmtRow(
        host="host1", instance="instance1", reachable=True, rep_role="Active", role="active",
        seq=1, rep_agent=True, rep_active=True,
    )  # fmt: skip
    return Picture(
        as_of_us=1_700_000_000_000_000,
        grid="grid1",
        k=2,
        warn_threshold_pct=90,
        active="host1.instance1",
        model_latest=3,
        model_current=2,
        management=(row,),
        servers=(ServerPicture(address="10.0.0.1!2181", role="leader"),),
        instances=(),
        databases=(database,),
        operations=(),
    )


def activity() -> DbActivityReply:
    some = Percentiles(per_s=1234.5, p50_s=0.0004, p95_s=0.002, p99_s=1.5, total=9)
    return DbActivityReply(
        name="sales", as_of_us=0, silent=(), statements=some, commits=some, kinds=(), errors=(),
        numbers={"locks_waiting": 2.0}, rates={}, history=(),
    )  # fmt: skip


def text(look: watch.Look) -> str:
    console = Console(file=io.StringIO(), width=160, no_color=True)
    console.print(drawn(look))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_map_has_a_row_per_replica_set_and_a_column_per_data_space() -> None:
    shown = text(
        watch.Look(
            at_us=0,
            picture=picture(element(1, 1, 1), element(2, 1, 2, lag=7)),
            activity=(activity(),),
        )
    )
    lines = [line.strip() for line in shown.splitlines()]
    (row,) = [line for line in lines if line.startswith("1  ok")]
    assert "1 host3.instance1 LEAD opened 50% 3c" in row
    assert "2 host4.instance1 opened lag 7 50% 3c" in row
    assert "database sales  created,loaded-complete,open  map 4" in shown
    assert "1,234 statements/s  p50 400µs  p95 2.0ms  p99 1.5s" in shown
    assert "2 waiting" in shown
    assert "host1.instance1 Active" in shown
    assert "10.0.0.1!2181 leader" in shown


def test_what_is_down_or_not_in_the_map_is_shown() -> None:
    down = element(2, 1, 2, state="down", role="", used_kb=-1, size_kb=-1)
    new = element(3, 0, 1, role="idle", mark="add")
    shown = text(
        watch.Look(at_us=0, picture=picture(element(1, 1, 1), down, new, state="degraded"))
    )
    assert "1  degraded" in shown
    assert "2 host4.instance1 down" in shown
    (outside,) = [
        line for line in map(str.strip, shown.splitlines()) if line.startswith("not in the map")
    ]
    assert "3 host5.instance1 opened" in outside
    assert "(add)" in outside
    assert "no rates" in shown


@pytest.mark.parametrize(
    ("number", "shown"), [(-1, "-"), (0, "0.0"), (9.94, "9.9"), (12345.6, "12,346")]
)
def test_rates(number: float, shown: str) -> None:
    assert rate(number) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "-"), (0.00012, "120µs"), (0.0123, "12.3ms"), (2.5, "2.5s")]
)
def test_times(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


class Answers:
    """A Client that gives one answer after the other; an error is raised."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def call(self, request: object, reply: object, on_event: object) -> object:
        if isinstance(request, DbActivity):
            raise UnknownDatabaseError("it is gone")
        assert isinstance(request, GridPicture)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(monkeypatch: pytest.MonkeyPatch, client: Answers, *words: str) -> None:
    (command,) = watch.COMMANDS
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: None)
    assert command.local is not None
    command.local(parse(command, list(words)), client)


def test_json_is_one_document_an_interval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = PeerUnreachableError("nobody is there")
    client = Answers(picture(element(1, 1, 1)), lost, picture(element(1, 1, 1)))
    run(monkeypatch, client, "-interval", "1", "-count", "3", "-o", "json")
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [d["picture"] is not None for d in documents] == [True, False, True]
    assert documents[1]["error"] == "nobody is there"
    assert documents[0]["picture"]["databases"][0]["elements"][0]["role"] == "lead"


def test_without_a_terminal_one_look_follows_the_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, Answers(*[picture(element(1, 1, 1))] * 2), "-interval", "1", "-count", "2")
    shown = capsys.readouterr().out
    assert shown.count("database sales") == 2
    assert "\x1b" not in shown


def test_the_first_error_ends_it_and_so_does_a_wrong_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(PeerUnreachableError):
        run(monkeypatch, Answers(PeerUnreachableError("nobody is there")), "-count", "1")
    with pytest.raises(UsageError, match="-interval"):
        run(monkeypatch, Answers(), "-interval", "0")
