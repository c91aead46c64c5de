"""Repositories, and dbBackup, dbRestore, dbExport, dbImport with their status and removal."""

from __future__ import annotations

from collections.abc import Callable

from mgmt.api import schema
from mgmt.api import schema_backups as requests
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.render import moment, table
from protocol.errors import UsageError

GROUP = "Backup"
NAME = (Positional("NAME"),)
DATABASE = (Positional("DATABASE"),)
WAIT = (
    Option("nowait", "", "return at once (default)"),
    Option("wait", "SECS", "wait until done; no number or 0: for ever", optional_number=True),
)
REPOSITORY = Option("repository", "NAME", "the repository")
PLACE = (
    Option("path", "DIR", "the folder above the repository's own"),
    Option("method", "mount|scp", "how hosts reach it: a file system they all mount, or ssh"),
    Option("address", "ADDR", "scp: the host it is on"),
)
WRITING = (
    Option("bwlimit", "MB", "megabytes per second and element at most"),
    Option("compress", "", "compress the files (zlib)"),
)
PARTS = ("Host", "Instance", "Elem", "State", "Started", "Finished")


def _needed(arguments: Arguments, option: str) -> str:
    value = arguments.value(option)
    if not value:
        raise UsageError(f"-{option} is needed")
    return value


def _wait(arguments: Arguments) -> int | None:
    arguments.one_of("nowait", "wait")
    return arguments.integer("wait", 0) if arguments.has("wait") else None


def _create(arguments: Arguments) -> requests.RepositoryCreate:
    return requests.RepositoryCreate(
        name=arguments.word("NAME"),
        path=_needed(arguments, "path"),
        method=_needed(arguments, "method"),
        address=arguments.value("address"),
    )


def _attach(arguments: Arguments) -> requests.RepositoryAttach:
    return requests.RepositoryAttach(
        name=arguments.word("NAME"),
        path=_needed(arguments, "path"),
        method=_needed(arguments, "method"),
        address=arguments.value("address"),
    )


def _listed(reply: requests.RepositoryListReply, arguments: Arguments) -> str:
    if not reply.repositories:
        return "No repositories"
    rows = [(r.name, r.method, r.path, r.address) for r in reply.repositories]
    text = table(("Repository", "Method", "Location", "Address"), rows)
    if not arguments.has("contents"):
        return text
    contents = [
        (
            r.name,
            c.name,
            c.kind.capitalize(),
            c.database,
            c.grid,
            moment(c.started_us),
            c.size,
            "Complete" if c.complete else "Incomplete",
        )
        for r in reply.repositories
        for c in r.collections
    ]
    headings = ("Repository", "Collection", "Type", "Database", "Grid", "Date", "Bytes", "State")
    return f"{text}\n\n{table(headings, contents) if contents else 'No collections'}"


def _backup(arguments: Arguments) -> requests.DbBackup:
    return requests.DbBackup(
        name=arguments.word("DATABASE"),
        repository=_needed(arguments, "repository"),
        backup=arguments.value("name"),
        kind=arguments.value("backupType", "normal").lower(),
        bwlimit_mb=arguments.integer("bwlimit", 0),
        compress=arguments.has("compress"),
        wait_s=_wait(arguments),
    )


def _restore(arguments: Arguments) -> requests.DbRestore:
    return requests.DbRestore(
        name=arguments.word("DATABASE"),
        repository=_needed(arguments, "repository"),
        backup=_needed(arguments, "backup"),
        wait_s=_wait(arguments),
    )


def _export(arguments: Arguments) -> requests.DbExport:
    return requests.DbExport(
        name=arguments.word("DATABASE"),
        repository=_needed(arguments, "repository"),
        export=arguments.value("name"),
        bwlimit_mb=arguments.integer("bwlimit", 0),
        compress=arguments.has("compress"),
        wait_s=_wait(arguments),
    )


def _import(arguments: Arguments) -> requests.DbImport:
    if arguments.has("numThreads") and not 1 <= arguments.integer("numThreads", 0) <= 32:
        raise UsageError(f"-numThreads {arguments.value('numThreads')}: 1 to 32")
    return requests.DbImport(
        name=arguments.word("DATABASE"),
        repository=_needed(arguments, "repository"),
        export=_needed(arguments, "name"),
        threads=arguments.integer("numThreads", 0),
        batch_size=arguments.integer("batchSize", 256),
        error_tolerance=arguments.integer("errorTolerance", 0),
        wait_s=_wait(arguments),
    )


def _status(kind: str) -> Callable[[Arguments], requests.DbTransferStatus]:
    def build(arguments: Arguments) -> requests.DbTransferStatus:
        return requests.DbTransferStatus(kind=kind, name=arguments.word("DATABASE"))

    return build


def _delete(kind: str) -> Callable[[Arguments], requests.DbCollectionDelete]:
    def build(arguments: Arguments) -> requests.DbCollectionDelete:
        return requests.DbCollectionDelete(
            kind=kind,
            repository=_needed(arguments, "repository"),
            collection=_needed(arguments, "name"),
            force=arguments.has("force"),
            database=arguments.word("DATABASE"),
        )

    return build


