"""Errors leave nurseries as they are."""

import pytest
import trio
import trio.testing

from thawd.nurseries import helpers, together


class ToolError(Exception):
    pass


async def test_the_bodys_error_leaves_alone_and_the_helpers_end():
    ended = []

    async def help_out():
        try:
            await trio.sleep_forever()
        finally:
            ended.append("helper")

    async def body():
        async with helpers() as nursery:
            nursery.start_soon(help_out)
            await trio.testing.wait_all_tasks_blocked()
            raise ToolError

    with pytest.raises(ToolError) as caught:
        await body()

    assert caught.value.__context__ is None
    assert ended == ["helper"]


async def test_a_helpers_own_failure_is_not_hidden():
    async def fails():
        raise KeyError("helper")

    with pytest.RaisesGroup(KeyError, ToolError):
        async with helpers() as nursery:
            nursery.start_soon(fails)
            try:
                await trio.sleep_forever()
            finally:
                raise ToolError


async def test_a_cancelled_body_is_no_error():
    with trio.move_on_after(0) as scope:
        async with helpers():
            await trio.sleep_forever()

    assert scope.cancelled_caught


async def test_the_first_failure_ends_the_others_and_comes_alone():
    ended = []

    async def long():
        try:
            await trio.sleep_forever()
        finally:
            ended.append("long")

    async def fails():
        await trio.testing.wait_all_tasks_blocked()
        raise ToolError("no mirror")

    with pytest.raises(ToolError, match="no mirror"):
        await together(long, fails, failure=ToolError)

    assert ["long"] == ended


async def test_a_fault_of_ours_is_not_taken_for_the_expected_failure():
    async def fault():
        raise KeyError("ours")

    with pytest.raises(ExceptionGroup) as caught:
        await together(fault, failure=ToolError)

    assert isinstance(caught.value.exceptions[0], KeyError)
