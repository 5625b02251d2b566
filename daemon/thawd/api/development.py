"""thawd's own operations for developers: a function's log, a start taken apart, clones side by side."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import asdict, define

from thaw_check.clones import exchange
from thawd.clonetest.observe import observe_clones
from thawd.environments.limits import StartTimeout
from thawd.environments.start import How
from thawd.environments.trial import Trial, try_start
from thawd.guest.failures import InitFailure, RestoreFailure, RuntimeExited
from thawd.http import Request, Response
from thawd.invoke.refusal import refusal_of

from .context import Api, answer, members_of
from .errors import ApiError, invalid_parameter, not_run
from .function_names import QUALIFIER_PATTERN, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from thawd.catalog.models import FunctionVersion
    from thawd.http import Router

_MOST_LINES: Final = 10_000
_MOST_EVENTS: Final = 100
_MOST_PINGS: Final = 10_000


@define(eq=False)
class Development:
    """thawd's own operations on functions."""

    _api: Api

    def route(self, router: Router) -> None:
        """Add the operations to a router."""
        router.add("GET", "/thaw/v1/functions/{name}/logs", self.logs)
        router.add("POST", "/thaw/v1/functions/{name}/starts", self.starts)
        router.add("POST", "/thaw/v1/functions/{name}/clones", self.clones)

    async def logs(self, request: Request) -> Response:
        """Log lines as newline-delimited JSON, oldest first; `?version=`, `?lines=100`, `?follow=true`.

        Without a version: of the newest published one, or of `$LATEST` when none was published.
        """
        qualifier = request.query_value("version") or request.query_value("Qualifier")
        if qualifier is not None and not re.fullmatch(QUALIFIER_PATTERN, qualifier):
            raise invalid_parameter("version is not a version's number, $LATEST or an alias")
        ref = parse(request.params["name"], qualifier, self._api.arns)
        if ref.qualifier is None:
            self._api.core.catalog.function(ref.name)
            version = self._api.core.catalog.versions(ref.name)[-1].version
        else:
            version = self._api.version(ref).version
        text = request.query_value("lines") or "100"
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > _MOST_LINES:
            raise invalid_parameter(f"lines is not a number from 0 to {_MOST_LINES}: {text[:100]}")
        follow = request.query_value("follow") == "true"
        headers = [("Content-Type", "application/x-ndjson")]
        lines = self._lines(ref.name, version, int(text), follow=follow)
        return Response(200, lines, headers, endless=follow)

    async def _lines(
        self, name: str, version: str, lines: int, *, follow: bool
    ) -> AsyncIterator[bytes]:
        book = self._api.core.logs
        with book.follow(name, version) as news:
            for line in book.tail(name, version, lines):
                yield line.encode() + b"\n"
            if follow:
                async for line in news:
                    yield line.encode() + b"\n"

    async def starts(self, request: Request) -> Response:
        """Start one environment in a given way, hand it events, discard it, and say how long each step took.

        Body: `{"how": "cold" | "base" | "restore", "events": ["<JSON>", ...], "pings": 0}`. Times in the answer are in the unit
        their name ends in.
        """
        body = await members_of(request, limit=1 << 20)
        how = body.text("how", accepted=tuple(How)) or How.RESTORE
        events = body.strings("events") or ["{}"]
        pings = body.integer("pings", low=0, high=_MOST_PINGS) or 0
        body.violations.check()
        _check_count(events)
        ref = self._api.ref(request)
        version = self._api.version(ref)
        core = self._api.core
        bodies = [event.encode() for event in events]
        async with core.fleet.room(f"a trial of {version.function_name}:{version.version}"):
            with self._as_refusals(version):
                trial = await try_start(core.host, version, How(how), bodies, pings=pings)
        return answer(_shape(trial))

    async def clones(self, request: Request) -> Response:
        """A clone test: two cold starts of a version, two clones of each, the same events to all; what they did.

        Body: `{"events": ["<JSON>", ...], "kernel_cloned": false, "fixers_off": false}`. The answer is
        `thaw_check.clones.Observed`; nothing in it is judged. Works with `$LATEST` too: the snapshots are its own.
        """
        body = await members_of(request, limit=1 << 20)
        texts = body.strings("events") or ["{}"]
        kernel_cloned = body.boolean("kernel_cloned")
        fixers_off = body.boolean("fixers_off")
        body.violations.check()
        _check_count(texts)
        try:
            events = [json.loads(text) for text in texts]
        except (ValueError, RecursionError) as error:
            raise invalid_parameter(f"an event is not JSON: {error}") from None
        version = self._api.version(self._api.ref(request))
        core = self._api.core
        async with core.fleet.room(f"a check of {version.function_name}:{version.version}"):
            observed = await observe_clones(
                core.host, version, events, kernel_cloned=kernel_cloned, fixers_off=fixers_off
            )
        return answer(exchange.as_json(observed))

    @contextmanager
    def _as_refusals(self, version: FunctionVersion) -> Iterator[None]:
        """Turn what a start outside of the pools raises into the error its client gets."""
        try:
            yield
        except InitFailure as failure:
            raise ApiError(
                "InvalidRuntimeException", 502, failure.body or str(failure)
            ) from failure
        except (StartTimeout, RestoreFailure, RuntimeExited) as error:
            arn = self._api.arns.arn(version.function_name, version.version)
            raise not_run(refusal_of(error, version), arn) from error
        except trio.TooSlowError as error:
            message = f"The function did not answer within its Timeout of {version.timeout_s} s"
            raise ApiError("ServiceException", 500, message) from error


def _check_count(events: list[str]) -> None:
    if len(events) > _MOST_EVENTS:
        raise invalid_parameter(f"events has more than {_MOST_EVENTS} members")


def _shape(trial: Trial) -> dict[str, Any]:
    shape = asdict(trial)
    for item in shape["answers"]:
        item["payload"] = item["payload"].decode(errors="replace")
    shape["start"]["billed_ms"] = trial.start.billed_ms
    return shape
