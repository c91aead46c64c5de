"""Words and tables of the commands on repositories, backups and exports."""

from __future__ import annotations

import pytest

from mgmt.api import schema
from mgmt.api import schema_backups as requests
from mgmt.api import schema_sessions as sessions
from mgmt.cli.command import check_required, parse
from mgmt.cli.commands import find
from mgmt.cli.render import moment
from protocol.errors import UnknownObjectError, UsageError

WHEN = 1_700_000_000_000_000


def built(*words: str) -> object:
    command = find(words[0])
    assert command is not None
    assert command.build is not None
    arguments = parse(command, list(words[1:]))
    check_required(command, arguments)
    return command.build(arguments)


def text(command: str, reply: object, *words: str) -> list[str]:
    found = find(command)
    assert found is not None
    assert found.render is not None
    return found.render(reply, parse(found, list(words))).splitlines()


def test_words_become_requests() -> None:
    assert built(
        "dbbackup", "db", "-repository", "r", "-bwlimit", "5", "-compress"
    ) == requests.DbBackup(name="db", repository="r", bwlimit_mb=5, compress=True)
    assert built("dbRestore", "db", "-backup", "b", "-repository", "r", "-wait") == (
        requests.DbRestore(name="db", repository="r", backup="b", wait_s=0)
    )
    assert built("dbImport", "db", "-repository", "r", "-name", "m") == requests.DbImport(
        name="db", repository="r", export="m"
    )
    assert built("dbExportDelete", "-repository", "r", "-name", "m", "-force") == (
        requests.DbCollectionDelete(kind="export", repository="r", collection="m", force=True)
    )
    assert built("dbBackupDelete", "db", "-repository", "r", "-name", "b") == (
        requests.DbCollectionDelete(kind="backup", repository="r", collection="b", database="db")
    )
    assert built("dbDisconnect", "db", "-immediate", "-wait") == (
        sessions.DbDisconnect(name="db", mode="immediate", wait_s=0)
    )
    assert built("repositoryAttach", "r", "-path", "/p", "-method", "mount") == (
        requests.RepositoryAttach(name="r", path="/p", method="mount")
    )


@pytest.mark.parametrize(
    "words",
    [
        ("dbBackup", "db"),
        ("dbBackup", "-repository", "r"),
        ("dbRestore", "db", "-repository", "r"),
        ("repositoryCreate", "r", "-path", "/p"),
        ("dbBackup", "db", "-repository", "r", "-bwlimit", "much"),
        ("gridLogCollect", "logs"),
    ],
)
def test_what_is_missing_is_said(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        built(*words)


def test_a_status_has_a_line_per_element_and_one_for_the_database() -> None:
    part = requests.TransferPart(
        host="host3",
        instance="instance1",
        element=1,
        replica_set=1,
        state="InProgress",
        started_us=WHEN,
        done_bytes=25,
        total_bytes=100,
    )
    row = requests.TransferRow(
        database="database1",
        name="b1",
        repository="repo1",
        state="Failed",
        started_us=WHEN,
        finished_us=WHEN,
        message="host3.instance1: no room",
        parts=(part,),
    )
    lines = text("dbBackupStatus", requests.DbTransferStatusReply(transfers=(row,)))
    assert lines[0].startswith("Database  Backup Repository Host  Instance  Elem State")
    assert f"host3 instance1    1 InProgress 25% {moment(WHEN)}" in lines[2]
    assert lines[3].split()[:4] == ["database1", "b1", "repo1", "Failed"]
    assert lines[-1] == "b1: host3.instance1: no room"
    assert text("dbImportStatus", requests.DbTransferStatusReply(transfers=())) == ["No imports"]


def test_incomplete_collections_are_marked() -> None:
    collection = requests.CollectionRow(
        name="b1",
        kind="backup",
        database="database1",
        grid="grid1",
        started_us=WHEN,
        complete=False,
        size=12,
    )
    repository = requests.RepositoryRow(
        name="repo1", method="scp", path="/b/repo1", address="host9", collections=(collection,)
    )
    reply = requests.RepositoryListReply(repositories=(repository,))
    assert text("repositoryList", reply)[2].split() == ["repo1", "scp", "/b/repo1", "host9"]
    lines = text("repositoryList", reply, "-contents")
    assert lines[-1].split()[-2:] == ["12", "Incomplete"]
    assert text("repositoryList", requests.RepositoryListReply(repositories=())) == [
        "No repositories"
    ]


def test_an_unknown_request_is_not_a_fault_of_the_server() -> None:
    assert schema.http_status(UnknownObjectError("no request nosuch")) == 404
