"""The agent from base machine to invocations: order of the steps, what the host hears, what fails closed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import time

import pytest
from agent_bed import KEYS, Bed

from thaw_agent import wire
from thaw_agent.agent import FROZEN, SERVING
from thaw_runtime import protocol

RUNTIME = "/2018-06-01/runtime"
NONSENSE = [
    b"",
    b"not a record",
    b'{"report": {"us": 1, "hooks": 7}}',
    b"\x01\x81\x00\x00\xff\xff\xff\xff",
    protocol.report(protocol.FROZEN, 1, version="3")[:-1],
    bytes(200_000),
]
"""What user code may write to the control socket."""


@pytest.fixture
def bed(tmp_path):
    with Bed(tmp_path) as bed:
        yield bed


def shell(tmp_path, script):
    return Bed(tmp_path, lambda _init: ["/bin/bash", "-c", script])


def serving(bed):
    """An on-demand function, idle; the runtime's connection."""
    bed.start("on-demand")
    client = bed.client()
    client.ask("GET", f"{RUNTIME}/invocation/next")
    bed.take(wire.Kind.INIT_DONE)
    return client


def frozen(bed, **members):
    """A SnapStart function, frozen; the runtime's connection, blocked in restore/next."""
    bed.start("snap-start", **members)
    client = bed.client()
    client.ask("GET", f"{RUNTIME}/restore/next")
    return client, wire.SnapshotReady.decode(bed.take(wire.Kind.SNAPSHOT_READY).payload)


def restored(bed):
    """A clone that serves; the runtime's connection."""
    client, _ = frozen(bed)
    bed.restore()
    assert client.answer().status == 200
    client.ask("GET", f"{RUNTIME}/invocation/next")
    bed.take(wire.Kind.RESTORED)
    return client


class TestBase:
    def test_hello_is_answered_with_the_hosts_nonce(self, bed):
        answer = bed.hello("abc")

        assert (answer.role, answer.nonce, answer.version) == ("guest", "abc", 1)

    def test_ping_brings_its_bytes_back(self, bed):
        bed.hello()
        bed.send(wire.encode(wire.Kind.PING, b"x" * 100))

        assert bed.take(wire.Kind.PONG).payload == b"x" * 100

    def test_the_runtime_api_is_not_there_before_init(self, bed):
        assert bed.client().call("GET", f"{RUNTIME}/invocation/next").status == 404

    def test_an_invocation_before_init_is_a_fault(self, bed):
        bed.hello()
        bed.invoke()

        with pytest.raises(wire.WireError, match="before INIT"):
            bed.until(lambda: False)

    def test_a_payload_that_no_invoke_opened_is_a_fault(self, bed):
        bed.hello()
        bed.send(wire.encode(wire.Kind.PAYLOAD, b"{}", stream=9, end=True))

        with pytest.raises(wire.WireError, match="stream 9"):
            bed.until(lambda: False)


