"""What the API needs of the daemon: the catalog, and four small interfaces that publish/ and invoke/ implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from thawd.catalog.models import Code, FunctionVersion
    from thawd.catalog.store import Catalog
    from thawd.environments.trial import Trial
    from thawd.invoke.model import Invocation, Outcome
    from thawd.logs.book import LogBook


class Bundle(Protocol):
    """A deployment package that was checked and stored."""

    @property
    def code_sha256_base64(self) -> str:
        """The zip's SHA-256, base64: Lambda's `CodeSha256`."""

    @property
    def zip_size(self) -> int:
        """The zip's bytes."""


class Bundles(Protocol):
    """Stores deployment packages."""

    async def add(self, data: bytes, /) -> Bundle:
        """Check a zip and store it with the disk image made of it. Raises `BundleError`."""


class Publisher(Protocol):
    """Makes snapshots of versions."""

    def publish(self, version: FunctionVersion, /) -> None:
        """Begin to take a Pending version to Active or Failed, in the background."""

    async def forget(self, function_name: str, version: str | None = None, /) -> None:
        """End what runs of a deleted function, or of one version of it, and free its snapshots."""


class Invoker(Protocol):
    """Runs invocations."""

    async def invoke(self, invocation: Invocation, /) -> Outcome:
        """Run one. Raises `InvokeRefused`."""


class TryStart(Protocol):
    """Starts one environment, hands it events, discards it."""

    async def __call__(
        self, version: FunctionVersion, how: str, events: list[bytes], pings: int, /
    ) -> Trial:
        """Raises `InvokeRefused` for a start that failed."""


class ObserveClones(Protocol):
    """Runs a clone test."""

    async def __call__(
        self,
        version: FunctionVersion,
        events: list[Any],
        /,
        *,
        kernel_cloned: bool,
        fixers_off: bool,
    ) -> dict[str, Any]:
        """Two cold starts, two clones of each, the same events; what they did, as JSON's types. Raises `ThawError`."""


@frozen(kw_only=True)
class Core:
    """The daemon behind the API."""

    catalog: Catalog
    bundles: Bundles
    logs: LogBook
    try_start: TryStart
    """One start in a given way (`cold`, `base`, `restore`), taken apart."""
    observe_clones: ObserveClones
    find_zip: Callable[[Code], Path]
    """Where the zip of a version's code lies."""
    publisher: Publisher
    invoker: Invoker
    runtimes: Callable[[], tuple[str, ...]]
    """The runtimes there are images for, at this moment."""
    given_up: Callable[[], None] = lambda: None
    """Called when code or a version was given up: something may be freed."""
    region: str = "us-east-1"
    account_id: str = "000000000000"
    architectures: tuple[str, ...] = ("x86_64",)
    health: Callable[[], Mapping[str, Any]] = field(default=dict)
    """More about the daemon for `GET /thaw/v1/health`: engine, version."""
    statistics: Callable[[], Mapping[str, Any]] = field(default=dict)
    """The parts' statistics (attrs objects or plain values) by name for `GET /thaw/v1/statistics`."""
