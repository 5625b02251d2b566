"""The clone test of `thaw check`: a function in a daemon, its clones side by side, and a report of them."""

from __future__ import annotations

import ast
import json
import secrets
import tempfile
import zipfile
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thaw_check.clones import RULES, compare, exchange, findings, page
from thaw_check.findings import Report
from thawd import runtimes
from thawd.errors import BundleError, DaemonUnreachable

from .arguments import FunctionName, check_json, function_name
from .own_daemon import default_state, ensure_image, own_daemon
from .packing import packed, sent
from .session import connect
from .system import require_linux
from .waiting import until_settled

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from thaw_check.clones import Observed

    from .client import Client
    from .terminal import Terminal

_HANDLERS: Final = ("lambda_handler", "handler", "main")
"""Names that a handler usually has, and modules that hold it; tried in this order."""
_MODULES: Final = ("lambda_function", "app", "handler", "main", "index", "function")


def of_path(arguments: argparse.Namespace, path: Path, terminal: Terminal) -> Report:
    """Test what is in a file, a folder or a zip, as a function that is gone afterwards."""
    with packed(path) as code:
        handler = arguments.handler or find_handler(code)
        events = _events(arguments)
        with (
            _any_daemon(arguments, terminal) as client,
            _function(client, arguments, code, handler, terminal) as name,
        ):
            return _tested(client, FunctionName(name), events, arguments, terminal)


def of_function(
    arguments: argparse.Namespace, folder: Path, terminal: Terminal
) -> tuple[Path, Report]:
    """Test a function that the daemon has. Returns its code, as a zip in `folder`, and the report."""
    name = function_name(arguments.subject)
    events = _events(arguments)
    code = folder / f"{name.name}.zip"
    with connect(arguments) as client:
        code.write_bytes(client.code(name.name, name.qualifier))
        return code, _tested(client, name, events, arguments, terminal)


def report_of(subject: str, observed: Observed) -> Report:
    """A report of the observations."""
    comparison = None if observed.failure else compare(observed.events, observed.starts)
    found = list(page.findings(observed))
    if comparison is not None:
        notes = [note for start in observed.starts for note in start.freeze.notes]
        found += findings(comparison, notes)
    return Report(
        subject=subject,
        findings=tuple(found),
        rules={**RULES, **page.RULES},
        sections=tuple(page.sections(observed, comparison)),
    )


def find_handler(code: Path | bytes) -> str:
    """The handler in a bundle, by the names that handlers usually have. Raises `BundleError` when none is found."""
    with zipfile.ZipFile(BytesIO(code) if isinstance(code, bytes) else code) as archive:
        modules = [
            name.removesuffix(".py")
            for name in archive.namelist()
            if name.endswith(".py") and "/" not in name
        ]
        modules.sort(key=lambda name: _MODULES.index(name) if name in _MODULES else len(_MODULES))
        for module in modules:
            try:
                tree = ast.parse(archive.read(f"{module}.py"))
            except (SyntaxError, ValueError):
                continue
            defined = {
                node.name
                for node in tree.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            } | {
                target.id
                for node in tree.body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for handler in _HANDLERS:
                if handler in defined:
                    return f"{module}.{handler}"
    raise BundleError(
        f"No handler found ({', '.join(_HANDLERS)} in a top-level module)",
        hint="Name it: --handler MODULE.FUNCTION",
    )


def _tested(
    client: Client,
    name: FunctionName,
    events: list[str],
    arguments: argparse.Namespace,
    terminal: Terminal,
) -> Report:
    with terminal.progress("clone test") as progress:
        progress.update("two cold starts, two clones of each")
        shape = client.clones(
            name.name,
            name.qualifier,
            # Every event twice: the second time shows what the first one has moved on.
            events * 2,
            kernel_cloned=arguments.worst_case,
            fixers_off=arguments.without_fixers,
        )
    return report_of(str(name), exchange.from_json(shape))


def _events(arguments: argparse.Namespace) -> list[str]:
    events = []
    for given in arguments.event or ["{}"]:
        try:
            content = Path(given[1:]).read_text() if given.startswith("@") else given
            check_json(content.encode(), given if given.startswith("@") else "--event")
        except (OSError, ValueError) as error:
            raise BundleError(
                str(error), hint="An event is JSON: --event '{\"key\": 1}', or --event @FILE"
            ) from error
        # Compact: what the daemon gets is what every clone gets.
        events.append(json.dumps(json.loads(content), separators=(",", ":")))
    return events


@contextmanager
def _any_daemon(arguments: argparse.Namespace, terminal: Terminal) -> Iterator[Client]:
    """The daemon that answers, or one for the length of this test."""
    try:
        client = connect(arguments)
        client.__enter__()
    except DaemonUnreachable:
        if arguments.socket is not None:
            raise
    else:
        with client:
            yield client
        return
    require_linux("A daemon of its own (none answers)")
    state = default_state()
    state.mkdir(parents=True, exist_ok=True)
    ensure_image(state / "images", terminal)
    with (
        tempfile.TemporaryDirectory(prefix="thaw-check-") as runtime,
        own_daemon(state, Path(runtime), terminal) as client,
    ):
        yield client


@contextmanager
def _function(
    client: Client, arguments: argparse.Namespace, code: Path, handler: str, terminal: Terminal
) -> Iterator[str]:
    """A function of this code for the length of the test."""
    name = f"thaw-check-{secrets.token_hex(4)}"
    client.create_function(
        {
            "FunctionName": name,
            "Runtime": runtimes.default().id,
            "Handler": handler,
            "Role": "arn:aws:iam::000000000000:role/thaw-check",
            "Code": sent(client, code),
            "MemorySize": arguments.memory,
            "Timeout": arguments.timeout,
            "Environment": {"Variables": dict(arguments.env)},
        }
    )
    try:
        until_settled(client, terminal, name, None, "taking the code")
        yield name
    finally:
        client.delete_function(name)