class TestInit:
    def test_the_machine_is_its_own_before_the_runtime_starts(self, bed):
        bed.start("on-demand")

        wanted = ["clock", "entropy", "hostname clone-1", "mount /tmp", "mount /run/thaw/code"]
        assert [call for call in bed.system.calls if call in wanted] == wanted
        assert bed.system.entropy == [bytes.fromhex("ab" * 64)]
        assert (bed.system.root / "etc/machine-id").read_text() == "0123456789abcdef" * 2 + "\n"

    def test_tmp_is_memory_so_it_is_added_to_the_limit(self, bed):
        bed.start("on-demand", memory_mib=128, ephemeral_mib=512)

        limit = (bed.system.root / "sys/fs/cgroup/function/memory.max").read_text()
        assert int(limit) == 640 << 20

    def test_on_demand_is_done_when_the_runtime_asks_for_an_invocation(self, bed):
        serving(bed)

        assert bed.agent.phase == SERVING

    def test_the_posted_error_counts_and_not_the_exit_that_follows(self, tmp_path):
        with shell(tmp_path, "read line < /dev/null; sleep 60") as bed:
            bed.start("on-demand")
            body = b'{"errorMessage": "no module named app", "errorType": "x"}'
            header = {"Lambda_Runtime_Function_Error_Type": "Runtime.ImportModuleError"}
            answer = bed.client().call("POST", f"{RUNTIME}/init/error", body, **header)
            os.kill(bed.agent._runtime.pid, signal.SIGTERM)
            failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)
            exited = wire.Exited.decode(bed.take(wire.Kind.EXITED).payload)

            assert (answer.status, answer.body) == (202, b'{"status":"OK"}\n')
            assert failed.error_type == "Runtime.ImportModuleError"
            assert failed.message == "no module named app"
            assert failed.body == body.decode()
            assert exited.reason == "signal: terminated"
            assert bed.kinds() == []

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("exit 1", "Runtime exited with error: exit status 1"),
            ("exit 0", "Runtime exited without providing a reason"),
            ("kill -9 $$", "Runtime exited with error: signal: killed"),
        ],
    )
    def test_an_exit_is_worded_as_lambda_does(self, tmp_path, script, message):
        with shell(tmp_path, script) as bed:
            bed.start("snap-start")
            failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)
            bed.take(wire.Kind.EXITED)

            assert (failed.error_type, failed.message) == ("Runtime.ExitError", message)

    def test_a_program_that_cannot_be_run_says_why(self, tmp_path):
        with Bed(tmp_path, lambda _init: ["/nowhere/python3"]) as bed:
            bed.start("on-demand")
            bed.take(wire.Kind.INIT_FAILED)
            exited = wire.Exited.decode(bed.take(wire.Kind.EXITED).payload)

            assert exited.code == 127
            ((stream, source, text),) = bed.logs()
            assert (stream, source) == (0, wire.LogSource.STDERR)
            assert "cannot start /nowhere/python3" in text

    def test_a_step_that_fails_is_the_agents_own_fault(self, bed):
        bed.system.fails.add("entropy")

        with pytest.raises(Exception, match="the guest's step entropy failed"):
            bed.start("on-demand")

    def test_the_runtime_is_told_what_to_skip_before_it_runs(self, tmp_path):
        script = "dd bs=65536 count=1 status=none <&$THAW_CONTROL_FD; echo; sleep 60"
        with shell(tmp_path, script) as bed:
            bed.start("snap-start", skip_fixers=["numpy"], trace=True)
            bed.until(lambda: wire.Kind.LOG in [frame.kind for frame in bed.frames])

            ((_, _, text),) = bed.logs()
            kind, flags, body = protocol.split(text.encode())
            assert (kind, flags) == (protocol.START, protocol.TRACE)
            assert protocol.names(body) == ["numpy"]


class TestSnapshot:
    def test_the_function_is_frozen_before_the_host_hears_of_it(self, bed):
        _, ready = frozen(bed)

        assert bed.agent.phase == FROZEN
        assert "cgroup.freeze=1" in bed.system.calls
        assert {"clock", "entropy", "identity", "code", "freeze", "sockets"} <= ready.steps.keys()

    def test_a_function_that_cannot_be_brought_to_a_standstill_has_failed_its_init(self, bed):
        bed.start("snap-start")
        bed.system.fails.add("cgroup.freeze=1")
        bed.client().ask("GET", f"{RUNTIME}/restore/next")
        failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)

        assert failed.error_type == "Sandbox.Failure"
        assert "step freeze failed" in failed.message

    def test_what_was_printed_comes_before_it_and_nothing_after(self, tmp_path):
        with shell(tmp_path, "echo whole; printf half; touch printed; sleep 60") as bed:
            bed.start("snap-start")
            bed.until((bed.system.root / "var/task/printed").exists)
            bed.client().ask("GET", f"{RUNTIME}/restore/next")
            bed.until(lambda: wire.Kind.SNAPSHOT_READY in bed.kinds())
            bed.settle()

            assert bed.frames[-1].kind is wire.Kind.SNAPSHOT_READY
            assert [text for _, _, text in bed.logs()] == ["whole", "half"]

    def test_a_runtime_without_hooks_is_snapshotted_in_invocation_next(self, bed):
        bed.start("snap-start")
        client = bed.client()
        client.ask("GET", f"{RUNTIME}/invocation/next")
        bed.take(wire.Kind.SNAPSHOT_READY)
        bed.restore()
        bed.take(wire.Kind.RESTORED)
        bed.settle()

        assert not client.answered()
        bed.invoke(b'"hi"')
        assert client.answer().body == b'"hi"'

    def test_restore_next_is_not_there_on_demand(self, bed):
        bed.start("on-demand")

        assert bed.client().call("GET", f"{RUNTIME}/restore/next").status == 404

    def test_a_host_that_does_not_read_gets_no_snapshot(self, bed, monkeypatch):
        monkeypatch.setattr("thaw_agent.agent._FLUSH_WITHIN_S", 0.0)
        bed.start("snap-start")
        bed.agent._channel.send(b"x" * (8 << 20))
        bed.client().ask("GET", f"{RUNTIME}/restore/next")

        with pytest.raises(wire.WireError, match="does not read"):
            bed.loop.run()


