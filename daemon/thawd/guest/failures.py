"""How the function in a guest can fail, as the agent tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thawd.errors import GuestError

if TYPE_CHECKING:
    from thaw_agent import wire


class InitFailure(GuestError):
    """The function's init failed; `error_type`, `body` as the runtime posted them."""

    def __init__(self, failed: wire.InitFailed) -> None:
        super().__init__(failed.message)
        self.error_type = failed.error_type
        self.body = failed.body
        self.duration_us = failed.duration_us


class RestoreFailure(GuestError):
    """A restore step or an after-restore hook failed: this machine must be killed."""

    def __init__(self, failed: wire.RestoreFailed) -> None:
        super().__init__(failed.message)
        self.error_type = failed.error_type
        self.body = failed.body
        self.steps = failed.steps


class AgentFault(GuestError):
    """The agent in the guest said that it cannot go on. The function alone shares a machine with it."""


class RuntimeExited(GuestError):
    """The runtime process ended while an invocation was running."""

    def __init__(self, exited: wire.Exited) -> None:
        super().__init__(exited.reason or "exited without providing a reason")
        self.exited = exited
