"""dbCreate, dbLoad, dbOpen, dbClose, dbUnload, dbDestroy, dbDistribute, dbList, dbStatus."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api import schema_databases as requests
from mgmt.api.schema_worksheet import DbThrottle
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.database_status import status_text
from mgmt.cli.nouns.transactions import transactions_text
from mgmt.cli.render import table
from protocol.errors import UsageError

GROUP = "Databases"
NAME = (Positional("NAME"),)
WAIT = (
    Option("nowait", "", "return at once (default)"),
    Option(
        "wait",
        "SECS",
        "wait until done; no number or 0: until only instances that are down are missing",
        optional_number=True,
    ),
)
INSTANCE = Option("instance", "HOST[.INST]", "only there")


def _wait(arguments: Arguments) -> int | None:
    arguments.one_of("nowait", "wait")
    return arguments.integer("wait", 0) if arguments.has("wait") else None


def _create(arguments: Arguments) -> requests.DbCreate:
    return requests.DbCreate(
        name=arguments.word("NAME"), instance=arguments.value("instance"), wait_s=_wait(arguments)
    )


def _destroy(arguments: Arguments) -> requests.DbDestroy:
    return requests.DbDestroy(
        name=arguments.word("NAME"), instance=arguments.value("instance"), wait_s=_wait(arguments)
    )


def _unload(arguments: Arguments) -> requests.DbUnload:
    return requests.DbUnload(
        name=arguments.word("NAME"), force=arguments.has("force"), wait_s=_wait(arguments)
    )


def _distribute(arguments: Arguments) -> requests.DbDistribute | DbThrottle:
    alone = arguments.one_of("list", "reset", "resync")
    changes = [word for word in ("add", "remove", "evict", "apply") if arguments.has(word)]
    if alone and (changes or arguments.has("replaceWith")):
        raise UsageError(f"-{alone} stands alone")
    limit = arguments.integer("throttle", 0)
    if limit < 0:
        raise UsageError(f"-throttle {limit}: rows a second, 0 for no limit")
    if not alone and not changes and arguments.has("throttle"):
        return DbThrottle(name=arguments.word("NAME"), rows_per_s=limit)
    if not alone and not changes:
        raise UsageError(
            "dbDistribute wants -add, -remove, -evict, -apply, -list, -reset or -resync"
        )
    return requests.DbDistribute(
        name=arguments.word("NAME"),
        add=arguments.values("add"),
        remove=_going(arguments, "remove"),
        evict=_going(arguments, "evict"),
        force=arguments.has("force"),
        rows_per_s=limit,
        apply=arguments.has("apply"),
        reset=alone == "reset",
        resync=alone == "resync",
        list=alone == "list",
    )


def _going(arguments: Arguments, verb: str) -> tuple[requests.Going, ...]:
    """What -remove or -evict names, each with the -replaceWith behind it."""
    going: list[requests.Going] = []
    last = ""
    for name, value in arguments.in_order:
        if name == "replacewith" and last not in ("remove", "evict"):
            raise UsageError("-replaceWith stands behind the -remove or -evict that it belongs to")
        if name == verb:
            going.append(requests.Going(value))
        elif name == "replacewith" and last == verb:
            going[-1] = requests.Going(going[-1].place, value)
        last = name
    return tuple(going)


def _distributed(reply: requests.DbDistributeReply, arguments: Arguments) -> str:
    if not arguments.has("list"):
        return "\n".join(reply.messages)
    rows = [
        (
            e.host,
            e.instance,
            e.element,
            e.replica_set or None,
            e.data_space,
            "Yes" if e.replica_set else "No",
            e.change,
        )
        for e in reply.elements
    ]
    version = f"Distribution map version {reply.map_version}"
    title = version if reply.map_version else "No distribution map yet"
    headings = ("Host", "Instance", "Elem", "RS", "DS", "InMap", "Pending")
    return f"{title}\n\n{table(headings, rows)}"


def _list(reply: requests.DbListReply, arguments: Arguments) -> str:
    rows = [
        (row.name, "Y" if row.loaded else "N", "Y" if row.opened else "N")
        for row in reply.databases
    ]
    return table(("Database", "Loaded", "Opened"), rows)


COMMANDS = (
    Command(
        "dbCreate",
        GROUP,
        "Create and load a database from its definition",
        NAME,
        (INSTANCE, *WAIT),
        build=_create,
        reply=schema.Done,
    ),
    Command(
        "dbLoad",
        GROUP,
        "Load a database",
        NAME,
        WAIT,
        build=lambda a: requests.DbLoad(name=a.word("NAME"), wait_s=_wait(a)),
        reply=schema.Done,
    ),
    Command(
        "dbOpen",
        GROUP,
        "Let users connect to a database",
        NAME,
        WAIT,
        build=lambda a: requests.DbOpen(name=a.word("NAME"), wait_s=_wait(a)),
        reply=schema.Done,
    ),
    Command(
        "dbClose",
        GROUP,
        "Let no new users connect to a database",
        NAME,
        WAIT,
        build=lambda a: requests.DbClose(name=a.word("NAME"), wait_s=_wait(a)),
        reply=schema.Done,
    ),
    Command(
        "dbUnload",
        GROUP,
        "Unload a database",
        NAME,
        (Option("force", "", "also when that may lose commits"), *WAIT),
        build=_unload,
        reply=schema.Done,
    ),
    Command(
        "dbDestroy",
        GROUP,
        "Destroy an unloaded database with all its files",
        NAME,
        (INSTANCE, *WAIT),
        build=_destroy,
        reply=schema.Done,
    ),
    Command(
        "dbDistribute",
        GROUP,
        "Change and show the distribution map of a database",
        NAME,
        (
            Option("add", "all|HOST[.INST]", "add elements to the map", repeat=True),
            Option("apply", "", "put the changes into force"),
            Option("list", "", "show elements and pending changes"),
            Option("reset", "", "drop pending changes"),
            Option("remove", "HOST[.INST]", "take elements out; no row is lost", repeat=True),
            Option("evict", "HOST[.INST]", "give dead elements up", repeat=True),
            Option("replaceWith", "HOST[.INST]", "behind -remove or -evict", repeat=True),
            Option("force", "", "evict also elements that live: their rows are lost"),
            Option("throttle", "ROWS", "move at most so many rows a second; alone: from now on"),
            Option("resync", "", "take over what the database says of its map"),
        ),
        build=_distribute,
        reply=requests.DbDistributeReply,
        render=_distributed,
    ),
    Command(
        "dbList",
        GROUP,
        "List the databases",
        build=lambda a: requests.DbList(),
        reply=requests.DbListReply,
        render=_list,
    ),
    Command(
        "dbStatus",
        GROUP,
        "Show the status of a database, or of all",
        (Positional("NAME", required=False),),
        (
            Option("summary", "", "counts and the three status words (default)"),
            Option("element", "", "each element"),
            Option("replicaSet", "", "by replica set"),
            Option("dataSpaceGroup", "", "by data space group"),
            Option("all", "", "the four of them"),
            Option("details", "", "each element with its daemon, role, term and log position"),
            Option("loadReadiness", "", "whether the database can be loaded now"),
            Option("epochs", "", "the newest epoch of each element, and the best for recovery"),
            Option("connections", "", "who is connected"),
            Option("proxy", "", "with it: also what clients of other instances do at each"),
            Option("system", "", "with it: also the instances' own connections"),
        ),
        build=lambda a: _status(a),
        reply=requests.DbStatusReply,
        render=status_text,
    ),
    Command(
        "dbTransactions",
        GROUP,
        "List the open, prepared and in-doubt transactions of a database",
        NAME,
        (Option("inDoubt", "", "only those whose outcome nobody has told yet"),),
        build=lambda a: requests.DbTransactions(name=a.word("NAME"), in_doubt=a.has("inDoubt")),
        reply=requests.DbTransactionsReply,
        render=transactions_text,
    ),
)


def _status(arguments: Arguments) -> requests.DbStatus:
    for option in ("proxy", "system"):
        if arguments.has(option) and not arguments.has("connections"):
            raise UsageError(f"-{option} goes with -connections")
    return requests.DbStatus(
        name=arguments.word("NAME"),
        connections=arguments.has("connections"),
        proxy=arguments.has("proxy"),
        system=arguments.has("system"),
    )
