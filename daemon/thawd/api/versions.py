"""Versions: publish and list. Reading and deleting one is `functions`' with a qualifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from thawd.catalog.models import State

from .context import Api, answer, marker, members_of, page_size, place
from .settings import refuse_what_is_not_here
from .shapes import configuration

if TYPE_CHECKING:
    from thawd.http import Request, Response, Router


@define(eq=False)
class Versions:
    """The operations on versions."""

    _api: Api

    def route(self, router: Router) -> None:
        """Add the operations to a router."""
        router.add("POST", "/2015-03-31/functions/{name}/versions", self.publish)
        router.add("GET", "/2015-03-31/functions/{name}/versions", self.list)

    async def publish(self, request: Request) -> Response:
        """PublishVersion: of `$LATEST` as it is; the last version again if nothing changed since."""
        api = self._api
        members = await members_of(request)
        description = members.text("Description", high=256)
        code_sha256 = members.text("CodeSha256")
        revision_id = members.text("RevisionId")
        members.violations.check()
        refuse_what_is_not_here(members)
        version, new = api.core.catalog.publish_version(
            api.latest(request).function_name,
            description=description,
            code_sha256=code_sha256 or None,
            revision_id=revision_id or None,
        )
        if new and version.state is State.PENDING:
            api.core.publisher.publish(version)
        return answer(configuration(version, api.arns, qualified=True), 201)

    async def list(self, request: Request) -> Response:
        """ListVersionsByFunction: `$LATEST`, then oldest first."""
        api = self._api
        ref = api.ref(request)
        size = page_size(request)
        after = place(request, 1)
        found = api.core.catalog.versions(
            ref.name, after=None if after is None else after[0], limit=size + 1
        )
        page = found[:size]
        shape: dict[str, Any] = {
            "Versions": [configuration(version, api.arns, qualified=True) for version in page]
        }
        if len(found) > size:
            shape["NextMarker"] = marker(page[-1].version)
        return answer(shape)
