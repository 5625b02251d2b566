"""What the agent does to its machine: mounts, the function's connections and memory, the channel's ends."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys

import pytest
from agent_bed import Bed, PretendedSystem

from thaw_agent import http, init, processes, supervisor, wire
from thaw_agent.cgroup import Cgroup
from thaw_agent.channel import Channel
from thaw_agent.loop import Loop
from thaw_agent.restore import sockets
from thaw_agent.system import System


class Refusing(socket.socket):
    """A stream socket that is not of TCP."""

    def getsockopt(self, *_arguments):
        raise OSError(95, "Operation not supported")


@pytest.fixture
def system(tmp_path):
    return PretendedSystem(tmp_path)


class TestSetUp:
    def test_everything_is_mounted_and_the_boot_id_can_be_replaced(self, system):
        init.set_up(system)

        mounted = [call for call in system.calls if call.startswith("mount")]
        assert mounted == [
            "mount /sys/fs/cgroup",
            "mount /run",
            "mount /dev/shm",
            "mount /dev/pts",
        ]
        assert system.calls.index("loopback") > system.calls.index("mount /dev/pts")
        assert "bind /proc/sys/kernel/random/boot_id" in system.calls
        assert (system.root / "run/thaw/boot_id").read_text() == "template\n"

    def test_what_the_initramfs_mounted_is_not_mounted_again(self, system, monkeypatch):
        there = {system.path("/run"), system.path("/dev/pts")}
        monkeypatch.setattr("thaw_agent.init.os.path.ismount", there.__contains__)
        init.set_up(system)

        assert [call for call in system.calls if call.startswith("mount")] == [
            "mount /sys/fs/cgroup",
            "mount /dev/shm",
        ]

    def test_the_kernel_is_made_a_smaller_target_in_what_it_has(self, system):
        there = system.root / "proc/sys/user"
        there.mkdir()
        (there / "max_user_namespaces").write_text("1000")
        init.set_up(system)

        assert (there / "max_user_namespaces").read_text() == "0"
        assert not (system.root / "proc/sys/kernel/unprivileged_bpf_disabled").exists()

    def test_the_agent_may_have_more_descriptors_than_a_function(self, system):
        init.set_up(system)
        (given,) = [call for call in system.calls if call.startswith("descriptors")]

        assert int(given.split()[1]) > 2 * http._MOST_CONNECTIONS

    def test_only_what_the_code_disk_has_is_bound(self, system):
        (system.root / "run/thaw/code/opt").mkdir(parents=True)
        supervisor.mount_code(system)

        assert system.calls == ["mount /run/thaw/code", "bind /opt"]


class TestStart:
    def test_the_function_starts_with_the_signals_a_program_expects(self, tmp_path):
        script = "grep SigIgn /proc/self/status; sleep 60"
        with Bed(tmp_path, lambda _init: ["/bin/sh", "-c", script]) as bed:
            bed.start("on-demand")
            bed.until(lambda: wire.Kind.LOG in [frame.kind for frame in bed.frames])
            ((_, _, text),) = bed.logs()

            # Python ignores these two in itself. What the test's own parent ignores (nohup) is not the agent's doing.
            ignored = int(text.split()[1], 16)
            assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


class TestConnections:
    @pytest.fixture
    def pair(self):
        """A loopback connection and the address of its server."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
            yield server, ours, theirs
            ours.close()
            theirs.close()

    def test_connections_are_shut_and_nothing_else_is(self, system, pair):
        server, ours, _ = pair
        unconnected = socket.socket()
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        local, other = socket.socketpair()
        kept = [server, unconnected, datagram, local]
        system.sockets = [ours, *kept]
        count = len(sockets.shut(system, [1], api_port=1))
        with socket.create_connection(server.getsockname()) as again:
            listening = again.getpeername() == server.getsockname()
        for one in (unconnected, datagram, local, other):
            one.close()

        assert count == 1
        assert ours.recv(1) == b""
        assert listening

    def test_the_connection_to_the_runtime_api_stays(self, system, pair):
        server, ours, theirs = pair
        system.sockets = [ours]
        count = len(sockets.shut(system, [1], api_port=server.getsockname()[1]))
        theirs.send(b"200")

        assert count == 0
        assert ours.recv(3) == b"200"

    def test_the_same_port_elsewhere_is_not_the_runtime_api(self, system):
        with (
            socket.create_server(("127.0.0.2", 0)) as server,
            socket.create_connection(server.getsockname()) as ours,
        ):
            system.sockets = [ours]

            assert len(sockets.shut(system, [1], api_port=server.getsockname()[1])) == 1

    def test_the_runtime_api_is_known_from_a_socket_of_both_families_too(self, system, pair):
        server, _, _ = pair
        port = server.getsockname()[1]
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as ours:
            ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            ours.connect(("::ffff:127.0.0.1", port))
            system.sockets = [ours]

            assert sockets.shut(system, [1], api_port=port) == []

    def test_a_connection_of_another_protocol_is_shut_too(self, system):
        with Refusing(socket.AF_INET, socket.SOCK_STREAM) as one:
            system.sockets = [one]
            ended = sockets.shut(system, [1], api_port=9)

        assert ended == ["not connected yet"]

    def test_a_connection_still_being_made_is_given_up(self, system):
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
            fill = [socket.create_connection(server.getsockname())]
            # The queue is full, so that this one's handshake does not finish.
            with socket.socket() as ours:
                ours.setblocking(False)
                ours.connect_ex(server.getsockname())
                system.sockets = [ours]
                count = len(sockets.shut(system, [1], api_port=1))
                poll = select.poll()
                poll.register(ours, select.POLLIN)

                assert count == 1
                assert poll.poll(0)
            fill[0].close()

    def test_the_kernels_own_copies_are_those_of_the_process(self, pair):
        _, ours, _ = pair
        copies = System().sockets_of(os.getpid())

        assert ours.getsockname() in [copy.getsockname() for copy in copies]

    def test_a_process_that_is_gone_has_none(self):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

        assert list(System().sockets_of(pid)) == []


