"""Settings: defaults that need no file, a TOML file, and nothing else.

`load()` finds the file (`--config`, then `$THAWD_CONFIG`, then /etc/thawd/thawd.toml if there is one), checks it strictly
and returns a frozen `Config`. Every mistake is reported, not only the first, with the setting's full name and
the values that are accepted. docs/configuration.md lists every setting; a test keeps it complete.
"""

from __future__ import annotations

from .load import from_mapping, load
from .places import SOCKET_NAME, SYSTEM_RUNTIME_DIRECTORY, SYSTEM_STATE_DIRECTORY
from .settings import (
    Address,
    Config,
    FunctionConfig,
    LimitsConfig,
    LogConfig,
    PoolConfig,
    TcpAddress,
    UnixAddress,
    parse_address,
)

__all__ = [
    "SOCKET_NAME",
    "SYSTEM_RUNTIME_DIRECTORY",
    "SYSTEM_STATE_DIRECTORY",
    "Address",
    "Config",
    "FunctionConfig",
    "LimitsConfig",
    "LogConfig",
    "PoolConfig",
    "TcpAddress",
    "UnixAddress",
    "from_mapping",
    "load",
    "parse_address",
]
