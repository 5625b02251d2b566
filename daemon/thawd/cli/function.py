"""Create, show, change and delete functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from thawd import runtimes
from thawd.errors import ImageError, ThawError

from .arguments import add_common, add_socket, assignment, function_name, plain_function_name
from .exits import Exit
from .packing import packed, sent
from .session import connect, settings
from .waiting import until_settled

if TYPE_CHECKING:
    import argparse

    from .client import Client
    from .terminal import Terminal


CODE_HELP: Final = "folder, zip or source file: up to 250 MB unzipped"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="create a function from a folder or zip")
    create.add_argument("name", type=plain_function_name, metavar="NAME")
    create.add_argument("--code", type=Path, required=True, metavar="PATH", help=CODE_HELP)
    create.add_argument("--runtime", help="default: the one that `thaw image build` builds")
    create.add_argument(
        "--role", metavar="ARN", help="execution role (default: one that stands for any)"
    )
    _settings_of_function(create)
    create.set_defaults(snapstart=True, act=_create)

    get = actions.add_parser("get", help="show a function or one of its versions")
    get.add_argument("name", type=function_name, metavar="NAME[:QUALIFIER]")
    get.set_defaults(act=_get)

    listing = actions.add_parser("list", help="list functions")
    listing.set_defaults(act=_list)

    update = actions.add_parser("update", help="change code or settings of $LATEST")
    update.add_argument("name", type=plain_function_name, metavar="NAME")
    update.add_argument("--code", type=Path, metavar="PATH", help=CODE_HELP)
    update.add_argument("--runtime")
    update.add_argument("--role", metavar="ARN")
    update.add_argument(
        "--unset-env", action="append", default=[], metavar="KEY", help="remove a variable"
    )
    update.set_defaults(act=_update)
    _settings_of_function(update)

    delete = actions.add_parser("delete", help="delete a function, or one version")
    delete.add_argument("name", type=function_name, metavar="NAME[:VERSION]")
    delete.set_defaults(act=_delete)

    for action in (create, get, listing, update, delete):
        add_socket(action)
        add_common(action)


def _settings_of_function(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--handler", help="such as MODULE.FUNCTION (default: the language's usual one)"
    )
    parser.add_argument("--memory", type=int, metavar="MB", help="128 to 10240 (default: 128)")
    parser.add_argument("--timeout", type=int, metavar="SECONDS", help="1 to 900 (default: 3)")
    parser.add_argument("--description", metavar="TEXT")
    parser.add_argument(
        "--env",
        type=assignment,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="environment variable, repeatable",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--snapstart",
        dest="snapstart",
        action="store_true",
        default=None,
        help="snapshot published versions (default for new functions)",
    )
    group.add_argument("--no-snapstart", dest="snapstart", action="store_false", help="do not")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action that was chosen."""
    with connect(arguments) as client:
        status: int = arguments.act(arguments, client, terminal)
    return status


def code_of(path: Path, client: Client, terminal: Terminal) -> dict[str, str]:
    """`--code` as the API takes it: what it holds, or where it was uploaded to."""
    with terminal.progress(f"Packing {path}") as progress:
        progress.update("reading")
        with packed(path) as zip_file:
            progress.update(f"{zip_file.stat().st_size / 1e6:.1f} MB")
            return sent(client, zip_file)


def _configuration(arguments: argparse.Namespace) -> dict[str, Any]:
    """Members of the request for the options that were given."""
    given: dict[str, Any] = {
        "Handler": arguments.handler,
        "Runtime": arguments.runtime,
        "Role": arguments.role,
        "MemorySize": arguments.memory,
        "Timeout": arguments.timeout,
        "Description": arguments.description,
    }
    if arguments.snapstart is not None:
        given["SnapStart"] = {"ApplyOn": "PublishedVersions" if arguments.snapstart else "None"}
    return {member: value for member, value in given.items() if value is not None}


def _create(arguments: argparse.Namespace, client: Client, terminal: Terminal) -> int:
    account = settings(arguments).account_id
    arguments.runtime = arguments.runtime or runtimes.default().id
    arguments.handler = arguments.handler or _usual_handler(arguments.runtime)
    arguments.role = arguments.role or f"arn:aws:iam::{account}:role/thaw"
    request = {
        "FunctionName": arguments.name,
        "Code": code_of(arguments.code, client, terminal),
        **_configuration(arguments),
    }
    if arguments.env:
        request["Environment"] = {"Variables": dict(arguments.env)}
    client.create_function(request)
    created = until_settled(client, terminal, arguments.name, None, f"Creating {arguments.name}")
    _show(created, terminal, f"Created {arguments.name}. Next: thaw publish {arguments.name}")
    return Exit.NO if created.get("State") == "Failed" else Exit.OK


def _usual_handler(runtime: str) -> str:
    try:
        return runtimes.find(runtime).default_handler
    except ImageError as error:
        # The daemon may know it all the same.
        raise ThawError(error.message, hint="Name the handler with --handler") from error


def _get(arguments: argparse.Namespace, client: Client, terminal: Terminal) -> int:
    function = client.get_function(arguments.name.name, arguments.name.qualifier)
    if terminal.json:
        terminal.value(function)
    else:
        _describe(function.get("Configuration") or {}, terminal)
    return Exit.OK


