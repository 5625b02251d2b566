"""X-Ray's trace header: a client's trace is continued, otherwise one begins (AWS X-Ray, tracing header)."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

_LONGEST: Final = 1024
"""Characters of a header that is looked at; AWS's own has some 150."""
_ROOT: Final = re.compile(r"1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}")
_PARENT: Final = re.compile(r"[0-9a-fA-F]{16}")
_OTHER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*=[!-:<-~]*")
"""A member of any other name: visible ASCII, so that it can be a variable and a header again."""


def trace_of(header: str | None) -> str:
    """The trace of an invocation, for the function and for the answer.

    Of a client's header the root, the parent and whether it is sampled are kept, and members of other names as they came:
    `Lineage` is how AWS's SDKs notice that a function calls itself. Without a root that is one, the trace is new.
    """
    given = [part.strip() for part in (header or "")[:_LONGEST].split(";")]
    members = dict(part.split("=", 1) for part in given if _OTHER.fullmatch(part))
    root = members.pop("Root", "")
    if not _ROOT.fullmatch(root):
        root, members = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}", {}
    parent = members.pop("Parent", "")
    if not _PARENT.fullmatch(parent):
        parent = secrets.token_hex(8)
    sampled = "1" if members.pop("Sampled", "0") == "1" else "0"
    others = (f"{name}={value}" for name, value in members.items())
    return ";".join([f"Root={root}", f"Parent={parent}", f"Sampled={sampled}", *others])
