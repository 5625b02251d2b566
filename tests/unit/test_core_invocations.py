"""Publish, restore and invoke on a fake engine: every way a start or an invocation ends, as Lambda ends it."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import evolve
from core import Core, invocation, running_core, version
from trio.testing import wait_all_tasks_blocked

from thaw_agent import wire
from thawd.catalog.models import LATEST, ApplyOn, Code, State
from thawd.environments.identity import Identity
from thawd.environments.init import init_request
from thawd.guest.session import SIGN_OF_LIFE_S
from thawd.guest.testing import AgentFails, Exit, FakeFunction, HandlerError
from thawd.invoke.outcome import NotRun, Outcome, Reason
from thawd.snapshots.base import guest_memory_mib

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from thawd.engines.testing import FakeMachine


async def publish(core: Core) -> None:
    await core.publisher.make_snapshot(version())


async def prepare(core: Core) -> None:
    """Make the base snapshot: digests are computed in a thread, during which the test's clock would jump."""
    await core.host.bases.ensure("python3.13", guest_memory_mib(128, 512))


async def settled() -> None:
    """Digests are computed in threads, which the autojump clock does not wait for."""
    await wait_all_tasks_blocked()


async def test_a_published_version_is_restored_and_its_log_reads_like_lambdas(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, FakeFunction(log=("hello",))) as core:
        await publish(core)
        outcome = await core.invoker.invoke(invocation(version(), b'{"a":1}'))
        await settled()

        assert (outcome.payload, outcome.function_error, outcome.executed_version) == (
            b'{"a":1}',
            None,
            "1",
        )
        lines = core.messages()
    kinds = [line.split(" ", 1)[0] for line in lines]
    assert kinds == [
        "INIT_START",
        "INIT_REPORT",
        "RESTORE_START",
        "RESTORE_REPORT",
        "START",
        "hello",
        "END",
        "REPORT",
    ]
    assert "Restore Duration" in lines[-1]
    assert "Billed Duration: 4 ms" in lines[-1]  # ceil(1.234) + ceil(1.5)


async def test_the_second_invocation_reuses_the_machine_and_reports_no_restore(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path) as core:
        await publish(core)
        for _ in range(3):
            await core.invoker.invoke(invocation(version()))
            await settled()

        assert len(core.function.restores) == 1
        assert "Restore Duration" not in core.messages()[-1]


