"""Records what a traced function asks for, keeps and sends: the part of `thaw check` in the function's process.

Only in a process whose start message says `trace`. Three kinds of records go to the agent as they happen, and from
there to the host as log entries of their own source: *taps* (a call of a source of randomness, time or identity: the
caller and the result), *globals* (what the function's modules hold when they are frozen) and *sent* (bytes that went
into a socket, before TLS). None of them changes what the function sees.
"""

from __future__ import annotations

import _socket
import functools
import itertools
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import plain
from thaw_runtime.bundle import Bundle
from thaw_runtime.diagnosis import Diagnosis
from thaw_runtime.held import SHORTEST, as_text, held
from thaw_runtime.imports import PostImport

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType

    Emit = Callable[[dict[str, Any]], None]

_FUNCTIONS: Final = {
    "os": ("urandom", "getrandom"),
    "time": ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    "uuid": ("uuid1", "uuid4", "uuid6", "uuid7", "getnode"),
    "random": (
        "random", "getrandbits", "randbytes", "randint", "randrange", "uniform", "gauss", "choice", "choices", "sample",
    ),
    "secrets": ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice"),
    "socket": ("gethostname", "getfqdn"),
    "platform": ("node",),
    "ssl": ("RAND_bytes",),
    "numpy.random": ("random", "rand", "randn", "randint", "uniform", "normal", "bytes"),
    "uuid_utils": ("uuid1", "uuid4", "uuid6", "uuid7"),
}  # fmt: skip
"""Module functions by module."""
_METHODS: Final = {
    "random": (("Random", ("random", "getrandbits", "randbytes")),),
    "tempfile": (("_RandomNameSequence", ("__next__",)),),
}
"""Methods by module and class: they reach instances that user code made."""
_SENDING: Final = ("send", "sendall", "sendto", "sendmsg")
_MOST: Final = 4096
"""Records of taps in one process. A function that draws more draws the same kind of value again."""
_MOST_GLOBALS: Final = 2000
_MOST_SENT: Final = 256 * 1024
"""Bytes that are recorded of all that a process sends."""
_PIECE: Final = 16 * 1024
_MOST_PARTS: Final = 1024
"""Buffers of one sendmsg(2): the kernel's own limit."""
_OWN: Final = os.path.dirname(os.path.abspath(__file__)) + "/"
_family: Final = _socket.socket.__dict__["family"].__get__


