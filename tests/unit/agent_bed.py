"""The guest agent in the test's own process: its real loop, a socketpair for the channel, and a pretended kernel."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, Self

from thaw_agent import init, wire
from thaw_agent.agent import Agent
from thaw_agent.language import Language
from thaw_agent.loop import Loop
from thaw_agent.system import System
from thawd import runtimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 10.0
IDENTITY = {
    "entropy": "ab" * 64,
    "hostname": "clone-1",
    "machine_id": "0123456789abcdef" * 2,
    "boot_id": "8b8d6b7e-93f1-4f3e-8a0e-4f2f8b0c6f3b",
}
KEYS = {
    "AccessKeyId": "AKID",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2030-01-01T00:00:00Z",
}


def python() -> Language:
    """What the image of Python says of it."""
    return Language(json.loads(runtimes.find("python3.13").baked()))


class PretendedSystem(System):
    """A kernel that notes what it is asked. Its files are real ones, under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[str] = []
        self.fails: set[str] = set()
        self.clock_ns = 0
        self.entropy: list[bytes] = []
        self.sockets: list[socket.socket] = []
        for directory in ("etc", "run", "proc/sys/kernel/random", "var/task"):
            (root / directory).mkdir(parents=True)
        cgroup = root / "sys/fs/cgroup/function"
        cgroup.mkdir(parents=True)
        (root / "proc/sys/kernel/random/boot_id").write_text("template\n")
        (cgroup / "memory.stat").write_text("anon 30\nfile 1000\nkernel 5\nfile_mapped 7\n")
        (cgroup / "cgroup.procs").write_text("")
        (cgroup / "memory.current").write_text("1040\n")

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise OSError(1, f"{name}: Operation not permitted")

    def path(self, path: str) -> str:
        return f"{self.root}{path}"

    def write(self, path: str, text: str) -> None:
        name = path.rsplit("/", 1)[1]
        self._note(f"{name}={text}" if name == "cgroup.freeze" else name)
        super().write(path, text)
        if name == "cgroup.freeze":
            super().write(path.replace("freeze", "events"), f"populated 1\nfrozen {text}\n")

    def mount(
        self, source: str, target: str, kind: str, *, read_only: bool = False, options: str = ""
    ) -> None:
        self._note(f"mount {target}")

    def bind(self, source: str, target: str, *, read_only: bool = False) -> None:
        self._note(f"bind {target}")

    def allow_descriptors(self, most: int) -> None:
        self._note(f"descriptors {most}")

    def loopback_up(self) -> None:
        self._note("loopback")

    def loopback_address(self, address: str, number: int) -> None:
        self._note(f"loopback {address} {number}")

    def set_clock(self, nanoseconds: int) -> None:
        self._note("clock")
        self.clock_ns = nanoseconds

    def add_entropy(self, data: bytes) -> None:
        self._note("entropy")
        self.entropy.append(data)

    def set_hostname(self, name: str) -> None:
        self._note(f"hostname {name}")

    def become(self, uid: int, gid: int) -> None:
        pass

    def sockets_of(self, pid: int) -> Iterator[socket.socket]:
        self._note("sockets")
        yield from self.sockets


