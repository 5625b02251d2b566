"""Tags of functions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from attrs import define

from thawd.http import Request, Response, Router

from .context import Api, answer, members_of
from .errors import invalid_parameter
from .function_names import parse

if TYPE_CHECKING:
    from .validation import Members

_MOST = 50


@define(eq=False)
class Tags:
    """The operations on tags."""

    _api: Api

    def route(self, router: Router) -> None:
        """Add the operations to a router."""
        router.add("GET", "/2017-03-31/tags/{arn}", self.list)
        router.add("POST", "/2017-03-31/tags/{arn}", self.add)
        router.add("DELETE", "/2017-03-31/tags/{arn}", self.remove)

    async def list(self, request: Request) -> Response:
        """ListTags."""
        name = self._function_name(request)
        return answer({"Tags": self._api.core.catalog.function(name).tags})

    async def add(self, request: Request) -> Response:
        """TagResource."""
        name = self._function_name(request)
        members = await members_of(request)
        members.require("Tags")
        tags = read_tags(members)
        members.violations.check()
        catalog = self._api.core.catalog
        merged = catalog.function(name).tags | (tags or {})
        if len(merged) > _MOST:
            raise invalid_parameter(f"A function has at most {_MOST} tags")
        catalog.set_tags(name, merged)
        return Response(204)

    async def remove(self, request: Request) -> Response:
        """UntagResource."""
        name = self._function_name(request)
        keys = set(request.query.get("tagKeys", ()))
        catalog = self._api.core.catalog
        tags = catalog.function(name).tags
        catalog.set_tags(name, {key: value for key, value in tags.items() if key not in keys})
        return Response(204)

    def _function_name(self, request: Request) -> str:
        ref = parse(unquote(request.params["arn"]), None, self._api.arns)
        if ref.qualifier is not None:
            raise invalid_parameter(
                "Tags on function aliases and versions are not supported. Please specify a function ARN."
            )
        return ref.name


def read_tags(members: Members) -> dict[str, str] | None:
    """The `Tags` member. Notes violations."""
    tags = members.string_map("Tags")
    if tags is None:
        return None
    for key, value in tags.items():
        members.violations.length("tags.key", key, low=1, high=128)
        members.violations.length("tags.value", value, low=0, high=256)
    if len(tags) > _MOST:
        raise invalid_parameter(f"A function has at most {_MOST} tags")
    return tags
