"""Requests over HTTP: what is fetched at init and kept is as old as the snapshot, and of keys and tokens that matters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from . import catalogue
from .values import UNKNOWN, Kind, Origin, Thing, Value, text_of

if TYPE_CHECKING:
    from thaw_check.findings import Location

    from .state import Arguments
    from .values import Origins

LIBRARIES: Final = frozenset({"requests", "httpx", "urllib3", "urllib", "aiohttp"})
"""Clients whose answers do not contain what they were sent."""
_REQUEST: Final = re.compile(
    r"(?:requests|httpx|urllib3|aiohttp|urllib\.request)\.(?:\w+\(\)\.)?(get|post|put|request|urlopen|stream)"
)
_KEYS: Final = frozenset(
    {"jwks", "jwk", "keys", "certs", "cert", "certificate", "certificates", "openid"}
)
_SECRETS: Final = frozenset({"token", "tokens", "secret", "secrets", "password", "credentials"})
_WORD: Final = re.compile(r"[a-z]+")


def answer(name: str, arguments: Arguments, at: Location) -> Value | None:
    """What a request brings; None if `name` is none."""
    match = _REQUEST.fullmatch(name)
    if match is None:
        return None
    places = (
        arguments.positional[:2] if match[1] in {"request", "stream"} else arguments.positional[:1]
    )
    url = "".join(text_of(each) for each in (*places, arguments.keywords.get("url", UNKNOWN)))
    kind = kind_of(_words(url.partition("?")[0])) or Kind.FETCHED
    # Whoever shows this token is told the environment's credentials.
    shown = frozenset(o for o in arguments.origins() if o.source == catalogue.CREDENTIALS_TOKEN)
    return Value(shown | {Origin(kind, name, at)}, Thing(f"{name}()"))


def kind_of(words: set[str]) -> Kind | None:
    """Whether names or addresses of these words are of what is renewed now and then."""
    if words & _SECRETS:
        return Kind.SECRET
    if words & _KEYS:
        return Kind.LOOKUP
    return None


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def came_with(origins: Origins) -> Origins:
    """What an answer's parts contain of that which the answer does."""
    return frozenset(
        origin
        for origin in origins
        if origin.source == catalogue.CREDENTIALS_TOKEN or _REQUEST.fullmatch(origin.source)
    )