class Answer:
    """An HTTP answer as it came."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A raw HTTP client of the agent, which runs whenever this one waits."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._socket = socket.create_connection(("127.0.0.1", bed.agent.server.port))
        self._socket.setblocking(False)
        self._in = b""

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._bed.turn()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Send a request; its answer may come much later."""
        lines = [f"{method} {path} HTTP/1.1", "Host: agent", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def answered(self) -> bool:
        """Whether a whole answer has come. Raises `EOFError` when the agent closed the connection."""
        try:
            while data := self._socket.recv(1 << 20):
                self._in += data
            if not self._in:
                raise EOFError
        except BlockingIOError:
            pass
        head, end, rest = self._in.partition(b"\r\n\r\n")
        return bool(end) and len(rest) >= self._length(head)

    def answer(self) -> Answer:
        """Wait for an answer."""
        self._bed.until(self.answered)
        head, _, rest = self._in.partition(b"\r\n\r\n")
        length = self._length(head)
        self._in = rest[length:]
        first, *lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        return Answer(int(first.split()[1]), headers, rest[:length])

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Ask and wait."""
        self.ask(method, path, body, **headers)
        return self.answer()

    def close(self) -> None:
        self._socket.close()

    @staticmethod
    def _length(head: bytes) -> int:
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "content-length":
                return int(value)
        return 0


class Bed:
    """A base machine with its agent up. The test is the host and, where it wants to be, the runtime."""

    def __init__(
        self,
        root: Path,
        command: Callable[[wire.Init], list[str]] | None = None,
        language: Language | None = None,
    ) -> None:
        self.system = PretendedSystem(root)
        init.set_up(self.system)
        self.loop = Loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.host = ours
        self._theirs = theirs
        language = language or python()
        language.command = command or (lambda _init: ["/bin/sleep", "60"])
        self.agent = Agent(
            self.loop,
            theirs.fileno(),
            self.system,
            language,
            api=("127.0.0.1", 0),
            persistent=False,
        )
        self.clients: list[Client] = []
        self.frames: list[wire.Frame] = []
        self._decoder = wire.Decoder()

    def close(self) -> None:
        runtime = self.agent._runtime
        if runtime is not None:
            try:
                os.kill(runtime.pid, signal.SIGKILL)
                os.waitpid(runtime.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            runtime.control.close()
        for descriptor in self.agent._logs._pipes:
            os.close(descriptor)
        for client in self.clients:
            client.close()
        self.agent.server.close()
        self.loop.close()
        self.host.close()
        self._theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def turn(self, at_most_s: float = 0.05) -> None:
        """Let the agent do what is due, and take what it sends."""
        self.loop.turn(at_most_s)
        try:
            while data := self.host.recv(1 << 20):
                self.frames += self._decoder.feed(data)
        except BlockingIOError:
            pass

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain; the agent said {self.frames}"
            self.turn()

    def settle(self) -> None:
        """Let the agent do all that can be done without anything new from outside."""
        for _ in range(5):
            self.turn(0.0)

    def client(self) -> Client:
        client = Client(self)
        self.clients.append(client)
        return client

    def take(self, kind: wire.Kind) -> wire.Frame:
        """The next frame of this kind; the others stay in `frames`."""
        found: list[wire.Frame] = []

        def come() -> bool:
            found.extend(frame for frame in self.frames if frame.kind is kind)
            return bool(found)

        self.until(come)
        self.frames.remove(found[0])
        return found[0]

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self.host.send(view) :]
            except BlockingIOError:
                self.turn()

    def hello(self, nonce: str = "n1") -> wire.Hello:
        self.send(wire.SYNC + wire.Hello(role="host", nonce=nonce).encode())
        return wire.Hello.decode(self.take(wire.Kind.HELLO).payload)

    def start(self, initialization_type: str, **members: Any) -> None:
        """Greet and send INIT, and let the agent start the runtime."""
        self.hello()
        values = {
            "function_name": "orders",
            "function_version": "7",
            "handler": "app.handler",
            "runtime": "python3.13",
            "memory_mib": 128,
            "initialization_type": initialization_type,
            "clock_ns": 1_700_000_000_000_000_000,
            "credentials": KEYS,
            **IDENTITY,
            **members,
        }
        self.send(wire.Init(**values).encode())
        self.until(lambda: self.agent._runtime is not None)

    def restore(self, **members: Any) -> None:
        """Be the host of a clone: greet and send RESTORE, in one go as the daemon does."""
        values = {
            "generation": 3,
            "clock_ns": 1_800_000_000_000_000_000,
            "credentials": {**KEYS, "AccessKeyId": "CLONE"},
            **IDENTITY,
            "entropy": "cd" * 64,
            "hostname": "clone-2",
            **members,
        }
        hello = wire.Hello(role="host", nonce="n2")
        self.send(wire.SYNC + hello.encode() + wire.Restore(**values).encode())

    def invoke(self, event: bytes = b"{}", *, stream: int = 1, **members: Any) -> None:
        values = {
            "request_id": f"request-{stream}",
            "deadline_ms": 1_900_000_000_000,
            "function_arn": "arn:aws:lambda:us-east-1:000000000000:function:orders:7",
            **members,
        }
        head = wire.Invoke(**values).encode(stream=stream)
        self.send(b"".join([head, *wire.encode_body(event, stream=stream)]))

    def body(self) -> bytes:
        """The body frames of one stream, up to END."""
        data = b""
        while True:
            frame = self.take(wire.Kind.PAYLOAD)
            data += frame.payload
            if frame.end:
                return data

    def logs(self) -> list[tuple[int, wire.LogSource, str]]:
        """Stream, source and text of every log line so far; they are taken."""
        found = [frame for frame in self.frames if frame.kind is wire.Kind.LOG]
        self.frames = [frame for frame in self.frames if frame.kind is not wire.Kind.LOG]
        lines = []
        for frame in found:
            _, source, text = wire.decode_log(frame.payload)
            several = source in {wire.LogSource.STDOUT, wire.LogSource.STDERR}
            texts = text.decode().split("\n") if several else [text.decode()]
            lines += [(frame.stream, source, line) for line in texts]
        return lines

    def kinds(self) -> list[wire.Kind]:
        """What came and was not taken, but log lines."""
        return [frame.kind for frame in self.frames if frame.kind is not wire.Kind.LOG]
