"""How much a server accepts and how long it waits."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds.

    A pause has a limit so that a client which went away is noticed; a whole has one so that a client which never stops
    sending a little is, too. Sums are over all connections of a server.
    """

    header_bytes: int = 32 << 10
    """Request line and headers together (431 above)."""
    body_bytes: int = 8 << 20
    """Request body where the handler sets no other limit (413 above)."""
    held_bytes: int = 256 << 20
    """Request bodies of all connections together, from their first byte to the end of their answer (503 above). What a
    handler has put away meanwhile does not count (`Request.stream`)."""
    connections: int = 512
    """Open at once. For one more, the one that is idle longest or slowest makes room; it is answered with 503 where
    every one is being served."""
    idle_s: float = 75.0
    """A kept-alive connection waits this long for its next request."""
    header_s: float = 10.0
    """From a request's first byte to the end of its headers (408 above)."""
    body_s: float = 30.0
    """Between two pieces of a request's body (408 above)."""
    body_rate: int = 16 << 10
    """Bytes a second of a request's body, on the whole: it may take `body_s` and its length at this rate (408 above)."""
    slow_s: float = 1.0
    """A request that has been waited for this long, and arrives at less than four times `body_rate`, makes room for a
    new connection; so does an answer that its client has not taken for this long."""
    write_s: float = 30.0
    """For the client to take one piece of the answer."""
    linger_s: float = 5.0
    """After a request was refused, the rest of it is read and thrown away this long, so that the client comes to read the
    answer (RFC 9112, 9.6)."""
    last_words_s: float = 2.0
    """For the last answers of a server that shuts down: to requests that had not ended at the deadline."""