def _list(_: argparse.Namespace, client: Client, terminal: Terminal) -> int:
    functions = client.list_functions()
    if terminal.json:
        terminal.value(functions)
    elif functions:
        terminal.table(
            ("NAME", "RUNTIME", "HANDLER", "MEMORY MB", "TIMEOUT S", "SNAPSTART", "MODIFIED"),
            [
                (
                    str(function.get("FunctionName")),
                    str(function.get("Runtime")),
                    str(function.get("Handler")),
                    str(function.get("MemorySize")),
                    str(function.get("Timeout")),
                    "on" if snapstart_wanted(function) else "off",
                    short_time(function.get("LastModified")),
                )
                for function in functions
            ],
        )
    else:
        terminal.note("No functions. Create one: thaw function create NAME --code FOLDER")
    return Exit.OK


def _update(arguments: argparse.Namespace, client: Client, terminal: Terminal) -> int:
    name = arguments.name
    change = _configuration(arguments)
    if arguments.env or arguments.unset_env:
        # The API replaces the whole environment. The revision makes sure that nobody changes it in between.
        current = client.get_configuration(name)
        variables = dict((current.get("Environment") or {}).get("Variables") or {})
        variables.update(arguments.env)
        missing = [key for key in arguments.unset_env if variables.pop(key, None) is None]
        if missing:
            raise ThawError(
                f"{name} has no variable {missing[0]}", hint=f"See: thaw function get {name}"
            )
        change["Environment"] = {"Variables": variables}
        change["RevisionId"] = current.get("RevisionId")
    if not change and arguments.code is None:
        terminal.note(f"thaw: nothing to change in {name}. See: thaw function update --help")
        return Exit.USAGE
    title = f"Updating {name}"
    if change:
        client.update_configuration(name, change)
        updated = until_settled(client, terminal, name, None, title)
    if arguments.code is not None:
        client.update_code(name, code_of(arguments.code, client, terminal))
        updated = until_settled(client, terminal, name, None, title)
    _show(updated, terminal, f"Updated {name}. Versions keep what they were published with")
    return Exit.NO if updated.get("LastUpdateStatus") == "Failed" else Exit.OK


def _delete(arguments: argparse.Namespace, client: Client, terminal: Terminal) -> int:
    client.delete_function(arguments.name.name, arguments.name.qualifier)
    if terminal.json:
        terminal.value({"Deleted": str(arguments.name)})
    else:
        terminal.line(f"Deleted {arguments.name}")
    return Exit.OK


def _show(configuration: dict[str, Any], terminal: Terminal, sentence: str) -> None:
    if terminal.json:
        terminal.value(configuration)
    elif reason := failure_of(configuration):
        terminal.note(f"thaw: {configuration.get('FunctionName')}: {reason}")
    else:
        terminal.line(sentence)


def _describe(configuration: dict[str, Any], terminal: Terminal) -> None:
    facts = [
        ("name", configuration.get("FunctionName")),
        ("version", configuration.get("Version")),
        ("arn", configuration.get("FunctionArn")),
        ("state", failure_of(configuration) or configuration.get("State")),
        ("runtime", configuration.get("Runtime")),
        ("handler", configuration.get("Handler")),
        ("memory", f"{configuration.get('MemorySize')} MB"),
        ("timeout", f"{configuration.get('Timeout')} s"),
        ("snapstart", "on" if snapstart_wanted(configuration) else "off"),
        (
            "code",
            f"{configuration.get('CodeSize')} bytes, sha256 {configuration.get('CodeSha256')}",
        ),
        ("role", configuration.get("Role")),
        ("modified", short_time(configuration.get("LastModified"))),
        ("description", configuration.get("Description")),
    ]
    for label, fact in facts:
        if fact:
            terminal.line(f"{terminal.style(f'{label:12}', 'dim')}{fact}")
    variables = (configuration.get("Environment") or {}).get("Variables") or {}
    for number, (key, value) in enumerate(sorted(variables.items())):
        label = "environment" if number == 0 else ""
        terminal.line(f"{terminal.style(f'{label:12}', 'dim')}{key}={value}")


def snapstart_wanted(configuration: dict[str, Any]) -> bool:
    """Whether published versions are snapshotted."""
    return (configuration.get("SnapStart") or {}).get("ApplyOn") == "PublishedVersions"


def failure_of(configuration: dict[str, Any]) -> str | None:
    """Why a function or version cannot be used, or None when nothing failed."""
    if configuration.get("State") == "Failed":
        code = configuration.get("StateReasonCode")
        reason = configuration.get("StateReason") or "no reason was given"
    elif configuration.get("LastUpdateStatus") == "Failed":
        code = configuration.get("LastUpdateStatusReasonCode")
        reason = configuration.get("LastUpdateStatusReason") or "no reason was given"
    else:
        return None
    return f"Failed ({code}): {reason}" if code else f"Failed: {reason}"


def short_time(stamp: str | None) -> str:
    """`2026-01-01T00:00:00.000+0000` to the second, as people read it."""
    return (stamp or "")[:19].replace("T", " ")
