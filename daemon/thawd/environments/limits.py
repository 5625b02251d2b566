"""How long a start may take, and the error when it takes longer."""

from __future__ import annotations

from typing import Final

from thawd.errors import GuestError

RESTORE_LIMIT_S: Final = 10.0
"""Runtime load and after-restore hooks (Lambda: restore limit 10 s)."""
ON_DEMAND_INIT_LIMIT_S: Final = 10.0
"""Init of a function without SnapStart (Lambda: 10 s). On emulated processors it counts otherwise, see `Host`."""
SNAPSTART_INIT_LIMIT_S: Final = 130.0
"""Init before a snapshot, before-snapshot hooks included: at least this, or the function's time-out."""


class StartTimeout(GuestError):
    """Init or restore took longer than its limit."""


class InitTimeout(StartTimeout):
    """It was the function's init, in a guest that answers."""
