"""From a command's arguments to settings and an open client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from thawd.config import Config, from_mapping, load, places

from .client import Client, find_socket

if TYPE_CHECKING:
    import argparse


def settings(arguments: argparse.Namespace) -> Config:
    """The configuration, as the daemon would read it.

    The system's file may be readable by the daemon only. A client needs of it no more than the socket, so then the
    defaults do; a file that was named must be readable.
    """
    named = arguments.config or os.environ.get("THAWD_CONFIG")
    if not named and places.SYSTEM_FILE.exists() and not os.access(places.SYSTEM_FILE, os.R_OK):
        return from_mapping({}, os.environ)
    return load(arguments.config, os.environ)


def connect(arguments: argparse.Namespace) -> Client:
    """A client of the daemon that `--socket`, `$THAW_SOCKET` or the configuration names."""
    asked = getattr(arguments, "socket", None)
    return Client(find_socket(asked, os.environ, settings(arguments)))