def status_text(heading: str) -> Callable[[requests.DbTransferStatusReply, Arguments], str]:
    """A line per element, then one for the database; what went wrong stands below."""

    def render(reply: requests.DbTransferStatusReply, arguments: Arguments) -> str:
        if not reply.transfers:
            return f"No {heading.lower()}s"
        rows: list[tuple[object, ...]] = []
        for one in reply.transfers:
            head = (one.database, one.name, one.repository)
            for p in one.parts:
                times = (moment(p.started_us), moment(p.finished_us))
                rows.append((*head, p.host, p.instance, p.element, _state(p), *times))
            times = (moment(one.started_us), moment(one.finished_us))
            rows.append((*head, "", "", None, one.state, *times))
        lines = [table(("Database", heading, "Repository", *PARTS), rows)]
        lines += [f"\n{t.name}: {t.message}" for t in reply.transfers if t.message]
        return "\n".join(lines)

    return render


def _state(part: requests.TransferPart) -> str:
    if part.state != "InProgress" or not part.total_bytes:
        return part.state
    return f"{part.state} {min(99, 100 * part.done_bytes // part.total_bytes)}%"


def _transfer_command(
    name: str,
    summary: str,
    options: tuple[Option, ...],
    build: Callable[[Arguments], schema.Request],
) -> Command:
    options = (REPOSITORY, *options, *WAIT)
    return Command(name, GROUP, summary, DATABASE, options, build=build, reply=schema.Done)


def _status_command(name: str, kind: str, heading: str, summary: str) -> Command:
    return Command(
        name,
        GROUP,
        summary,
        (Positional("DATABASE", required=False),),
        build=_status(kind),
        reply=requests.DbTransferStatusReply,
        render=status_text(heading),
    )


def _delete_command(name: str, kind: str) -> Command:
    return Command(
        name,
        GROUP,
        f"Remove {'a backup' if kind == 'backup' else 'an export'} from its repository",
        (Positional("DATABASE", required=False),),
        (
            REPOSITORY,
            Option("name", "NAME", f"the {kind}"),
            Option("force", "", "also an incomplete or damaged one"),
        ),
        build=_delete(kind),
        reply=schema.Done,
    )


REPOSITORIES = (
    Command(
        "repositoryCreate",
        GROUP,
        "Make a repository: a folder for backups and exports",
        NAME,
        PLACE,
        build=_create,
        reply=schema.Done,
    ),
    Command(
        "repositoryAttach",
        GROUP,
        "Use a repository that is there, perhaps that of another grid",
        NAME,
        PLACE,
        build=_attach,
        reply=schema.Done,
    ),
    Command(
        "repositoryDetach",
        GROUP,
        "Use a repository no more; what is in it stays",
        NAME,
        build=lambda a: requests.RepositoryDetach(name=a.word("NAME")),
        reply=schema.Done,
    ),
    Command(
        "repositoryList",
        GROUP,
        "List the repositories",
        (Positional("NAME", required=False),),
        (Option("contents", "", "and the backups and exports in them"),),
        build=lambda a: requests.RepositoryList(name=a.word("NAME"), contents=a.has("contents")),
        reply=requests.RepositoryListReply,
        render=_listed,
    ),
)
COMMANDS = (
    *REPOSITORIES,
    Command(
        "gridLogCollect",
        GROUP,
        "Copy the logs of all instances into a repository",
        (Positional("NAME", required=False),),
        (REPOSITORY,),
        build=lambda a: requests.GridLogCollect(
            repository=_needed(a, "repository"), collection=a.word("NAME")
        ),
        reply=schema.Done,
    ),
    _transfer_command(
        "dbBackup",
        "Back a database up at one instant, while clients work",
        (
            Option("name", "NAME", "of the backup (default: B and the time)"),
            Option("backupType", "normal|staged", "staged is for repositories of method scp"),
            *WRITING,
        ),
        _backup,
    ),
    _status_command("dbBackupStatus", "backup", "Backup", "Show how backups are"),
    _delete_command("dbBackupDelete", "backup"),
    _transfer_command(
        "dbRestore",
        "Make a database from a backup",
        (Option("backup", "NAME", "the backup"),),
        _restore,
    ),
    _status_command("dbRestoreStatus", "restore", "Restore", "Show how restores are"),
    _transfer_command(
        "dbExport",
        "Write a database's schema and rows at one instant, for a grid of any topology",
        (Option("name", "NAME", "of the export (default: M and the time)"), *WRITING),
        _export,
    ),
    _status_command("dbExportStatus", "export", "Export", "Show how exports are"),
    _delete_command("dbExportDelete", "export"),
    _transfer_command(
        "dbImport",
        "Make a database from an export; an empty one that exists is replaced",
        (
            Option("name", "NAME", "the export"),
            Option(
                "numThreads", "N", "so many elements are filled at once, 1 to 32 (default: all)"
            ),
            Option("batchSize", "N", "rows inserted at once (default 256)"),
            Option(
                "errorTolerance", "0", "the first row that does not fit ends the import (default)"
            ),
        ),
        _import,
    ),
    _status_command("dbImportStatus", "import", "Import", "Show how imports are"),
)
