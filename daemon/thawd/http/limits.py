"""What a server accepts and how long it waits."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    header_bytes: int = 32 << 10
    """Request line and headers together (431 above)."""
    body_bytes: int = 8 << 20
    """Request body where the handler sets no other limit (413 above)."""
    connections: int = 512
    """Open at once; one more is answered with 503."""
    idle_s: float = 75.0
    """A kept-alive connection waits this long for its next request."""
    header_s: float = 10.0
    """From a request's first byte to the end of its headers (408 above)."""
    body_s: float = 30.0
    """Between two pieces of a request's body (408 above)."""
    write_s: float = 30.0
    """For the client to take one piece of the answer."""
    linger_s: float = 5.0
    """What a client still sends after its request was refused is read and thrown away this long, so that it comes to
    read the answer (RFC 9112, 9.6)."""
