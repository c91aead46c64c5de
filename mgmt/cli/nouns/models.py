"""modelApply, modelList, modelExport, modelImport, modelCompare, modelDelete."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.client import Client
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import VERSION_OPTIONS, read_text, version_choice, write_or_show
from mgmt.cli.render import moment, table
from protocol import instance_file
from protocol.errors import ModelError, UsageError

GROUP = "Model"


def _list(reply: schema.ModelListReply, arguments: Arguments) -> str:
    rows = [
        (v.version, v.state, moment(v.created_us), moment(v.applied_us)) for v in reply.versions
    ]
    return table(("Version", "State", "Created", "Applied"), rows)


def _export(arguments: Arguments, client: Client) -> schema.TextFile:
    """A data instance has the model in force as modelApply pushed it: enough for -current."""
    settings = client.settings()
    if settings.kind == "mgmt":
        request = schema.ModelExport(version=version_choice(arguments))
        reply = client.call(request, schema.TextFile, lambda event: None)
        assert isinstance(reply, schema.TextFile)
        return reply
    if version_choice(arguments).which != "current":
        raise ModelError(
            f"{settings.name} is a data instance: it has only the version in force",
            hint="Use -current here, or run the command on the active management instance.",
        )
    text = read_text(str(settings.path(instance_file.MODEL_FILE)))
    return schema.TextFile(text=text, messages=("The current model exported to {file}",))


def _import(arguments: Arguments) -> schema.ModelImport:
    return schema.ModelImport(
        text=read_text(arguments.word("FILE")), script=arguments.has("script")
    )


def _imported(reply: schema.TextFile, arguments: Arguments) -> str:
    if arguments.has("script"):
        return write_or_show(reply, arguments.value("script"))
    return "\n".join(reply.messages)


def _compare(arguments: Arguments) -> schema.ModelCompare:
    """Sides in the order -current, -version N, file, -latest; one alone is held against latest."""
    sides = []
    if arguments.has("current"):
        sides.append(schema.ModelSide(schema.VersionChoice("current")))
    for text in arguments.values("version"):
        if not text.isdigit():
            raise UsageError(f"-version wants a number, not '{text}'")
        sides.append(schema.ModelSide(schema.VersionChoice("number", int(text))))
    for name in arguments.words("FILE"):
        sides.append(schema.ModelSide(text=read_text(name)))
    if arguments.has("latest"):
        sides.append(schema.ModelSide())
    if not sides:
        sides.append(schema.ModelSide(schema.VersionChoice("current")))
    if len(sides) == 1:
        sides.append(schema.ModelSide())
    if len(sides) != 2:
        raise UsageError("modelCompare compares two models")
    return schema.ModelCompare(left=sides[0], right=sides[1])


def _differences(reply: schema.ModelCompareReply, arguments: Arguments) -> str:
    if not reply.differences:
        return "No differences"
    lines = []
    for difference in reply.differences:
        lines.append(f"{difference.change.capitalize()}: {difference.kind} {difference.name}")
        lines += [f"    {detail}" for detail in difference.details]
    return "\n".join(lines)


def _apply(arguments: Arguments) -> schema.ModelApply:
    parallel = arguments.integer("parallel", 10)
    if parallel < 1:
        raise UsageError("-parallel wants a number above 0")
    return schema.ModelApply(
        start=not arguments.has("nostart"), details=arguments.has("details"), parallel=parallel
    )


COMMANDS = (
    Command(
        "modelApply",
        GROUP,
        "Make the latest model version come true",
        (),
        (
            Option("nostart", "", "leave new instances stopped"),
            Option("details", "", "say what is done in each step"),
            Option("parallel", "N", "so many hosts at a time (10)"),
        ),
        build=_apply,
        reply=schema.Done,
    ),
    Command(
        "modelList",
        GROUP,
        "List the versions of the model",
        build=lambda a: schema.ModelList(),
        reply=schema.ModelListReply,
        render=_list,
    ),
    Command(
        "modelExport",
        GROUP,
        "Write a version of the model as JSON",
        (Positional("FILE", required=False),),
        VERSION_OPTIONS,
        local=_export,
        reply=schema.TextFile,
        render=lambda reply, a: write_or_show(reply, a.word("FILE")),
    ),
    Command(
        "modelImport",
        GROUP,
        "Replace the latest model by an exported one",
        (Positional("FILE"),),
        (Option("script", "FILE", "only write the commands that would do it"),),
        build=_import,
        reply=schema.TextFile,
        render=_imported,
    ),
    Command(
        "modelCompare",
        GROUP,
        "Show the differences between two models (default: current and latest)",
        (Positional("FILE", required=False, rest=True),),
        (
            Option("latest", "", "the writable version"),
            Option("current", "", "the version in force"),
            Option("version", "N", "version number N", repeat=True),
        ),
        build=_compare,
        reply=schema.ModelCompareReply,
        render=_differences,
    ),
    Command(
        "modelDelete",
        GROUP,
        "Delete an older version of the model",
        (),
        (Option("version", "N", "version number N"),),
        build=lambda a: schema.ModelDelete(number=_number(a)),
        reply=schema.Done,
    ),
)


def _number(arguments: Arguments) -> int:
    if not arguments.has("version"):
        raise UsageError("modelDelete wants -version N")
    return arguments.integer("version", 0)