class TestRestore:
    def test_steps_run_in_their_order_and_the_runtime_last(self, bed):
        client, _ = frozen(bed)
        bed.system.calls.clear()
        bed.restore()
        answer = client.answer()

        order = ["clock", "entropy", "hostname clone-2", "machine-id", "cgroup.freeze=0"]
        assert [call for call in bed.system.calls if call in order] == order
        assert (answer.status, answer.body) == (200, b"")
        assert bed.system.clock_ns == 1_800_000_000_000_000_000
        assert bed.system.entropy[-1] == bytes.fromhex("cd" * 64)
        assert (bed.system.root / "run/thaw/boot_id").read_text().startswith("8b8d6b7e")

    def test_the_clone_is_ready_when_the_runtime_asks_for_its_first_invocation(self, bed):
        client, _ = frozen(bed)
        bed.restore()
        assert client.answer().status == 200
        bed.settle()
        assert bed.kinds() == [wire.Kind.HELLO]

        client.ask("GET", f"{RUNTIME}/invocation/next")
        ready = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)
        assert list(ready.steps) == ["clock", "entropy", "identity", "thaw"]
        assert ready.runtime_us > 0

    def test_every_step_that_fails_leaves_the_runtime_without_an_answer(self, tmp_path):
        for number, step in enumerate(["clock", "entropy", "machine-id", "cgroup.freeze=0"]):
            with Bed(tmp_path / str(number)) as bed:
                client, _ = frozen(bed)
                bed.system.fails.add(step)
                bed.restore()
                failed = wire.RestoreFailed.decode(bed.take(wire.Kind.RESTORE_FAILED).payload)
                bed.settle()

                assert failed.error_type == "Sandbox.Failure"
                assert not client.answered()

    def test_entropy_too_short_for_a_key_fails_the_restore(self, bed, monkeypatch):
        client, _ = frozen(bed)
        # The pretended kernel would take anything; the check is the real one's.
        real = super(type(bed.system), bed.system).add_entropy
        monkeypatch.setattr(bed.system, "add_entropy", real)
        bed.restore(entropy="cd" * 16)
        failed = wire.RestoreFailed.decode(bed.take(wire.Kind.RESTORE_FAILED).payload)

        assert "the guest's step entropy failed: 16 bytes" in failed.message
        assert not client.answered()

    def test_the_worst_case_leaves_the_kernels_generator_alone(self, bed):
        client, _ = frozen(bed)
        bed.restore(reseed_kernel=False)
        assert client.answer().status == 200

        assert len(bed.system.entropy) == 1

    def test_new_credentials_are_there_before_the_runtime_is_released(self, bed):
        client, _ = frozen(bed)
        token = bed.agent._credentials._token
        path = "/2021-04-23/credentials"
        before = bed.client().call("GET", path, Authorization=token)
        bed.restore()
        assert client.answer().status == 200
        after = bed.client().call("GET", path, Authorization=token)

        assert before.json == KEYS
        assert after.json["AccessKeyId"] == "CLONE"

    @pytest.mark.parametrize("token", ["", "wrong"])
    def test_a_wrong_token_gets_no_credentials(self, bed, token):
        bed.start("snap-start")
        answer = bed.client().call("GET", "/2021-04-23/credentials", Authorization=token)

        assert answer.status == 404
        assert answer.body == b"cannot get credentials for the provided token"

    @pytest.mark.parametrize("route", ["restore/error", "init/error"])
    def test_an_error_posted_while_restoring_fails_the_restore(self, bed, route):
        client, _ = frozen(bed)
        bed.restore()
        assert client.answer().status == 200
        header = {"Lambda_Runtime_Function_Error_Type": "Runtime.AfterRestoreError"}
        answer = client.call("POST", f"{RUNTIME}/{route}", b'{"errorMessage": "boom"}', **header)
        failed = wire.RestoreFailed.decode(bed.take(wire.Kind.RESTORE_FAILED).payload)

        assert answer.body == b'{"status":"OK"}\n'
        assert (failed.error_type, failed.message) == ("Runtime.AfterRestoreError", "boom")

    def test_an_exit_while_restoring_fails_the_restore(self, bed):
        client, _ = frozen(bed)
        bed.restore()
        assert client.answer().status == 200
        os.kill(bed.agent._runtime.pid, signal.SIGKILL)
        failed = wire.RestoreFailed.decode(bed.take(wire.Kind.RESTORE_FAILED).payload)
        bed.take(wire.Kind.EXITED)

        assert failed.error_type == "Runtime.ExitError"
        assert failed.message == "Runtime exited with error: signal: killed"

    def test_a_restore_that_no_snapshot_preceded_is_a_fault(self, bed):
        bed.restore()

        with pytest.raises(wire.WireError, match="no snapshot"):
            bed.until(lambda: False)


