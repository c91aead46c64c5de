"""Words of a command line become arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgmt.api.schema import HostCreate, VersionChoice
from mgmt.api.schema_databases import DbDistribute, Going
from mgmt.cli import main
from mgmt.cli.command import Command, Option, Positional, check_required, parse, usage
from mgmt.cli.commands import COMMANDS, find
from mgmt.cli.nouns.common import version_choice
from mgmt.cli.refused import REFUSED
from mgmt.cli.words import parse_tool
from protocol.errors import ParameterError, UsageError

EXAMPLE = Command(
    "dbExample",
    "Group",
    "An example",
    (Positional("NAME"), Positional("COMMAND", required=False, rest=True)),
    (
        Option("add", "HOST", repeat=True),
        Option("wait", "SECS", optional_number=True),
        Option("all"),
    ),
)


def test_names_are_case_insensitive() -> None:
    command = find("HOSTCREATE")
    assert command is not None
    arguments = parse(command, ["h", "-INTERNALADDRESS", "a", "-externaladdress", "b"])
    assert command.build is not None
    assert command.build(arguments) == HostCreate(
        name="h", internal_address="a", external_address="b"
    )


def test_options_repeat_only_where_they_may() -> None:
    arguments = parse(EXAMPLE, ["db", "-add", "h1", "-add", "h2"])
    assert arguments.values("ADD") == ("h1", "h2")
    with pytest.raises(UsageError, match="twice"):
        parse(EXAMPLE, ["db", "-all", "-all"])


def test_an_optional_number_may_be_left_out() -> None:
    assert parse(EXAMPLE, ["-wait", "db"]).integer("wait", 5) == 0
    assert parse(EXAMPLE, ["-wait", "60", "db"]).integer("wait", 5) == 60
    assert parse(EXAMPLE, ["db"]).integer("wait", 5) == 5


def test_the_rest_keeps_its_own_options() -> None:
    arguments = parse(EXAMPLE, ["-all", "db", "ls", "-l", "-x"])
    assert arguments.words("COMMAND") == ("ls", "-l", "-x")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["db", "-nonsense"], "no option -nonsense"),
        (["-add"], "wants a value"),
    ],
)
def test_wrong_words_are_named(words: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse(EXAMPLE, words)


def test_a_missing_word_is_named() -> None:
    with pytest.raises(UsageError, match="wants NAME"):
        check_required(EXAMPLE, parse(EXAMPLE, []))


def test_every_command_has_help_and_one_way_to_run() -> None:
    assert len({c.name.lower() for c in COMMANDS}) == len(COMMANDS)
    for command in COMMANDS:
        assert command.summary
        assert command.name in usage(command)
        assert (command.build is None) != (command.local is None), command.name
        shows_itself = command.local is not None  # gridWatch
        assert command.reply is not None or shows_itself, command.name


def test_only_one_version_can_be_chosen() -> None:
    command = find("hostList")
    assert command is not None
    assert version_choice(parse(command, [])) == VersionChoice("latest")
    assert version_choice(parse(command, ["-version", "3"])) == VersionChoice("number", 3)
    with pytest.raises(UsageError):
        version_choice(parse(command, ["-current", "-latest"]))


@pytest.mark.parametrize("k", ["0", "6"])
def test_a_wrong_k_is_refused_before_anything_is_done(k: str, tmp_path) -> None:
    from mgmt.cli.nouns.grids import _request

    file = tmp_path / "membership.conf"
    file.write_text("Servers a!2181\n")
    command = find("gridCreate")
    assert command is not None
    words = ["g", "-k", k, "-address", "a", "-membershipConfig", str(file)]
    with pytest.raises(ParameterError, match="1 to 5"):
        _request(parse(command, words))


def test_unknown_commands_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["nonsense"]) == 2
    assert "unknown command nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("help nonsense", "ttGridAdmin -help lists the commands."),
        ("help dbCacheStart", "dbCacheStart: there are no cache groups"),
        ("instanceExec -type foo ls", "use all, data or management"),
        ("instanceCreate h -location /g -type foo", "use data or management"),
        ("dbDistribute d -remove h1 -throttle -3", "-throttle -3: rows a second"),
        ("dbDistribute d -throttle -3", "-throttle -3: rows a second"),
        ("dbImport d -repository r -name e -numThreads 0", "-numThreads 0: 1 to 32"),
        ("hostModify h", "hostModify wants -dataSpaceGroup, -noDataSpaceGroup or -comment"),
        ("instanceModify h.i", "instanceModify wants -installation, -daemonPort"),
        ("gridClientExport -user terry", "-user goes with -service"),
        ("gridClientExport -database d f.ini", "-database goes with -service"),
    ],
)
def test_what_is_wrong_in_a_line_is_said(
    line: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgmt.cli.main.home_from_environment", Path)
    assert main.run(line.split()) != 0
    assert said in capsys.readouterr().err


def test_a_tool_is_named_without_ttgridadmin() -> None:
    with pytest.raises(UsageError) as caught:
        parse_tool("ttDaemonAdmin", ["-nosuch"], ())
    assert caught.value.hint == "ttDaemonAdmin -help lists its options."


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["-help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in text
    assert main.run(["hostlist", "-h"]) == 0
    assert "Usage: ttGridAdmin hostList" in capsys.readouterr().out


def test_replacements_belong_to_what_stands_before_them() -> None:
    command = find("dbDistribute")
    assert command is not None
    assert command.build is not None
    line = "d -evict h1 -replaceWith h5 -remove h2 -remove h3 -replaceWith h6 -apply"
    request = command.build(parse(command, line.split()))
    assert isinstance(request, DbDistribute)
    assert request.evict == (Going("h1", "h5"),)
    assert request.remove == (Going("h2"), Going("h3", "h6"))
    with pytest.raises(UsageError, match="stands behind"):
        command.build(parse(command, ["d", "-add", "h1", "-replaceWith", "h5"]))
    with pytest.raises(UsageError, match="stands alone"):
        command.build(parse(command, ["d", "-reset", "-apply"]))


def test_a_command_that_is_not_here_on_purpose_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["TNSNAMESIMPORT", "tnsnames.ora"]) != 0
    said = capsys.readouterr().err
    assert "TNSNamesImport: clients do not read Oracle network files" in said
    assert "gridClientExport" in said
    assert not [name for name in REFUSED if find(name)]
