"""The command line's end of the daemon's API: HTTP over its Unix socket."""

from __future__ import annotations

import errno
import json
import os
import socket
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import httpx
from attrs import define, field, frozen

from thawd import __version__
from thawd.config import SOCKET_NAME, SYSTEM_RUNTIME_DIRECTORY
from thawd.errors import DaemonUnreachable, ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thawd.config import Config

FUNCTIONS: Final = "/2015-03-31/functions"

UPLOADS: Final = "thaw"
"""The `S3Bucket` that code is in after `Client.upload_code`."""

CONNECT_TIMEOUT_S: Final = 5.0
"""For a Unix socket this is the time a full accept queue is waited for."""

_PIECE: Final = 1 << 20

_HINTS: Final = {
    "ResourceNotFoundException": "See what there is: thaw function list",
    "TooManyRequestsException": "Try again, or raise pool.max_machines in the configuration",
    "SnapStartNotReadyException": "Its snapshot is being made again: try in a minute",
}
_HINTS_BY_WORDS: Final = {
    "at 'runtime' failed to satisfy": "Runtimes are those that have an image: thaw image build RUNTIME",
    "Function already exist": "Change it: thaw function update NAME --code PATH",
}
"""For exceptions of many causes: what of Lambda's words tells this one."""


class DaemonRefused(ThawError):
    """The daemon refused a request. `code` is Lambda's exception name."""

    def __init__(self, status: int, code: str, message: str) -> None:
        by_words = (hint for words, hint in _HINTS_BY_WORDS.items() if words in message)
        # Lambda's messages end in a full stop or not; ours are joined with one.
        super().__init__(message.rstrip("."), hint=next(by_words, _HINTS.get(code, "")))
        self.status = status
        self.code = code


class SocketForbidden(DaemonUnreachable):
    """The socket is there, and this user may not use it."""


def find_socket(asked: Path | None, environ: Mapping[str, str], config: Config) -> Path:
    """The daemon's socket: `--socket`, `$THAW_SOCKET`, the configured one, or the system service's where only it exists."""
    if asked is not None:
        return asked
    if environ.get("THAW_SOCKET"):
        return Path(environ["THAW_SOCKET"])
    system = SYSTEM_RUNTIME_DIRECTORY / SOCKET_NAME
    if not config.socket.exists() and system.exists():
        return system
    return config.socket