class TestThawRuntime:
    """The control descriptor, with the test as thaw_runtime: the other end, taken over from a process without one."""

    @pytest.fixture
    def channel(self, bed, monkeypatch):
        ends = []
        pair = socket.socketpair

        def remember(*args):
            made = pair(*args)
            ends.append(made[1].dup())
            ends[-1].setblocking(False)
            return made

        monkeypatch.setattr("thaw_agent.supervisor.socket.socketpair", remember)
        bed.start("snap-start")
        yield ends[0]
        ends[0].close()

    def test_reports_travel_and_times_become_steps(self, bed, channel):
        hooks = [{"name": "a", "us": 40, "ok": True}]
        assert protocol.split(channel.recv(65536)) == (protocol.START, 0, b"")
        channel.send(
            protocol.report(protocol.FROZEN, 900, version="3.13.5", hooks=hooks, notes=["n"])
        )
        client = bed.client()
        client.ask("GET", f"{RUNTIME}/restore/next")
        ready = wire.SnapshotReady.decode(bed.take(wire.Kind.SNAPSHOT_READY).payload)
        about = {"runtime": "thaw_runtime", "version": "3.13.5"}
        assert ready.report == {"us": 900, "hooks": hooks, "fixers": [], "notes": ["n"], **about}
        assert (ready.steps["thaw_runtime"], ready.steps["hooks"]) == (900, 40)

        bed.restore()
        assert client.answer().status == 200
        kind, _, body = protocol.split(channel.recv(65536))
        channel.send(protocol.report(protocol.THAWED, 7, version="3.13.5"))
        client.ask("GET", f"{RUNTIME}/invocation/next")
        done = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)
        assert kind == protocol.THAW
        assert int.from_bytes(body[:8]) == 3
        assert done.report == {"us": 7, "hooks": [], "fixers": [], "notes": [], **about}
        assert done.steps["thaw_runtime"] == 7

    def test_the_runtimes_secret_is_not_the_kernels(self, bed, channel):
        channel.recv(65536)
        client = bed.client()
        client.ask("GET", f"{RUNTIME}/restore/next")
        bed.take(wire.Kind.SNAPSHOT_READY)
        bed.restore()
        assert client.answer().status == 200
        secret = protocol.entropy(protocol.split(channel.recv(65536))[2])

        assert len(secret) == 64
        assert secret != bed.system.entropy[-1]

    @pytest.mark.parametrize("data", NONSENSE)
    def test_nonsense_from_the_runtime_is_no_fault_and_is_counted(self, bed, channel, data):
        """In the snapshot as in the clone, whatever it is, the runtime's own report counts."""
        client = bed.client()
        channel.send(data)
        channel.send(protocol.report(protocol.FROZEN, 5, version="3"))
        client.ask("GET", f"{RUNTIME}/restore/next")
        ready = wire.SnapshotReady.decode(bed.take(wire.Kind.SNAPSHOT_READY).payload)
        bed.restore()
        assert client.answer().status == 200
        channel.send(data)
        channel.send(protocol.report(protocol.THAWED, 6, version="3"))
        channel.send(data)
        client.ask("GET", f"{RUNTIME}/invocation/next")
        restored = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)

        assert (ready.report["us"], ready.report["refused"]) == (5, 1)
        assert (restored.report["us"], restored.report["refused"]) == (6, 2)

    def test_reports_out_of_their_time_are_not_heard(self, bed, channel):
        channel.send(protocol.report(protocol.THAWED, 5, version="3"))
        bed.client().ask("GET", f"{RUNTIME}/restore/next")
        ready = wire.SnapshotReady.decode(bed.take(wire.Kind.SNAPSHOT_READY).payload)

        assert ready.report == {}


