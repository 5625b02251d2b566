"""Shared by all operations: the function that a request names, its body, its answer, pages of lists."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from attrs import frozen

from thawd.catalog.errors import FunctionNotFound
from thawd.catalog.models import LATEST, FunctionVersion
from thawd.http import Request, Response

from .errors import ApiError, invalid_parameter, not_found
from .function_names import FunctionRef, parse
from .offload import off_the_loop
from .validation import Members, Violations, read_members

if TYPE_CHECKING:
    from .arns import Arns
    from .core import Core

CONTROL_BODY_LIMIT = 1 << 20
"""Bytes of a request body that carries no code: descriptions, tags and 4 KB of variables fit many times."""


@frozen
class Api:
    """The core with the ARNs it gives: what each resource's operations are built on."""

    core: Core
    arns: Arns

    def ref(self, request: Request) -> FunctionRef:
        """The function and qualifier a request names. Raises `ApiError`."""
        return parse(request.params["name"], request.query_value("Qualifier"), self.arns)

    def latest(self, request: Request) -> FunctionVersion:
        """`$LATEST` of the function a request names, for operations that change it.

        Raises `ApiError` for a qualifier that is not `$LATEST`, `FunctionNotFound`.
        """
        ref = self.ref(request)
        if ref.qualifier not in {None, LATEST}:
            raise invalid_parameter(
                f"This operation is only permitted on {LATEST}: the version {ref.qualifier} cannot be changed"
            )
        return self.core.catalog.version(ref.name)

    def version(self, ref: FunctionRef, *, name_latest: bool = False) -> FunctionVersion:
        """The version a reference names; `$LATEST` without a qualifier.

        Raises `ApiError` (404), which names the qualifier the client gave, or `$LATEST` if `name_latest`.
        """
        try:
            return self.core.catalog.version(ref.name, ref.qualifier or LATEST)
        except FunctionNotFound:
            named = ref.qualifier or (LATEST if name_latest else None)
            raise not_found(self.arns.arn(ref.name, named)) from None


async def members_of(request: Request, *, limit: int = CONTROL_BODY_LIMIT) -> Members:
    """A request's JSON body. Raises `ApiError`, `RequestRefused` 413."""
    return await off_the_loop(read_members, await request.read(limit=limit))


def answer(shape: dict[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    # ASCII: half a surrogate pair in a value is an escape then, and every parser takes it.
    return Response(status, json.dumps(shape).encode(), [("Content-Type", "application/json")])


def page_size(request: Request, *, most: int = 50) -> int:
    """`MaxItems` of a list request, at most what one page holds. Raises `ApiError`."""
    text = request.query_value("MaxItems")
    if text is None:
        return most
    violations = Violations()
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ApiError(
            "InvalidParameterValueException", 400, f"MaxItems is not a number: {text[:100]}"
        )
    value = int(text)
    if value < 1:
        violations.add("maxItems", text, "Member must have value greater than or equal to 1")
    elif value > 10_000:
        violations.add("maxItems", text, "Member must have value less than or equal to 10000")
    violations.check()
    return min(value, most)


def marker(*place: str) -> str:
    """A place in a list, opaque to clients."""
    return b64encode(json.dumps(place).encode()).decode()


def place(request: Request, length: int) -> tuple[str, ...] | None:
    """Where the request's `Marker` says to go on; None for the beginning. Raises `ApiError`."""
    text = request.query_value("Marker")
    if not text:
        return None
    try:
        value = json.loads(b64decode(text, validate=True))
    except (ValueError, RecursionError):
        value = None
    if not (
        isinstance(value, list) and len(value) == length and all(isinstance(v, str) for v in value)
    ):
        raise invalid_parameter("Invalid pagination token: Marker is not one that a list returned")
    return tuple(value)
