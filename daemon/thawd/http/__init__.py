"""HTTP/1.1 on trio over Unix and TCP listeners. Knows nothing of Lambda."""

from __future__ import annotations

from .crowd import HttpStatistics
from .guard import Guard
from .limits import Limits
from .listeners import open_tcp_listener, open_unix_listener
from .message import PeerCredentials, Request, RequestRefused, Response
from .router import Router
from .server import Server, serve

__all__ = [
    "Guard",
    "HttpStatistics",
    "Limits",
    "PeerCredentials",
    "Request",
    "RequestRefused",
    "Response",
    "Router",
    "Server",
    "open_tcp_listener",
    "open_unix_listener",
    "serve",
]