class TestInvocations:
    def test_the_whole_way(self, bed):
        client = restored(bed)
        bed.invoke(
            b'{"order": 1}',
            trace_id="Root=1-2-3;Sampled=1",
            client_context='{"a":\r\n1}',
            cognito_identity="{}",
        )
        event = client.answer()
        assert event.body == b'{"order": 1}'
        assert event.headers["lambda-runtime-aws-request-id"] == "request-1"
        assert event.headers["lambda-runtime-deadline-ms"] == "1900000000000"
        assert event.headers["lambda-runtime-invoked-function-arn"].endswith(":orders:7")
        assert event.headers["lambda-runtime-trace-id"] == "Root=1-2-3;Sampled=1"
        assert json.loads(event.headers["lambda-runtime-client-context"]) == {"a": 1}
        assert event.headers["content-type"] == "application/json"

        done = client.call("POST", f"{RUNTIME}/invocation/request-1/response", b'"tea"')
        assert (done.status, done.body) == (202, b'{"status":"OK"}\n')
        head = bed.take(wire.Kind.RESPONSE)
        assert (head.stream, bed.body()) == (1, b'"tea"')

        client.ask("GET", f"{RUNTIME}/invocation/next")
        end = bed.take(wire.Kind.DONE)
        assert end.stream == 1
        assert wire.Done.decode(end.payload).max_memory_bytes == 47

    def test_a_large_event_and_a_large_response_pass_whole(self, bed):
        client = serving(bed)
        event = bytes(range(256)) * 8192
        bed.invoke(event)
        assert client.answer().body == event
        answer = os.urandom(wire.MAX_BODY)
        assert client.call("POST", f"{RUNTIME}/invocation/request-1/response", answer).status == 202

        assert bed.body() == answer

    def test_a_response_over_the_limit_is_the_functions_error(self, bed):
        client = serving(bed)
        bed.invoke()
        client.answer()
        too_much = b"x" * (wire.MAX_BODY + 1)
        answer = client.call("POST", f"{RUNTIME}/invocation/request-1/response", too_much)
        head = wire.FunctionError.decode(bed.take(wire.Kind.ERROR).payload)

        assert answer.status == 413
        assert answer.json == {
            "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
            "errorType": "RequestEntityTooLarge",
        }
        assert head.error_type == "Function.ResponseSizeTooLarge"
        assert json.loads(bed.body()) == {
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
            "errorType": "Function.ResponseSizeTooLarge",
        }

    @pytest.mark.parametrize(
        ("given", "reported"),
        [
            ("Runtime.UserCodeSyntaxError", "Runtime.UserCodeSyntaxError"),
            ("ValueError", "Function.Unknown"),
            ("Function.lower", "Function.Unknown"),
            ("Runtime.A\tB", "Function.Unknown"),
        ],
    )
    def test_an_error_type_of_another_form_is_unknown(self, bed, given, reported):
        client = serving(bed)
        bed.invoke()
        client.answer()
        header = {"Lambda_Runtime_Function_Error_Type": given}
        client.call("POST", f"{RUNTIME}/invocation/request-1/error", b"{}", **header)

        assert wire.FunctionError.decode(bed.take(wire.Kind.ERROR).payload).error_type == reported

    def test_an_event_waits_for_a_runtime_that_has_not_come_back(self, bed):
        client = serving(bed)
        bed.invoke(b"1", stream=1)
        client.answer()
        bed.invoke(b"2", stream=2)
        bed.settle()
        client.call("POST", f"{RUNTIME}/invocation/request-1/response", b"1")

        assert client.call("GET", f"{RUNTIME}/invocation/next").body == b"2"

    def test_an_exit_during_an_invocation_is_said(self, tmp_path):
        with shell(tmp_path, "sleep 60") as bed:
            client = serving(bed)
            bed.invoke()
            client.answer()
            os.kill(bed.agent._runtime.pid, signal.SIGKILL)
            exited = wire.Exited.decode(bed.take(wire.Kind.EXITED).payload)

            assert (exited.signal, exited.reason) == (9, "signal: killed")
            assert exited.max_memory_bytes > 100_000
            assert bed.kinds() == []

    def test_so_many_exits_that_there_is_always_one_more_do_not_hold_the_agent_up(
        self, bed, monkeypatch
    ):
        monkeypatch.setattr("thaw_agent.processes.reap", lambda: itertools.repeat((2**22, 0, 0)))
        bed.agent._on_child_exit()

        assert bed.client().call("GET", "/nothing").status == 404

    def test_the_clock_is_stepped_when_the_machine_was_paused(self, bed):
        client = restored(bed)
        bed.system.calls.clear()
        soon = time.time_ns() + 60_000_000_000
        bed.invoke(clock_ns=soon)
        client.answer()

        assert bed.system.calls[0] == "clock"
        assert bed.system.clock_ns == soon

    @pytest.mark.parametrize("clock_ns", [0, None])
    def test_the_clock_is_left_when_it_is_right_or_the_host_says_nothing(self, bed, clock_ns):
        client = restored(bed)
        bed.system.calls.clear()
        bed.invoke(clock_ns=time.time_ns() if clock_ns is None else clock_ns)
        client.answer()

        assert "clock" not in bed.system.calls

    def test_a_new_host_forgets_the_event_another_began_to_send(self, bed):
        client = serving(bed)
        head = wire.Invoke(request_id="old", deadline_ms=1, function_arn="a").encode(stream=1)
        bed.send(head + wire.encode(wire.Kind.PAYLOAD, b"half", stream=1))
        bed.hello("another")
        bed.invoke(b"whole", stream=1)

        assert client.answer().body == b"whole"


