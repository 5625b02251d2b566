"""HTTP/1.1 on trio over Unix and TCP listeners. Knows nothing of Lambda."""

from __future__ import annotations

from .limits import Limits
from .message import PeerCredentials, Request, RequestRefused, Response
from .router import Router
from .server import HttpStatistics, Server, open_unix_listener, serve

__all__ = [
    "HttpStatistics",
    "Limits",
    "PeerCredentials",
    "Request",
    "RequestRefused",
    "Response",
    "Router",
    "Server",
    "open_unix_listener",
    "serve",
]
