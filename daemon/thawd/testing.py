"""A whole daemon without machines, for tests of it and of what talks to it. Shipped to users, like `trio.testing`.

Everything is real but the VMM and the guest: catalog, publisher, fleet, invoker, collector, HTTP on a Unix socket. What
the functions do is a `FakeFunction`'s to say, or their own Python code's, run in this process (`PythonFunction`)::

    async with running_daemon(tmp_path, FakeFunction(log=("hello",))) as daemon:
        await daemon.create("f")
        assert (await daemon.publish("f"))["State"] == "Active"
        assert (await daemon.invoke("f:1", b"[1]")).content == b"[1]"
"""

from __future__ import annotations

import base64
import io
import json
import os
import traceback
import types
import zipfile
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import httpx
import trio
from attrs import define, field, frozen

from thawd import daemon, runtimes
from thawd.config import Config, TcpAddress, from_mapping
from thawd.engines.testing import FakeEngine
from thawd.errors import ImageError
from thawd.guest.testing import FakeFunction, GuestMachine, HandlerError, InitError, Say
from thawd.images.store import Image, ImageStore
from thawd.nurseries import helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from thaw_agent import wire
    from thawd.api.core import Core
    from thawd.config import Address
    from thawd.engines.machine import Engine
    from thawd.runtimes import Runtime

FUNCTIONS: Final = "/2015-03-31/functions"
ECHO: Final = "def handler(event, context):\n    return event\n"
ROLE: Final = "arn:aws:iam::000000000000:role/any"
_POLL_S: Final = 0.05
_POLL_MOST_S: Final = 1.0


async def _in_place(call: Any, *arguments: Any, **_: Any) -> Any:
    await trio.lowlevel.checkpoint()
    return call(*arguments)


@contextmanager
def without_threads() -> Iterator[None]:
    """What takes a worker thread elsewhere is done in place: an autojump clock would not wait for one."""
    with patch.object(trio.to_thread, "run_sync", _in_place):
        yield


def zipped(source: str = ECHO, name: str = "app.py") -> bytes:
    """A deployment package of one module; the same bytes for the same source."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), source)
    return buffer.getvalue()


@define
class FakeImages(ImageStore):
    """An image store with an image of each of these runtimes, none of which could be booted."""

    directory: Path = Path("images")
    runtimes: tuple[str, ...] = field(factory=lambda: (runtimes.default().id,))
    digest: str = "0" * 64
    _languages: dict[str, Runtime] = field(init=False, factory=dict)
    """Read once: a start of a machine asks several times."""

    def list(self) -> list[Image]:
        """See `ImageStore`."""
        return [self.find(runtime) for runtime in self.runtimes]

    def find(self, runtime: str) -> Image:
        """See `ImageStore`."""
        if runtime not in self.runtimes:
            raise ImageError(f"no image for runtime {runtime}")
        language = self._languages.get(runtime)
        if language is None:
            language = self._languages[runtime] = runtimes.find(runtime)
        return Image(
            runtime=runtime,
            digest=self.digest,
            sources=self.digest,
            log_name=language.log_name,
            must_report=language.must_report,
            kernel=self.directory / "vmlinux",
            initrd=self.directory / "initrd",
            root=self.directory / "root.erofs",
            kernel_version="6.0",
            language_version="1.0",
            packages={},
            origin="",
            size_bytes=1,
            built_at=0.0,
        )


@define(eq=False)
class PythonFunction(FakeFunction):
    """Functions that are what their code says: the module in their zip, imported and called in this process.

    For trusted code of one module. It is imported anew for the init and for each invocation, so it keeps nothing.
    """

    async def initialise(self, request: wire.Init, machine: GuestMachine) -> None:
        """Import the module. Raises `InitError` with what it raises."""
        await super().initialise(request, machine)
        machine.memory["handler"] = request.handler
        machine.memory["version"] = request.function_version
        try:
            _load(machine)
        except Exception as error:
            raise InitError(type(error).__name__, str(error)) from error

    async def respond(
        self, event: bytes, request: wire.Invoke, machine: GuestMachine, say: Say
    ) -> bytes:
        """Call the handler; what it prints are lines of the log. Raises `HandlerError` with what it raises."""
        context = types.SimpleNamespace(
            aws_request_id=request.request_id,
            function_version=machine.memory["version"],
            invoked_function_arn=request.function_arn,
        )
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                answer = _load(machine)(json.loads(event), context)
            return json.dumps(answer).encode()
        except Exception as error:
            raise HandlerError(
                str(error),
                error_type=type(error).__name__,
                more={
                    "requestId": request.request_id,
                    "stackTrace": traceback.format_tb(error.__traceback__),
                },
            ) from error
        finally:
            for line in printed.getvalue().splitlines():
                await say(line)


def _load(machine: GuestMachine) -> Any:
    """The handler of the code that a machine was started with."""
    name, _, handler = str(machine.memory["handler"]).rpartition(".")
    # The bundle store keeps it beside the disk.
    with zipfile.ZipFile(machine.code.with_suffix(".zip")) as archive:
        if f"{name}.py" not in archive.namelist():
            raise ModuleNotFoundError(f"No module named {name!r}")
        module = types.ModuleType(name)
        exec(archive.read(f"{name}.py"), module.__dict__)  # noqa: S102 - the test's own function
    return getattr(module, handler)


@frozen(kw_only=True)
class RunningDaemon:
    """A daemon that serves, and a client of it."""

    config: Config
    core: Core
    """Its parts."""
    addresses: tuple[Address, ...]
    engine: FakeEngine
    function: FakeFunction
    client: httpx.AsyncClient
    _scope: trio.CancelScope

    @property
    def url(self) -> str:
        """Of its first TCP address."""
        [address, *_] = [one for one in self.addresses if isinstance(one, TcpAddress)]
        return f"http://{address.host}:{address.port}"

    def stop(self) -> None:
        """Stop it as SIGTERM does. The scope of `running_daemon` ends it too, and waits."""
        self._scope.cancel()

    async def create(self, name: str, source: str = ECHO, **members: Any) -> dict[str, Any]:
        """Create a function with SnapStart on."""
        body = {
            "FunctionName": name,
            "Runtime": runtimes.default().id,
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": base64.b64encode(zipped(source)).decode()},
            "SnapStart": {"ApplyOn": "PublishedVersions"},
            **members,
        }
        return _body(await self.client.post(FUNCTIONS, json=body))

    async def update_code(self, name: str, source: str) -> dict[str, Any]:
        """Give a function other code."""
        body = {"ZipFile": base64.b64encode(zipped(source)).decode()}
        return _body(await self.client.put(f"{FUNCTIONS}/{name}/code", json=body))

    async def publish(self, name: str) -> dict[str, Any]:
        """Publish a version and wait until it is no longer Pending; its configuration then."""
        answer = await self.client.post(f"{FUNCTIONS}/{name}/versions", json={})
        return await self.settled(name, _body(answer)["Version"])

    async def configuration(self, name: str, version: str = "$LATEST") -> dict[str, Any]:
        """A version's configuration."""
        path = f"{FUNCTIONS}/{name}/configuration"
        return _body(await self.client.get(path, params={"Qualifier": version}))

    async def settled(self, name: str, version: str) -> dict[str, Any]:
        """A version's configuration once it is no longer Pending."""
        # As a client does, who has no other way.
        wait_s = _POLL_S
        while (now := await self.configuration(name, version))["State"] == "Pending":
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, _POLL_MOST_S)
        return now

    async def invoke(self, name: str, event: bytes = b"{}") -> httpx.Response:
        """Invoke a function, or a version (`name:1`)."""
        return await self.client.post(f"{FUNCTIONS}/{name}/invocations", content=event)

    async def delete(self, name: str, version: str | None = None) -> None:
        """Delete a function, or one version of it."""
        query = {} if version is None else {"Qualifier": version}
        answer = await self.client.delete(f"{FUNCTIONS}/{name}", params=query)
        answer.raise_for_status()


