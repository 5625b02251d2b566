"""Nurseries whose errors leave as they are: a caller tells failures apart by class, and a group would hide them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@asynccontextmanager
async def helpers() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose tasks only serve the body: they are cancelled when it ends.

    An error of the body leaves as it is. A plain nursery would put it into an exception group, and every user of a machine
    would have to unpack it, only because the machine has tasks. When a helper fails as well, nothing is hidden: the group
    is raised.
    """
    body: BaseException | None = None
    alone = False
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                body = error
                raise
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        alone = group.exceptions == (body,)
        if not alone:
            raise
    if alone and body is not None:
        # Outside the except clause, so that the group does not become the error's context.
        raise body


async def together(*works: Callable[[], Awaitable[None]], failure: type[Exception]) -> None:
    """Do these at once. The first `failure` ends the others and is raised as itself; any other error is in a group."""
    first: Exception | None = None

    async def one(work: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        nonlocal first
        try:
            await work()
        except failure as error:
            first = first or error
            scope.cancel()

    async with trio.open_nursery() as nursery:
        for work in works:
            nursery.start_soon(one, work, nursery.cancel_scope)
    if first is not None:
        raise first
