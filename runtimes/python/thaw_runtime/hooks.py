"""The two ends of a snapshot: `Session.freeze` runs last before it, `Session.thaw` first after it.

AWS's hook registry runs before-snapshot hooks last in, first out, and after-restore hooks first in, first out
(snapshot_restore_py 1.0). The first to register is therefore outermost at both ends: this module, which is imported
before the function's code.
"""

from __future__ import annotations

import gc
import sys
import time
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import leftovers, plain, protocol
from thaw_runtime.draw import Draw
from thaw_runtime.gate import Gate
from thaw_runtime.registry import Registry, ThawFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw_runtime.children import Children
    from thaw_runtime.control import Control
    from thaw_runtime.recording import Recorder

_THAW_MESSAGE_MS: Final = 5_000
"""The agent queues the message before it lets this process run; waiting at all means that something is wrong."""


class TimedHook:
    """A user's hook with a clock around it: the same call, the same result, the same exception."""

    def __init__(self, hook: Callable[..., Any], report: list[dict[str, Any]]) -> None:
        self._hook = hook
        self._report = report
        module, name = plain.origin(hook)
        self._name = f"{module or '?'}.{name}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the hook and report its time in microseconds."""
        began = time.perf_counter_ns()
        ok = False
        try:
            result = self._hook(*args, **kwargs)
            ok = True
        finally:
            elapsed_us = (time.perf_counter_ns() - began) // 1000
            self._report.append({"name": self._name, "us": elapsed_us, "ok": ok})
        return result


class Session:
    """This process's part in one snapshot and its restores."""

    def __init__(
        self,
        control: Control,
        registry: Registry,
        recorder: Recorder | None = None,
        children: Children | None = None,
    ) -> None:
        self._control = control
        self._registry = registry
        self._recorder = recorder
        self._children = children
        self._of_children: list[str] = []
        self._before: list[dict[str, Any]] = []
        self._after: list[dict[str, Any]] = []
        self._hooks: Any = None
        self._broken: str | None = None
        self._gate = Gate()
        self._version = sys.version.partition(" ")[0]
        self.elapsed_us = 0

    def register(self, hooks: Any) -> None:
        """Stand outermost in the registry `snapshot_restore_py`, and put a clock on what is registered later."""
        self._hooks = hooks
        hooks.register_before_snapshot(self.freeze)
        hooks.register_after_restore(self.thaw)
        register = hooks.register_before_snapshot

        def register_before_snapshot(
            func: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Callable[..., Any]:
            register(TimedHook(func, self._before), *args, **kwargs)
            return func

        register_before_snapshot.__doc__ = register.__doc__
        register_before_snapshot.__wrapped__ = register  # type: ignore[attr-defined]
        hooks.register_before_snapshot = register_before_snapshot

    def refuse(self, reason: str) -> None:
        """Fail the publish when it comes to freeze: something that protects clones could not be set up."""
        self._broken = reason

    def freeze(self) -> None:
        """The last before-snapshot hook. Raises `ThawFailed`, which makes the publish fail."""
        began = time.perf_counter_ns()
        try:
            if self._broken is not None:
                raise ThawFailed(self._broken)
            gc.collect()
            if self._recorder is not None:
                with self._registry.diagnosis.guard():
                    self._recorder.keep_globals()
            self._registry.freeze()
            if self._children is not None:
                self._of_children = self._children.freeze()
            self._clock_after_restore_hooks()
        finally:
            self.elapsed_us = (time.perf_counter_ns() - began) // 1000
            self._control.send(self._report(protocol.FROZEN, self._before))
        # What lives now is never scanned again: a collection in a clone does not touch, and so copy, these pages.
        gc.freeze()
        self._gate.close(per_thread=self._registry.per_thread)

    def thaw(self) -> None:
        """The first after-restore hook. Raises what means that this machine must be killed: `ThawFailed`, `ChildFailed`, `ControlError`."""
        secret = self._control.thaw(timeout_ms=_THAW_MESSAGE_MS)
        began = time.perf_counter_ns()
        draw = Draw(secret)
        try:
            self._registry.thaw(draw)
            if self._children is not None:
                self._children.thaw(draw)
        except Exception:
            self._control.send(self._report(protocol.THAWED, self._after))
            raise
        finally:
            self.elapsed_us = (time.perf_counter_ns() - began) // 1000
            renew = partial(self._registry.thaw_thread_or_end, draw)
            self._gate.open(renew if self._registry.per_thread else None)

    def finish(self) -> None:
        """The last after-restore hook: tells the agent what ran."""
        self._control.send(self._report(protocol.THAWED, self._after))

    def _clock_after_restore_hooks(self) -> None:
        hooks = self._hooks.get_after_restore()
        hooks[:] = [
            (func if self._is_ours(func) else TimedHook(func, self._after), args, kwargs)
            for func, args, kwargs in hooks
        ]
        hooks.append((self.finish, (), {}))

    def _is_ours(self, hook: Any) -> bool:
        return type(hook) is MethodType and hook.__self__ is self

    def _report(self, kind: int, hooks: list[dict[str, Any]]) -> bytes:
        recorded: list[str] = []
        if self._recorder is not None:
            recorded += self._recorder.diagnosis.notes()
            recorded += () if self._registry.is_off else leftovers.SHARED_BY_ALL
        return protocol.report(
            kind,
            self.elapsed_us,
            version=self._version,
            fixers=self._registry.report(),
            hooks=hooks,
            notes=[*self._of_children, *self._registry.notes, *recorded],
        )