class Recorder:
    """Taps this process's sources. `emit` takes one record, a flat JSON object.

    It stands between the function and what it calls, so whatever goes wrong in it stays here (`diagnosis`).
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._inside = threading.local()
        self._seen: set[tuple[str, str, str]] = set()
        self._connections: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._opened = 0
        self._sent = 0
        self._bundle = Bundle()
        self.diagnosis = Diagnosis()
        keys = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "").removeprefix("http://")
        self._ours = {os.environ.get("AWS_LAMBDA_RUNTIME_API", ""), keys.partition("/")[0]}
        """The agent's addresses: what is sent there stays in the machine."""

    def start(self) -> None:
        """Tap what is imported, and what will be: before any of the function's code takes a function by name."""
        finder = PostImport()
        finder.install()
        for name in {**_FUNCTIONS, **_METHODS, "socket": (), "ssl": ()}:
            finder.watch(name, self._tap)

    def keep_globals(self) -> None:
        """Record what the function's own modules hold: at freeze, when init is over."""
        found = held(self._bundle, self.diagnosis)
        for name, value in itertools.islice(found, _MOST_GLOBALS):
            self._emit({"kind": "global", "name": name, "value": value})
        if next(found, None) is not None:
            self.diagnosis.cut(f"more than {_MOST_GLOBALS} values", "the function")

    def _tap(self, module: ModuleType) -> None:
        name = module.__name__
        for function in _FUNCTIONS.get(name, ()):
            with self.diagnosis.guard():
                original = plain.lookup(plain.module_dict(module), function)
                if original is not None:
                    setattr(module, function, _Tapped(original, f"{name}.{function}", self.asked))
        with self.diagnosis.guard():
            for class_name, methods in _METHODS.get(name, ()):
                kind = getattr(module, class_name)
                for method in methods:
                    source = name if class_name.startswith("_") else f"{name}.{class_name}.{method}"
                    setattr(kind, method, _tapped_method(getattr(kind, method), source, self.asked))
        with self.diagnosis.guard():
            if name == "socket":
                self._tap_sending(module.socket, _SENDING)
            elif name == "ssl":
                self._tap_sending(module.SSLSocket, (*_SENDING, "write"))

    def asked(self, source: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make the call; record its caller and its result. Calls that it makes in its turn are not recorded."""
        if getattr(self._inside, "value", False):
            return call(*args, **kwargs)
        self._inside.value = True
        try:
            value = call(*args, **kwargs)
            with self.diagnosis.guard():
                self._keep_draw(source, value, sys._getframe(2))
            return value
        finally:
            self._inside.value = False

    def _keep_draw(self, source: str, value: Any, caller: FrameType) -> None:
        text = as_text(value)
        if text is None or len(text) < SHORTEST:
            return
        at = self._user_of(caller)
        key = (source, at, text)
        if at and key not in self._seen and len(self._seen) < _MOST:
            self._seen.add(key)
            self._emit({"kind": "tap", "source": source, "at": at, "value": text})

    def _user_of(self, frame: FrameType | None) -> str:
        """The nearest line of the function's own code that led here, else of a library in its bundle, else nothing."""
        if frame is not None and (plain.text(frame.f_code.co_filename) or "").startswith(_OWN):
            return ""  # thaw_runtime's own question
        return self._bundle.line_of(frame)

    def _tap_sending(self, kind: type, methods: tuple[str, ...]) -> None:
        for method in methods:
            original = getattr(kind, method, None)
            if original is not None:
                setattr(kind, method, self._sending(original))

    def _sending(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def send(sock: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "sending", False):  # SSLSocket.sendall calls send
                return original(sock, data, *args, **kwargs)
            # Before it is sent: an answer from another thread must not come first in one clone and second in another.
            with self.diagnosis.guard():
                self._keep_sent(sock, data)
            self._inside.sending = True
            try:
                return original(sock, data, *args, **kwargs)
            finally:
                self._inside.sending = False

        return send

    def _keep_sent(self, sock: Any, data: Any) -> None:
        # The C class's own functions: a subclass may have others.
        if _family(sock) not in (2, 10) or self._is_ours(sock):  # AF_INET, AF_INET6
            return
        parts = plain.members(data, _MOST_PARTS)
        raw = b"".join(_bytes_of(part) for part in (parts if parts is not None else (data,)))
        number = self._number_of(sock)
        raw = raw[:_PIECE]
        self._sent += len(raw)
        if raw and self._sent <= _MOST_SENT:
            self._emit({"kind": "sent", "connection": number, "data": raw.hex()})

    def _number_of(self, sock: Any) -> int:
        """By identity: a socket's class may have an `__eq__` and no `__hash__`."""
        key = id(sock)
        known = self._connections.get(key)
        if known is not None and known[0]() is sock:
            return known[1]
        number, self._opened = self._opened, self._opened + 1
        gone = weakref.ref(sock, lambda _: self._connections.pop(key, None))
        self._connections[key] = (gone, number)
        return number

    def _is_ours(self, sock: Any) -> bool:
        try:
            host, port = _socket.socket.getpeername(sock)[:2]
        except OSError:
            return False
        return f"{host}:{port}" in self._ours


def _bytes_of(part: Any) -> bytes:
    """The first bytes of a buffer that C lays out; of another, whose `__buffer__` is Python code, nothing."""
    known = plain.scalar(part, _PIECE)
    if type(known) is bytes:
        return known
    if not plain.is_builtin(type(part)):
        return b""
    try:
        with memoryview(part) as view, view.cast("B") as flat:
            return bytes(flat[:_PIECE])
    except TypeError:  # not a buffer, or not in one piece
        return b""


class _Tapped:
    """Stands where a module's function stood: an object, so that it does not bind as a method in a class."""

    def __init__(self, call: Callable[..., Any], source: str, asked: Callable[..., Any]) -> None:
        functools.update_wrapper(self, call, updated=())
        self._call = call
        self._source = source
        self._asked = asked

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._asked(self._source, self._call, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __reduce__(self) -> str:
        return self._source.rpartition(".")[2]  # by name, as functions are pickled


def _tapped_method(
    call: Callable[..., Any], source: str, asked: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(call)
    def tapped(*args: Any, **kwargs: Any) -> Any:
        return asked(source, call, args, kwargs)

    return tapped