def check_socket(path: Path) -> None:
    """Connect once. Raises `DaemonUnreachable` with the reason that connecting fails, `SocketForbidden` for rights."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM}:
                raise SocketForbidden(
                    f"You may not use {path}",
                    hint="Join its group and log in again: sudo usermod -aG thawd $USER",
                ) from error
            reason = {
                errno.ENOENT: f"The daemon is not running (no socket {path})",
                errno.ECONNREFUSED: f"The daemon is not running (nobody listens on {path})",
            }.get(error.errno or 0, f"The daemon does not answer on {path}: {error}")
            raise DaemonUnreachable(reason, hint="Start it: thaw daemon") from error


@frozen(kw_only=True)
class Invocation:
    """The answer to one invocation."""

    status: int
    payload: bytes
    function_error: str | None
    executed_version: str | None
    log_tail: bytes | None
    """Last 4 KB of the log, base64 as Lambda sends it."""


@define(eq=False)
class Client:
    """Lambda's API as far as the command line uses it. A context manager: entering it finds out whether anyone listens.

    Entering and every method raise `DaemonUnreachable` when no daemon answers; methods raise `DaemonRefused` when the daemon refuses.
    """

    socket: Path
    _http: httpx.Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._http = httpx.Client(
            # No TLS on a Unix socket: loading the certificates that `verify` wants takes 100 ms.
            transport=httpx.HTTPTransport(uds=os.fspath(self.socket), verify=False),
            trust_env=False,  # $HTTP_PROXY does not lead here
            base_url="http://thawd",
            # A function may run 15 minutes: only connecting has a deadline.
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            headers={"user-agent": f"thaw/{__version__}"},
        )

    def __enter__(self) -> Self:
        # A connection of its own tells why there is none; httpx drops errno (and leaves the socket to the collector).
        check_socket(self.socket)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # Functions ------------------------------------------------------------------------------------------------------

    def create_function(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """CreateFunction."""
        return self._json("POST", FUNCTIONS, body=body)

    def get_function(self, name: str, qualifier: str | None = None) -> dict[str, Any]:
        """GetFunction."""
        return self._json("GET", _function(name), query=_qualifier(qualifier))

    def get_configuration(self, name: str, qualifier: str | None = None) -> dict[str, Any]:
        """GetFunctionConfiguration."""
        return self._json("GET", _function(name, "configuration"), query=_qualifier(qualifier))

    def list_functions(self) -> list[dict[str, Any]]:
        """ListFunctions, all pages."""
        return self._pages(FUNCTIONS, "Functions")

    def update_code(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateFunctionCode."""
        return self._json("PUT", _function(name, "code"), body=body)

    def update_configuration(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateFunctionConfiguration."""
        return self._json("PUT", _function(name, "configuration"), body=body)

    def delete_function(self, name: str, qualifier: str | None = None) -> None:
        """DeleteFunction: one version with a qualifier, else all of it."""
        self._request("DELETE", _function(name), query=_qualifier(qualifier))

    def publish_version(self, name: str, description: str | None = None) -> dict[str, Any]:
        """PublishVersion."""
        body = {} if description is None else {"Description": description}
        return self._json("POST", _function(name, "versions"), body=body)

    def list_versions(self, name: str) -> list[dict[str, Any]]:
        """ListVersionsByFunction, all pages."""
        return self._pages(_function(name, "versions"), "Versions")

    def invoke(
        self,
        name: str,
        qualifier: str | None,
        payload: bytes,
        *,
        tail: bool = False,
        dry_run: bool = False,
    ) -> Invocation:
        """Invoke, and wait for the response."""
        answer = self._request(
            "POST",
            _function(name, "invocations"),
            query=_qualifier(qualifier),
            content=payload,
            headers={
                "X-Amz-Invocation-Type": "DryRun" if dry_run else "RequestResponse",
                "X-Amz-Log-Type": "Tail" if tail else "None",
            },
        )
        log = answer.headers.get("X-Amz-Log-Result")
        return Invocation(
            status=answer.status_code,
            payload=answer.content,
            function_error=answer.headers.get("X-Amz-Function-Error"),
            executed_version=answer.headers.get("X-Amz-Executed-Version"),
            log_tail=log.encode() if log is not None else None,
        )

    # thawd's own -----------------------------------------------------------------------------------------------------

    def logs(
        self, name: str, *, version: str | None = None, lines: int = 100, follow: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Log lines of a function, oldest first: `timestamp`, `stream`, `message`. With `follow` it never ends."""
        query = {"lines": str(lines), "follow": "true" if follow else "false"}
        if version is not None:
            query["version"] = version
        path = f"/thaw/v1/functions/{quote(name, safe='')}/logs"
        with (
            self._borders(),
            self._http.stream("GET", path, params=query) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise _refusal(answer)
            for line in answer.iter_lines():
                if line.strip():
                    yield json.loads(line)

    def health(self) -> dict[str, Any]:
        """The daemon's own account of itself."""
        return self._json("GET", "/thaw/v1/health")

    def statistics(self) -> dict[str, Any]:
        """Figures of every part of the daemon."""
        return self._json("GET", "/thaw/v1/statistics")

    def recent_log(self) -> list[dict[str, Any]]:
        """The last events of the daemon's own log, as far as a stranger may see them."""
        events: list[dict[str, Any]] = self._json("GET", "/thaw/v1/log")["events"]
        return events

    def start(
        self, name: str, qualifier: str | None, how: str, events: list[str], *, pings: int = 0
    ) -> dict[str, Any]:
        """Start one environment in the given way (cold, base, restore), hand it events, discard it."""
        path = f"/thaw/v1/functions/{quote(name, safe='')}/starts"
        body = {"how": how, "events": events, "pings": pings}
        return self._json("POST", path, query=_qualifier(qualifier), body=body)

    def clones(
        self,
        name: str,
        qualifier: str | None,
        events: list[str],
        *,
        kernel_cloned: bool = False,
        fixers_off: bool = False,
    ) -> dict[str, Any]:
        """A clone test: two cold starts, two clones of each, the same events. What `thaw_check.clones.exchange` reads."""
        path = f"/thaw/v1/functions/{quote(name, safe='')}/clones"
        body = {"events": events, "kernel_cloned": kernel_cloned, "fixers_off": fixers_off}
        return self._json("POST", path, query=_qualifier(qualifier), body=body)

    def upload_code(self, path: Path) -> str:
        """Send a zip as it is; returns its CodeSha256, the `S3Key` that CreateFunction and UpdateFunctionCode take."""
        headers = {"content-type": "application/zip", "content-length": str(path.stat().st_size)}
        with path.open("rb") as file:
            pieces = iter(partial(file.read, _PIECE), b"")
            answer = self._request("POST", "/thaw/v1/code", content=pieces, headers=headers)
        return str(answer.json()["CodeSha256"])

    def code(self, name: str, qualifier: str | None = None) -> bytes:
        """The zip of a version's code."""
        path = f"/thaw/v1/functions/{quote(name, safe='')}/code"
        return self._request("GET", path, query=_qualifier(qualifier)).content

    # Requests --------------------------------------------------------------------------------------------------------

    def _json(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        content = json.dumps(body).encode() if body is not None else None
        answer = self._request(method, path, query=query, content=content)
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise DaemonRefused(
                answer.status_code,
                "",
                f"{self.socket} answered {method} {path} with something else than JSON",
            )
        return value

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        with self._borders():
            answer = self._http.request(
                method,
                path,
                params=query,
                content=content,
                headers={"content-type": "application/json", **(headers or {})},
            )
        if answer.is_error:
            raise _refusal(answer)
        return answer

    def _pages(self, path: str, member: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        marker: str | None = None
        while True:
            page = self._json("GET", path, query={"Marker": marker} if marker else None)
            items += page.get(member) or []
            marker = page.get("NextMarker")
            if not marker:
                return items

    @contextmanager
    def _borders(self) -> Iterator[None]:
        """Turn httpx's errors into ours, here and nowhere else."""
        try:
            yield
        except httpx.ConnectError as error:
            raise DaemonUnreachable(
                f"The daemon does not answer on {self.socket}", hint="Try again: it is starting"
            ) from error
        except httpx.ConnectTimeout as error:
            raise DaemonUnreachable(
                f"The daemon does not answer on {self.socket} within {CONNECT_TIMEOUT_S:g} s",
                hint="It hangs or is overloaded: see its log (journalctl -u thawd)",
            ) from error
        except httpx.TransportError as error:
            raise DaemonUnreachable(
                f"The daemon ended the connection on {self.socket} ({error or type(error).__name__})",
                hint="See its log (journalctl -u thawd)",
            ) from error


def _function(name: str, *parts: str) -> str:
    return "/".join((FUNCTIONS, quote(name, safe=""), *parts))


def _qualifier(qualifier: str | None) -> dict[str, str] | None:
    return None if qualifier is None else {"Qualifier": qualifier}


def _refusal(answer: httpx.Response) -> DaemonRefused:
    """Lambda's error answer: the code in a header, the message in `message` or `Message`."""
    code = answer.headers.get("x-amzn-ErrorType", "").split(":")[0]
    try:
        body = answer.json()
    except ValueError:
        body = None
    message = ""
    if isinstance(body, dict):
        message = body.get("message") or body.get("Message") or ""
        code = code or str(body.get("__type") or body.get("code") or "")
    return DaemonRefused(
        answer.status_code, code, message or f"HTTP {answer.status_code} {code}".strip()
    )
