"""Where things lie when no file says so, and who may look into them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thawd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_FILE: Final = Path("/etc/thawd/thawd.toml")
SYSTEM_STATE_DIRECTORY: Final = Path("/var/lib/thawd")
SYSTEM_RUNTIME_DIRECTORY: Final = Path("/run/thawd")
SOCKET_NAME: Final = "thawd.sock"


def default_state_directory(environ: Mapping[str, str]) -> Path:
    """Where state lies when no file says so: systemd's STATE_DIRECTORY, /var/lib/thawd for root, else XDG's place."""
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SYSTEM_STATE_DIRECTORY
    if base := environ.get("XDG_STATE_HOME"):
        return Path(base) / "thawd"
    return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "thawd"


def default_runtime_directory(environ: Mapping[str, str]) -> Path:
    """Where sockets lie when no file says so: systemd's RUNTIME_DIRECTORY, /run/thawd for root, XDG's place, /tmp."""
    if given := environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SYSTEM_RUNTIME_DIRECTORY
    if base := environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "thawd"
    return Path(f"/tmp/thawd-{os.geteuid()}")  # noqa: S108 - owner and mode are checked when it is made


def private_directory(directory: Path) -> None:
    """Make a directory, mode 0700, where there is none.

    Raises `ConfigError` when it cannot be made, or exists but could be another user's.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owners = {
            directory.lstat().st_uid,
            directory.stat().st_uid,
        }  # of a link, and of what it names
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot be created: {error.strerror or error}",
            hint="Choose another directory in the configuration, or start thawd as a user who may write there",
        ) from error
    strangers = owners - {os.geteuid(), 0}
    if strangers:
        raise ConfigError(
            f"{directory} belongs to another user (uid {strangers.pop()})",
            hint="Remove it, or configure a directory of your own",
        )
    if mode & stat.S_IWOTH:
        raise ConfigError(
            f"{directory} can be written by everyone",
            hint=f"Make it private: chmod 700 {directory}",
        )
