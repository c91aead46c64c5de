"""docs/reference/commands.md: every command of ttGridAdmin in TimesTen Scaleout 22.1, and here."""

from __future__ import annotations

from collections.abc import Iterator

from mgmt.cli.commands import COMMANDS
from mgmt.cli.refused import REFUSED

# The areas and commands of the 22.1 reference manual, in its order.
TIMESTEN = """
Backup and restore: dbBackup dbBackupDelete dbBackupStatus dbRestore dbRestoreStatus
Cache: dbCacheCredentialSet dbCacheStart dbCacheStop
Certificates: certificateList
Connectables: connectableCreate connectableDelete connectableExport connectableList
    connectableModify
Database definitions: dbdefCreate dbdefDelete dbdefExport dbdefList dbdefModify
Databases: dbClose dbCreate dbDestroy dbDisconnect dbDisconnectStatus dbDistribute dbList dbLoad
    dbOpen dbStatus dbUnload
Grid: gridClientExport gridClientExportAll gridCreate gridDisplay gridLogCollect gridModify
    gridSshConfig gridUpgrade
Hosts: hostCreate hostDelete hostExec hostList hostModify
Import and export: dbExport dbExportDelete dbExportStatus dbImport dbImportStatus
Installations: installationCreate installationDelete installationExec installationList
    installationStatus
Instances: instanceConfigExport instanceConfigImport instanceCreate instanceDelete instanceExec
    instanceList instanceModify instanceStatus
Management instances: mgmtActiveStart mgmtActiveStop mgmtActiveSwitch mgmtExamine
    mgmtStandbyStart mgmtStandbyStop mgmtStatus
Membership: membershipConfigExport membershipConfigImport
Model: modelApply modelCompare modelDelete modelExport modelImport modelList
Oracle Database files: SQLNetExport SQLNetImport TNSNamesExport TNSNamesImport
Repositories: repositoryAttach repositoryCreate repositoryDetach repositoryList
"""
BETTER = {
    "dbCreate": "`-wait` ends by itself, and `operationCancel` ends it",
    "dbDistribute": "clients go on meanwhile; it can be cancelled, and survives any process",
    "dbExport": "the database may be open",
    "dbImport": "into any number of replica sets and copies",
    "dbStatus": "`-o json` for every form; messages say what to do",
    "dbUnload": "nothing committed is lost, with `-force` or without",
    "gridUpgrade": "a journal: it survives the loss of management, repeated it does what is left",
    "hostExec": "runs at several hosts at once by default; exit code 5 if one failed",
    "instanceExec": "exit code 5 if one failed",
    "mgmtActiveSwitch": "rarely needed: a standby that has everything takes over by itself",
    "mgmtStandbyStart": "rarely needed: an active that comes back becomes standby by itself",
    "modelApply": "a journal: applied again after a failure, it does what is left",
}
HEAD = """# Commands of ttGridAdmin

*Made by `python -m tests.support.reference` from `mgmt/cli/`; do not edit.*

`ttGridAdmin COMMAND -help` says everything about one. The first table has every command of
TimesTen Scaleout 22.1 in the order of its manual: *works* (as documented there), *works better*,
*refused* (with the reason, which the command says too) or *not yet*. The second has those that are
only here. [operations.md](../operations.md) shows them at work.
"""


def areas() -> Iterator[tuple[str, list[str]]]:
    """Area, its commands."""
    for line in TIMESTEN.strip().replace("\n    ", " ").splitlines():
        area, _, names = line.partition(": ")
        yield area, names.split()


def page() -> str:
    """The text of the page."""
    here = {command.name: command.summary for command in COMMANDS}
    theirs = [name for _, names in areas() for name in names]
    lines = [HEAD, "| area | TimesTen Scaleout | here | |", "|---|---|---|---|"]
    for area, names in areas():
        for name in names:
            lines.append(f"| {area} | `{name}` | {' | '.join(_state(name, here))} |")
            area = ""
    lines += ["", "## Only here", "", "| command | |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in here.items() if name not in theirs]
    return "\n".join([*lines, ""])


def _state(name: str, here: dict[str, str]) -> tuple[str, str]:
    if name in REFUSED:
        return "refused", f"{REFUSED[name].why}. {REFUSED[name].instead}"
    if name not in here or here[name].startswith("Not in this release"):
        return "not yet", ""
    if name in BETTER:
        return "works better", BETTER[name]
    return "works", ""