class TestLogAttribution:
    def test_lines_belong_to_the_invocation_that_ran(self, tmp_path):
        script = (
            'while read word; do printf "$word"; test $word = flush || echo; done < pipe; sleep 60'
        )
        with shell(tmp_path, f"until test -p pipe; do sleep 0.01; done; {script}") as bed:
            os.mkfifo(bed.system.root / "var/task/pipe")
            client = serving(bed)
            with (bed.system.root / "var/task/pipe").open("w", buffering=1) as words:
                words.write("before\n")
                bed.until(lambda: [f for f in bed.frames if f.kind is wire.Kind.LOG])
                bed.invoke(stream=5)
                client.answer()
                words.write("during\n")
                bed.until(lambda: len([f for f in bed.frames if f.kind is wire.Kind.LOG]) == 2)
                words.write("flush\n")
                readers = bed.agent._logs._pipes.values()
                bed.until(lambda: b"flush" in [getattr(one, "_rest", b"") for one in readers])
                client.call("POST", f"{RUNTIME}/invocation/request-5/response", b"1")
                client.ask("GET", f"{RUNTIME}/invocation/next")
                bed.take(wire.Kind.DONE)

            lines = [(stream, text) for stream, _, text in bed.logs()]
            assert lines == [(0, "before"), (5, "during"), (5, "flush")]

    def test_a_host_that_does_not_read_stops_the_function_and_not_the_agent(self, tmp_path):
        line = 1000
        with shell(tmp_path, f"yes $(printf %0{line}d 7)") as bed:
            bed.start("on-demand")
            bed.until(lambda: bed.frames)
            for _ in range(2000):
                bed.loop.turn(0.001)
                if bed.agent._channel.congested and not bed.loop._epoll.poll(0.0):
                    break
            held = bed.agent._channel._waiting
            assert held < (4 << 20)

            taken = len(bed.frames)
            # It goes on: more comes than was held.
            bed.until(lambda: len(bed.frames) > taken + held // line + 1000)