def _body(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise AssertionError(f"HTTP {answer.status_code}: {answer.text}")
    body: dict[str, Any] = answer.json()
    return body


@asynccontextmanager
async def running_daemon(
    directory: Path,
    function: FakeFunction | None = None,
    *,
    engine: FakeEngine | None = None,
    images: ImageStore | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[RunningDaemon]:
    """Run the daemon's whole tree on the state directory `directory`; at the end it drains and stops.

    `settings` are those of thawd.toml. The engine's guest is `function`'s unless an `engine` is given. Raises what
    `daemon.run` raises when it cannot start.
    """
    function = FakeFunction() if function is None else function
    chosen = FakeEngine(guest=function.guest) if engine is None else engine
    store = FakeImages() if images is None else images

    async def select(**_: object) -> Engine:
        await trio.lowlevel.checkpoint()
        return chosen

    with TemporaryDirectory(
        prefix="thawd-"
    ) as runtime:  # a test's own folder is often too long for a socket
        config = from_mapping(
            {
                "state_directory": os.fspath(directory),
                "runtime_directory": runtime,
                **(settings or {}),
            },
            {},
        )
        scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[daemon.Serving]) -> None:
            with scope:
                await daemon.run(
                    config, select=select, open_images=lambda _: store, task_status=task_status
                )

        async with (
            helpers() as nursery,
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=os.fspath(config.socket), verify=False),
                base_url="http://thawd",
                timeout=httpx.Timeout(None),
            ) as client,
        ):
            try:
                serving: daemon.Serving = await nursery.start(run)
            except BaseExceptionGroup as group:
                raise _alone(group) from None
            yield RunningDaemon(
                config=config,
                core=serving.core,
                addresses=serving.addresses,
                engine=chosen,
                function=function,
                client=client,
                scope=scope,
            )
    assert chosen.machines == [], "a machine outlived its daemon"  # noqa: S101 - shipped, and still a test's


def _alone(error: BaseException) -> BaseException:
    """The only error in groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error
