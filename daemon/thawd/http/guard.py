"""Which web pages and host names may use a server: only those that the user named.

A browser on this machine reaches servers on its loopback addresses, and runs the scripts of any web page. Two headers
tell such a request from a program's (Fetch standard, `Origin`; RFC 9110, 7.2): a page of another site says its own
`Origin` with everything that is not a plain GET; and a page whose host name was made to point to this machine (DNS
rebinding) says that name as `Host`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import field, frozen

from .message import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .message import Request


def host_name(host: str) -> str | None:
    """The name or address in a `Host` header or a setting, lower-case, without port and brackets; None if there is none."""
    try:
        split = urlsplit(f"//{host}")
        name, _ = split.hostname, split.port  # a port that is not a number raises
    except ValueError:
        return None
    if not name or split.netloc != host or "@" in host:
        return None
    return name.lower().removesuffix(".")


def _names(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(name for host in hosts if (name := host_name(host)))


@frozen
class Guard:
    """Refuses requests by `Host` and `Origin`.

    `Host` counts where `Request.local_host` is known, which is on TCP. There it must be `localhost`, a loopback address, the
    address that the client connected to, or one of `allowed_hosts` (names or addresses without port). `Origin`, where
    sent, must be of the request's own `Host` or name one of `allowed_hosts`; on a Unix socket too, which a page reaches
    through a proxy only.
    """

    allowed_hosts: frozenset[str] = field(default=frozenset(), converter=_names)

    def check(self, request: Request) -> None:
        """Raises `RequestRefused` 403, which says what was refused and how to allow it."""
        host = request.header("Host") or ""
        if request.local_host is not None and not self._known(host, request.local_host):
            raise RequestRefused(
                403,
                f"Host {_shown(host)} is not one of this server's: name it in allowed_hosts of thawd.toml to allow it",
            )
        origin = request.header("Origin")
        if origin is not None and not self._same_site(origin, host):
            raise RequestRefused(
                403,
                f"Origin {_shown(origin)} may not use this server: name its host in allowed_hosts of thawd.toml to "
                "allow it",
            )

    def _known(self, host: str, local_host: str) -> bool:
        name = host_name(host)
        if name is None:
            return False
        if name == "localhost" or name in self.allowed_hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or address == ipaddress.ip_address(local_host)

    def _same_site(self, origin: str, host: str) -> bool:
        try:
            split = urlsplit(origin)
        except ValueError:
            return False
        if split.scheme not in {"http", "https"} or not split.netloc:
            return False  # "null" of a sandboxed page or a file, an extension's
        if split.netloc.lower() == host.lower():
            return True
        return host_name(split.netloc) in self.allowed_hosts


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "...")