class TestMemory:
    def write(self, system, **values):
        cgroup = system.root / "sys/fs/cgroup/function"
        (cgroup / "memory.current").write_text(f"{values.pop('current')}\n")
        lines = [f"{name} {value}\n" for name, value in values.items()]
        (cgroup / "memory.stat").write_text("".join(lines))

    def test_what_is_only_cached_is_not_used(self, system):
        cgroup = Cgroup(system)
        self.write(system, current=1000, anon=100, file=800, kernel=100, file_mapped=50)

        assert cgroup.most_bytes() == 250

    def test_it_never_falls(self, system):
        cgroup = Cgroup(system)
        for current in (500, 900, 100):
            self.write(system, current=current, file=0, file_mapped=0)
            last = cgroup.most_bytes()

        assert last == 900

    def test_a_group_that_is_gone_keeps_its_last_figure(self, system):
        cgroup = Cgroup(system)
        self.write(system, current=5, file=0, file_mapped=0)
        cgroup.most_bytes()
        (system.root / "sys/fs/cgroup/function/memory.stat").unlink()

        assert cgroup.most_bytes() == 5

    def test_a_function_that_cannot_be_frozen_is_not_waited_for_for_ever(self, system, monkeypatch):
        monkeypatch.setattr("thaw_agent.cgroup._FREEZE_WITHIN_S", 0.0)
        cgroup = Cgroup(system)
        cgroup.freeze()
        monkeypatch.setattr(system, "write", lambda _path, _text: None)
        (system.root / "sys/fs/cgroup/function/cgroup.events").write_text("frozen 0\n")

        with pytest.raises(TimeoutError, match="could not be frozen"):
            cgroup.freeze()


class TestProcesses:
    def test_memory_that_came_and_went_is_seen(self, tmp_path):
        script = (
            "x = b'x' * (60 << 20); del x; import time; print('ready', flush=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            running = processes.most_bytes(System(), process.pid)
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            zombie = processes.most_bytes(System(), process.pid)
            ((pid, status, ended),) = processes.reap()

        assert pid == process.pid
        assert status == signal.SIGKILL
        assert min(running, ended) > 60 << 20
        assert zombie == 0
        assert processes.most_bytes(System(), pid) == 0


class TestKernel:
    @pytest.mark.parametrize("data", [b"", b"x" * 31])
    def test_too_little_entropy_is_refused_before_the_kernel_is_asked(self, data):
        with pytest.raises(ValueError, match="at least 32"):
            System().add_entropy(data)

    def test_files_that_come_in_pieces_are_read_whole(self):
        whole = System().read("/proc/self/maps")

        assert len(whole) > 4096
        assert whole.endswith("\n")


class TestPort:
    """A descriptor whose other end goes and comes back, as a virtio port's does."""

    @pytest.fixture
    def port(self, monkeypatch):
        """A loop, a channel on a pretended port, the frames it took, and what the port will say next."""
        loop = Loop()
        ours, theirs = socket.socketpair()
        says = []
        read = os.read

        def read_or_say(descriptor, size):
            if descriptor == ours.fileno() and says:
                return says.pop(0)
            return read(descriptor, size)

        monkeypatch.setattr("thaw_agent.channel.os.read", read_or_say)
        frames = []
        channel = Channel(loop, ours.fileno(), frames.append)
        yield loop, channel, frames, says, theirs
        loop.close()
        ours.close()
        theirs.close()

    def test_a_host_that_went_in_the_middle_of_a_frame_may_come_back(self, port):
        loop, _, frames, says, theirs = port
        half = wire.encode(wire.Kind.PING, b"x" * 50)[:20]
        says += [wire.SYNC + half, b"", b"", b""]
        theirs.send(b"!")
        for _ in range(4):
            loop.turn(0.1)
        hello = wire.Hello(role="host", nonce="2").encode()
        theirs.send(wire.SYNC + hello + wire.encode(wire.Kind.PING, b"y"))
        loop.turn(0.1)
        loop.turn(0.1)

        assert [frame.kind for frame in frames] == [wire.Kind.HELLO, wire.Kind.PING]
        (answer,) = wire.Decoder().feed(theirs.recv(1 << 16))
        assert wire.Hello.decode(answer.payload).nonce == "2"

    def test_what_waits_is_sent_when_the_host_is_back(self, port):
        loop, channel, _, says, theirs = port
        theirs.setblocking(False)
        says += [b""]
        theirs.send(b"!")
        loop.turn(0.1)
        channel._out.append(memoryview(b"waiting"))
        channel._waiting += 7
        for _ in range(3):
            loop.turn(0.1)

        assert theirs.recv(100) == b"waiting"

    def test_small_frames_leave_in_one_write(self, port, monkeypatch):
        _, channel, _, _, _ = port
        sizes = []
        monkeypatch.setattr(
            "thaw_agent.channel.os.write", lambda _fd, data: sizes.append(len(data)) or len(data)
        )
        channel.send(b"head", b"body")
        channel.send(b"head", bytes(40_000))

        assert sizes == [8, 4, 40_000]