async def test_clones_get_identities_of_their_own(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """Entropy, host name, machine id, boot id, generation and credentials differ in each restore."""
    async with running_core(tmp_path) as core:
        await publish(core)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(core.invoker.invoke, invocation(version()))
        restores = core.function.restores

    assert len(restores) >= 2
    for name in ("entropy", "hostname", "machine_id", "boot_id", "generation"):
        assert len({getattr(restore, name) for restore in restores}) == len(restores)
    keys = {(restore.credentials or {})["AccessKeyId"] for restore in restores}
    assert len(keys) == len(restores)


async def test_latest_starts_from_the_base_snapshot_with_an_init(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path) as core:
        await prepare(core)
        latest = version(LATEST)
        await core.invoker.invoke(invocation(latest))
        await settled()

        assert core.function.inits == 1
        assert core.function.restores == []
        assert "Init Duration: 1.00 ms" in core.messages(LATEST)[-1]


async def test_d1_an_endless_init_ends_as_a_timeout_never_as_throttling(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """Even when that takes longer than an invocation waits for a machine."""
    async with running_core(tmp_path, FakeFunction(init_s=math.inf), capacity_wait_s=1) as core:
        await prepare(core)
        began = trio.current_time()
        outcome = await core.invoker.invoke(invocation(version(LATEST, timeout_s=5)))
        await settled()
        lines = core.messages(LATEST)

    assert outcome.function_error == "Unhandled"
    error = json.loads(outcome.payload)
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith(" Error: Task timed out after 5.00 seconds")
    assert trio.current_time() - began == pytest.approx(15, abs=0.5)
    assert [line.split("\t", 1)[1] for line in lines if line.startswith("INIT_REPORT")] == [
        "Phase: init\tStatus: timeout",
        "Phase: invoke\tStatus: timeout",
    ]
    assert lines[-1].endswith("Status: timeout")


async def test_d2_an_init_over_its_limit_begins_anew_under_the_functions_timeout(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """Its time is the invocation's: of the time-out, of the deadline, and of the duration that is reported."""
    seen: list[wire.Invoke] = []

    async def look(_event: bytes, request: wire.Invoke, _memory: object) -> bytes:
        seen.append(request)
        return b"{}"

    function = FakeFunction(handler=look, init_s=20)
    async with running_core(tmp_path, function) as core:
        await prepare(core)
        outcome = await core.invoker.invoke(invocation(version(LATEST, timeout_s=30)))
        await settled()
        assert outcome.function_error is None
        assert core.function.inits == 2
        assert abs(seen[0].deadline_ms - seen[0].clock_ns // 1_000_000 - 10_000) < 1000
        assert re.search(r"\tDuration: 2\d{4}\.\d\d ms", core.messages(LATEST)[-1])
        assert "Init Duration" not in core.messages(LATEST)[-1]
        # Initialised by now: the machine serves as any other.
        await core.invoker.invoke(invocation(version(LATEST, timeout_s=30)))
        assert core.function.inits == 2


async def test_an_init_that_fails_when_it_begins_anew_is_the_functions_error(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    function = FakeFunction(init_s=12, init_error="ImportError")
    async with running_core(tmp_path, function) as core:
        await prepare(core)
        outcome = await core.invoker.invoke(invocation(version(LATEST, timeout_s=30)))
        await settled()
        lines = core.messages(LATEST)

    assert json.loads(outcome.payload)["errorType"] == "ImportError"
    assert "Phase: invoke\tStatus: error" in lines[-3]
    assert lines[-1].endswith("Status: error\tError Type: Runtime.Unknown")


async def test_tail_returns_the_whole_log_of_the_invocation(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, FakeFunction(log=("one", "two"))) as core:
        await publish(core)
        outcome = await core.invoker.invoke(invocation(version(), tail=True))

    lines = outcome.log_tail.decode().splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == ["START", "one", "two", "END", "REPORT"]


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("after", ["exit", "fault", "silence", "lost"])
async def test_a_response_is_the_answer_whatever_comes_after_it(
    tmp_path: Path, autojump_clock: trio.abc.Clock, after: str, *, tail: bool
) -> None:
    """With and without the log's end: how an invocation is watched does not change its result."""
    async with running_core(tmp_path, FakeFunction(after=after, log=("one",))) as core:
        await publish(core)
        outcome = await core.invoker.invoke(invocation(version(), b'{"a":1}', tail=tail))

        assert (outcome.payload, outcome.function_error) == (b'{"a":1}', None)
        assert (b"one" in outcome.log_tail) == tail
        with trio.fail_after(30):
            while core.fleet.statistics().pools and core.invoker.statistics().running:  # noqa: ASYNC110
                await trio.sleep(1)


async def test_an_exception_in_the_handler_keeps_the_machine(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async def fail(*_: object) -> bytes:
        raise HandlerError("no")

    async with running_core(tmp_path, FakeFunction(handler=fail)) as core:
        await publish(core)
        for _ in range(2):
            outcome = await core.invoker.invoke(invocation(version()))
            await settled()

        assert outcome.function_error == "Unhandled"
        assert json.loads(outcome.payload)["errorMessage"] == "no"
        assert len(core.function.restores) == 1


async def test_a_timeout_kills_the_machine(tmp_path: Path, autojump_clock: trio.abc.Clock) -> None:
    async def hang(*_: object) -> bytes:
        await trio.sleep(math.inf)
        return b""

    async with running_core(tmp_path, FakeFunction(handler=hang)) as core:
        await publish(core)
        outcome = await core.invoker.invoke(invocation(version(timeout_s=1)))
        await settled()

        assert json.loads(outcome.payload) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": "RequestId: 00000000-0000-4000-8000-000000000000 Error: Task timed out after 1.00 seconds",
        }
        assert core.fleet.statistics().machines == 0
        assert core.messages()[-1].endswith("\tStatus: timeout")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (0, "Runtime exited without providing a reason"),
        (127, "Runtime exited with error: exit status 127"),
    ],
)
async def test_an_exit_of_the_runtime_is_reported_and_retires(
    tmp_path: Path, autojump_clock: trio.abc.Clock, code: int, message: str
) -> None:
    async def leave(*_: object) -> bytes:
        raise Exit(code)

    async with running_core(tmp_path, FakeFunction(handler=leave)) as core:
        await publish(core)
        outcome = await core.invoker.invoke(invocation(version()))
        await settled()

        body = json.loads(outcome.payload)
        assert body["errorType"] == "Runtime.ExitError"
        assert body["errorMessage"].endswith(message)
        assert core.fleet.statistics().machines == 0
        assert core.messages()[-1].endswith("Status: error\tError Type: Runtime.ExitError")


async def test_a_failing_after_restore_hook_is_a_snapstart_exception(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """And the next invocation restores afresh."""
    async with running_core(
        tmp_path, FakeFunction(restore_error="Runtime.AfterRestoreError")
    ) as core:
        await publish(core)
        refusal = await core.invoker.invoke(invocation(version()))
        core.function.restore_error = ""
        outcome = await core.invoker.invoke(invocation(version()))

        assert isinstance(refusal, NotRun)
        assert refusal.reason is Reason.RESTORE_FAILED
        assert outcome.function_error is None
        assert core.messages()[3].endswith("Status: error\tError Type: Runtime.AfterRestoreError")


async def test_a_restore_over_its_limit_is_a_snapstart_timeout(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, FakeFunction(restore_s=11)) as core:
        await publish(core)
        refusal = await core.invoker.invoke(invocation(version()))

        assert isinstance(refusal, NotRun)
        assert refusal.reason is Reason.RESTORE_TIMEOUT
        assert core.messages()[-1].endswith("\tStatus: timeout")


async def test_a_failing_init_on_demand_is_the_functions_error(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, FakeFunction(init_error="Runtime.ImportModuleError")) as core:
        await prepare(core)
        outcome = await core.invoker.invoke(invocation(version(LATEST)))

    assert outcome.function_error == "Unhandled"
    assert json.loads(outcome.payload)["errorType"] == "Runtime.ImportModuleError"


async def published(core: Core, *, every_s: float = 0.01) -> None:
    while ("f", "1") not in core.states.seen:  # noqa: ASYNC110 - as a client would: by asking
        await trio.sleep(every_s)


async def test_publishing_ends_active(tmp_path: Path) -> None:
    async with running_core(tmp_path) as core:
        core.publisher.publish(version(state=State.PENDING))
        await published(core)

        assert core.states.seen["f", "1"] == (State.ACTIVE, None, None)


async def test_what_the_runtime_noticed_at_the_freeze_stands_in_the_versions_log(
    tmp_path: Path,
) -> None:
    for notes, told in ((["a\nb", 3], ["SNAPSHOT_NOTE a\nb", "SNAPSHOT_NOTE 3"]), ("no list", [])):
        function = FakeFunction(freeze_report={"fixers": [], "notes": notes})
        async with running_core(tmp_path / str(notes), function) as core:
            core.publisher.publish(version(state=State.PENDING))
            await published(core)

            assert core.messages()[2:] == told


async def test_a_failed_init_fails_the_version_with_the_true_reason(tmp_path: Path) -> None:
    async with running_core(tmp_path, FakeFunction(init_error="Runtime.ImportModuleError")) as core:
        core.publisher.publish(version(state=State.PENDING))
        await published(core)

        state, reason, code = core.states.seen["f", "1"]
        assert (state, code) == (State.FAILED, "FunctionError")
        assert reason == (
            "An error occurred during function initialization. Runtime.ImportModuleError: init went wrong"
        )
        assert core.snapshots.function_versions() == []
        assert core.messages()[-1].endswith("Status: error\tError Type: Runtime.Unknown")


async def test_an_init_over_its_limit_fails_the_version(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_core(tmp_path, FakeFunction(init_s=131)) as core:
        await prepare(core)
        core.publisher.publish(version(state=State.PENDING))
        await published(core, every_s=1)

        assert core.states.seen["f", "1"][::2] == (State.FAILED, "FunctionError.InitTimeout")


async def test_deleting_a_version_that_is_being_published_leaves_nothing(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, FakeFunction(init_s=math.inf)) as core:
        core.publisher.publish(version(state=State.PENDING))
        await trio.sleep(1)
        await core.publisher.forget("f")
        await settled()

        assert core.states.seen == {}
        assert core.engine.machines == []
        assert core.snapshots.function_versions() == []


@pytest.mark.parametrize(
    ("state", "reason"), [(State.PENDING, Reason.PENDING), (State.FAILED, Reason.FAILED)]
)
async def test_versions_that_are_not_active_refuse(
    tmp_path: Path, state: State, reason: Reason
) -> None:
    async with running_core(tmp_path) as core:
        assert await core.invoker.invoke(invocation(version(state=state))) == NotRun(reason=reason)


async def test_without_room_for_a_machine_invocations_are_throttled(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async def slow(*_: object) -> bytes:
        await trio.sleep(100)
        return b""

    async with running_core(
        tmp_path, FakeFunction(handler=slow), max_machines=1, capacity_wait_s=5
    ) as core:
        await publish(core)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.invoker.invoke, invocation(version(timeout_s=900)))
            await trio.sleep(1)
            refusal = await core.invoker.invoke(invocation(version(timeout_s=900)))

    assert isinstance(refusal, NotRun)
    assert refusal.reason is Reason.THROTTLED


async def test_a_client_that_hangs_up_does_not_end_its_invocation(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async def slow(*_: object) -> bytes:
        await trio.sleep(2)
        return b"{}"

    async with running_core(tmp_path, FakeFunction(handler=slow)) as core:
        await publish(core)
        with trio.move_on_after(1):
            await core.invoker.invoke(invocation(version()))
        await trio.sleep(2)
        await settled()

        assert core.messages()[-1].startswith("REPORT")
        assert core.fleet.statistics().pools["f:1"].idle == 1


async def test_a_machine_that_dies_while_paused_is_replaced(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path) as core:
        await publish(core)
        await core.invoker.invoke(invocation(version()))
        await trio.sleep(1)
        (machine,) = core.engine.machines
        machine.die(-9)
        outcome = await core.invoker.invoke(invocation(version()))

        assert outcome.function_error is None
        assert len(core.function.restores) == 2


async def test_idle_machines_are_paused_then_retired(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, idle_s=60) as core:
        await publish(core)
        await core.invoker.invoke(invocation(version()))
        await trio.sleep(1)
        (machine,) = core.engine.machines
        assert machine.paused
        await trio.sleep(60)
        await settled()

        assert core.engine.machines == []


async def test_ready_clones_are_kept_while_there_is_demand(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """Restored ahead, hooks run, paused; the next burst gets them without a start."""
    async with running_core(tmp_path, ready_target=2) as core:
        await publish(core)
        await core.invoker.invoke(invocation(version()))
        await trio.sleep(1)

        pool = core.fleet.statistics().pools["f:1"]
        assert (pool.ready, pool.idle) == (2, 1)
        assert all(machine.paused for machine in core.engine.machines)


async def test_new_code_of_latest_gets_new_machines(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path) as core:
        await prepare(core)
        latest = version(LATEST, snap_start=ApplyOn.NONE)
        await core.invoker.invoke(invocation(latest))
        await settled()
        new = evolve(latest, code=Code(sha256="new", size=1), revision_id="r2")
        await core.invoker.invoke(invocation(new))
        await settled()

        assert core.function.inits == 2
        assert core.fleet.statistics().machines == 1


async def test_new_words_of_latest_keep_its_machines(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path) as core:
        await prepare(core)
        latest = version(LATEST, snap_start=ApplyOn.NONE)
        await core.invoker.invoke(invocation(latest))
        await settled()
        await core.invoker.invoke(invocation(evolve(latest, description="new", revision_id="r2")))

        assert core.function.inits == 1


async def sleepy(event: bytes, *_: object) -> bytes:
    """A handler that sleeps for as many seconds as its event says."""
    await trio.sleep(float(event))
    return event


@pytest.mark.parametrize("what", ["update", "delete"])
async def test_an_update_or_a_deletion_lets_running_invocations_end(
    tmp_path: Path, autojump_clock: trio.abc.Clock, what: str
) -> None:
    async with running_core(tmp_path, FakeFunction(handler=sleepy)) as core:
        await prepare(core)
        latest = version(LATEST, snap_start=ApplyOn.NONE, timeout_s=10)
        new = evolve(latest, code=Code(sha256="new", size=1))
        outcomes: list[bytes] = []

        async def run() -> None:
            outcomes.append((await core.invoker.invoke(invocation(latest, b"5"))).payload)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.sleep(1)
            if what == "delete":
                await core.publisher.forget("f")
            else:
                await core.invoker.invoke(invocation(new, b"0"))
        await trio.sleep(1)

        assert outcomes == [b"5"]
        assert core.fleet.statistics().machines == (what == "update")
        assert core.messages(LATEST)[-1].startswith("REPORT")


async def test_an_invocation_that_waits_while_its_function_is_deleted_finds_none(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, FakeFunction(init_s=5)) as core:
        await prepare(core)

        async def run() -> None:
            refusal = await core.invoker.invoke(invocation(version(LATEST)))
            assert isinstance(refusal, NotRun)
            assert refusal.reason is Reason.DELETED

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.sleep(1)
            await core.publisher.forget("f")
            # One that was accepted before, and whose task takes its first step after the deletion.
            nursery.start_soon(run)
            await wait_all_tasks_blocked()
            await core.publisher.forget("f")


def losing(times: int, how: str = "dies") -> Callable[..., Awaitable[bool]]:
    """Lose so many machines, each before its agent has taken the event."""
    left = times

    async def lose(machine: FakeMachine, port: trio.abc.Stream) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            return False
        match how:
            case "dies":
                machine.die(-9)
            case "is silent":
                await trio.sleep_forever()
            case "exits":
                await port.send_all(wire.Exited(code=1, reason="exit status 1").encode())
            case _:
                await port.send_all(b"nonsense that is no frame")
        return True

    return lose


@pytest.mark.parametrize("how", ["dies", "is silent", "exits", "breaks the protocol"])
@pytest.mark.parametrize("timeout_s", [1, 900])
async def test_an_invocation_that_had_not_begun_goes_to_another_machine(
    tmp_path: Path, autojump_clock: trio.abc.Clock, how: str, timeout_s: int
) -> None:
    """Its client sees no error, its log has one START, and a silent agent costs seconds, not the function's Timeout."""
    async with running_core(tmp_path, FakeFunction(lose=losing(2, how))) as core:
        await publish(core)
        with trio.fail_after(2 * SIGN_OF_LIFE_S + 1):
            outcome = await core.invoker.invoke(invocation(version(timeout_s=timeout_s), b"1"))
        await settled()

        assert (outcome.payload, outcome.function_error) == (b"1", None)
        assert len(core.function.restores) == 3
        assert len(core.engine.machines) == 1
        assert [line.split()[0] for line in core.messages()].count("START") == 1


async def test_an_invocation_that_loses_every_machine_is_given_up(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path, FakeFunction(lose=losing(100))) as core:
        await publish(core)
        refusal = await core.invoker.invoke(invocation(version()))
        await settled()

        assert isinstance(refusal, NotRun)
        assert refusal.reason is Reason.SYSTEM
        assert len(core.function.restores) == 3
        assert core.engine.machines == []


@pytest.mark.parametrize("how", ["dies", "exits"])
async def test_an_invocation_that_has_begun_is_not_handed_out_again(
    tmp_path: Path, autojump_clock: trio.abc.Clock, how: str
) -> None:
    begun = 0

    async def handler(*_: object) -> bytes:
        nonlocal begun
        begun += 1
        if how == "exits":
            raise Exit(1)
        core.engine.machines[0].die(-9)
        await trio.sleep_forever()
        return b""

    async with running_core(tmp_path, FakeFunction(handler=handler)) as core:
        await publish(core)
        if how == "exits":
            outcome = await core.invoker.invoke(invocation(version()))
            assert outcome.function_error == "Unhandled"
        else:
            assert isinstance(await core.invoker.invoke(invocation(version())), NotRun)
        assert begun == 1


async def test_the_deadline_reaches_the_runtime(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    seen: list[wire.Invoke] = []

    async def look(_event: bytes, request: wire.Invoke, _memory: object) -> bytes:
        seen.append(request)
        return b"{}"

    async with running_core(tmp_path, FakeFunction(handler=look)) as core:
        await publish(core)
        await core.invoker.invoke(invocation(version(timeout_s=7)))

    (request,) = seen
    assert abs(request.deadline_ms - request.clock_ns // 1_000_000 - 7000) < 1000


async def test_a_python_version_that_nothing_protects_is_not_published(tmp_path: Path) -> None:
    """Whatever kept thaw_runtime from speaking, nothing is said of generators: fail closed. It was the function."""
    async with running_core(tmp_path, FakeFunction(protected=False)) as core:
        core.publisher.publish(version(state=State.PENDING))
        await published(core)

        state, reason, code = core.states.seen["f", "1"]
        assert (state, code) == (State.FAILED, "FunctionError")
        assert "asked for its next invocation before its init was over" in (reason or "")
        assert "clones would not be unique" in (reason or "")


async def test_an_agent_that_fails_under_a_function_is_that_functions_error(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """A client repeats a 500, which would do to the next machine what was done to this one."""

    async def flood(*_: object) -> bytes:
        raise AgentFails('OSError: too many\n  File "/usr/lib/thaw_agent/loop.py", line 7')

    async with running_core(tmp_path, FakeFunction(handler=flood)) as core:
        await publish(core)
        outcome = await core.invoker.invoke(invocation(version()))
        await settled()

        assert outcome.function_error == "Unhandled"
        error = json.loads(outcome.payload)
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith("Runtime exited without providing a reason")
        assert core.messages()[-1].endswith("Status: error\tError Type: Runtime.ExitError")
        assert core.fleet.statistics().machines == 0


@pytest.mark.parametrize(
    ("log_format", "level", "told"),
    [("Text", "", ""), ("JSON", "", "INFO"), ("JSON", "WARN", "WARN")],
)
async def test_the_runtime_is_told_below_which_level_lines_are_dropped(
    tmp_path: Path, log_format: str, level: str, told: str
) -> None:
    async with running_core(tmp_path) as core:
        of = evolve(version(), log_format=log_format, application_log_level=level)
        log = core.host.open_log(of)
        request = init_request(core.host, of, Identity(), log, initialization_type="snap-start")

    assert told == request.log_level


async def test_machines_beyond_the_memory_budget_are_not_started(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """By what they measure: 300 MiB hold three of a version whose last one had 100 MiB for itself."""

    async def slow(event: bytes, *_: object) -> bytes:
        await trio.sleep(50 if event == b"{}" else 0)
        return b"{}"

    async with running_core(tmp_path, FakeFunction(handler=slow), budget_bytes=300 << 20) as core:
        await publish(core)
        core.engine.private_bytes = 100 << 20
        await core.invoker.invoke(invocation(version(), b"1"))
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(core.invoker.invoke, invocation(version(timeout_s=900)))
                await trio.sleep(1)
            assert core.fleet.statistics().machines == 3
            nursery.cancel_scope.cancel()


async def test_a_guest_that_never_answers_fails_the_version(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """And its place is free again: an emulated processor that went astray must not hold it."""
    async with running_core(tmp_path, FakeFunction(mute=True)) as core:
        await prepare(core)
        core.publisher.publish(version(state=State.PENDING))
        await published(core, every_s=1)

        state, reason, _ = core.states.seen["f", "1"]
        assert state is State.FAILED
        assert "did not answer" in (reason or "")
        assert core.engine.machines == []


def sleeper(calls: list[bytes], seconds: float) -> FakeFunction:
    """A function that notes each event it begins with."""

    async def handler(event: bytes, *_: object) -> bytes:
        calls.append(event)
        await trio.sleep(seconds)
        return event

    return FakeFunction(handler=handler)


async def leave_after(core: Core, event: bytes, seconds: float) -> None:
    """A client that waits for its answer this long, then hangs up."""
    with trio.move_on_after(seconds):
        await core.invoker.invoke(invocation(version(timeout_s=60), event))


async def test_an_invocation_whose_client_leaves_the_queue_is_not_run(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """The machine that it waited for serves who stayed."""
    calls: list[bytes] = []
    async with running_core(tmp_path, sleeper(calls, 8), max_machines=1) as core:
        await publish(core)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_after, core, b'"first"', 100)
            await settled()
            for _ in range(20):
                nursery.start_soon(leave_after, core, b'"gone"', 1)
            nursery.start_soon(leave_after, core, b'"stays"', 100)
            await settled()
            waiting = core.invoker.statistics()
            await trio.sleep(2)
            left = core.invoker.statistics()

        assert (waiting.running, waiting.queued) == (22, 21)
        assert waiting.queued_bytes == 20 * len(b'"gone"') + len(b'"stays"')
        assert (left.running, left.queued, left.abandoned) == (2, 1, 20)
        assert calls == [b'"first"', b'"stays"']
        assert core.invoker.statistics().queued_bytes == 0


async def test_an_invocation_that_has_begun_goes_on_without_its_client_and_is_counted(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    calls: list[bytes] = []
    async with running_core(tmp_path, sleeper(calls, 8), max_machines=1) as core:
        await publish(core)
        await leave_after(core, b"1", 2)
        begun = core.invoker.statistics()
        await trio.sleep(10)
        ended = core.invoker.statistics()

        assert (begun.running, begun.succeeded) == (1, 0)
        assert (ended.running, ended.succeeded, ended.abandoned) == (0, 1, 0)
        assert core.messages()[-1].startswith("REPORT")


async def test_events_that_wait_have_a_budget(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    calls: list[bytes] = []
    async with running_core(tmp_path, sleeper(calls, 8), max_machines=1) as core:
        core.invoker.queue_limit = 10
        await publish(core)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_after, core, b'"running, so not counted"', 100)
            await settled()
            nursery.start_soon(leave_after, core, b'"12345678"', 100)
            await settled()
            refusal = await core.invoker.invoke(invocation(version(), b'"9"'))

        assert isinstance(refusal, NotRun)
        assert refusal.reason is Reason.THROTTLED
        assert len(calls) == 2


async def test_a_drain_lets_invocations_end_with_and_without_a_client(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    calls: list[bytes] = []
    async with running_core(tmp_path, sleeper(calls, 8)) as core:
        await publish(core)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_after, core, b"1", 1)
            nursery.start_soon(leave_after, core, b"2", 100)
            await trio.sleep(2)
            began = trio.current_time()
            await core.invoker.drain(10)

        assert trio.current_time() - began < 7
        assert core.invoker.statistics().succeeded == 2
        assert sum(line.startswith("REPORT") for line in core.messages()) == 2


async def test_what_a_drain_cannot_wait_for_is_told_and_closes_its_log(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    calls: list[bytes] = []
    async with running_core(tmp_path, sleeper(calls, 100), max_machines=1) as core:
        await publish(core)
        refused: list[Outcome] = []

        async def client(event: bytes) -> None:
            refused.append(await core.invoker.invoke(invocation(version(timeout_s=900), event)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client, b"1")
            await settled()
            nursery.start_soon(client, b"2")
            await trio.sleep(1)
            await core.invoker.drain(5)

        late = await core.invoker.invoke(invocation(version()))
        await trio.lowlevel.checkpoint()
        lines = core.messages()

    # Out here: had the drain ended more than the invocations, the last lines in there would not have run.
    assert [*refused, late] == [NotRun(reason=Reason.STOPPING)] * 3
    assert calls == [b"1"]
    assert lines[-2].startswith("END RequestId:")
    assert lines[-1].endswith("\tStatus: failure")


async def test_a_vmm_that_is_silent_when_it_is_wanted_costs_its_client_a_second(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path) as core:
        await publish(core)
        await core.invoker.invoke(invocation(version()))
        await trio.sleep(1)  # by then it is paused
        (stopped,) = core.engine.machines
        stopped.go_silent()
        began = trio.current_time()

        outcome = await core.invoker.invoke(invocation(version(), b"[1]"))

        assert outcome.payload == b"[1]"
        assert trio.current_time() - began < 2
        assert stopped in core.engine.machines
        await trio.sleep(10)
        assert stopped not in core.engine.machines
        assert core.fleet.statistics().machines == len(core.engine.machines) == 1
