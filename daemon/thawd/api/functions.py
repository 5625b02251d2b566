"""Functions: create, read, list, update, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, evolve

from thawd.catalog.models import LATEST, Code, FunctionVersion, State
from thawd.http import Request, Response, Router

from .code import members_with_code, read_code, store
from .context import Api, answer, marker, members_of, page_size, place
from .errors import ApiError, invalid_parameter
from .function_names import parse
from .settings import configured, read_architectures, read_settings, refuse_what_is_not_here
from .shapes import configuration
from .tags import read_tags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PIECE: Final = 256 << 10


@define(eq=False)
class Functions:
    """The operations on functions."""

    _api: Api

    def route(self, router: Router) -> None:
        """Add the operations to a router."""
        router.add("POST", "/2015-03-31/functions", self.create)
        router.add("GET", "/2015-03-31/functions", self.list)
        router.add("GET", "/2015-03-31/functions/{name}", self.get)
        router.add("DELETE", "/2015-03-31/functions/{name}", self.delete)
        router.add("GET", "/2015-03-31/functions/{name}/configuration", self.get_configuration)
        router.add("PUT", "/2015-03-31/functions/{name}/configuration", self.update_configuration)
        router.add("PUT", "/2015-03-31/functions/{name}/code", self.update_code)
        router.add("GET", "/thaw/v1/functions/{name}/code", self.download)

    async def create(self, request: Request) -> Response:
        """CreateFunction."""
        api, core = self._api, self._api.core
        members = await members_with_code(request, "CreateFunction")
        members.require("FunctionName", "Role", "Code")
        text = members.text("FunctionName", low=1, high=140)
        settings = read_settings(members, core)
        tags = read_tags(members)
        publish = members.boolean("Publish")
        members.violations.check()
        ref = parse(text or "", None, api.arns)
        if ref.qualifier is not None:
            raise invalid_parameter("A function cannot be created with a qualifier in its name")
        refuse_what_is_not_here(members)
        if not {"runtime", "handler"} <= settings.keys():
            raise invalid_parameter(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        draft = configured(
            FunctionVersion(
                function_name=ref.name,
                version=LATEST,
                runtime=settings["runtime"],
                handler=settings["handler"],
                role=settings["role"],
                code=Code(sha256="", size=0),
            ),
            settings,
        )
        given = await read_code(members.structure("Code"))
        if given is None:
            raise invalid_parameter("Please provide a source for function code.")
        self._refuse_existing(ref.name)
        code = await store(api, given)
        version = core.catalog.create_function(evolve(draft, code=code), tags=tags)
        if publish:
            version = self._publish(ref.name)
        return answer(configuration(version, api.arns, qualified=False), 201)

    async def get(self, request: Request) -> Response:
        """GetFunction."""
        api = self._api
        ref = api.ref(request)
        version = api.version(ref)
        function = api.core.catalog.function(ref.name)
        host = request.header("Host") or "localhost"
        location = f"http://{host}/thaw/v1/functions/{ref.name}/code?Qualifier={version.version}"
        shape: dict[str, Any] = {
            "Configuration": configuration(version, api.arns, qualified=ref.qualifier is not None),
            "Code": {"RepositoryType": "S3", "Location": location},
        }
        if function.tags:
            shape["Tags"] = function.tags
        return answer(shape)

    async def get_configuration(self, request: Request) -> Response:
        """GetFunctionConfiguration."""
        ref = self._api.ref(request)
        version = self._api.version(ref)
        return answer(configuration(version, self._api.arns, qualified=ref.qualifier is not None))

    async def list(self, request: Request) -> Response:
        """ListFunctions."""
        api, catalog = self._api, self._api.core.catalog
        size = page_size(request)
        wanted = request.query_value("FunctionVersion")
        if wanted not in {None, "ALL"}:
            raise ApiError(
                "ValidationException",
                400,
                f"1 validation error detected: Value '{wanted}' at 'functionVersion' failed to satisfy "
                "constraint: Member must satisfy enum value set: [ALL]",
            )
        after = place(request, 2)
        if wanted == "ALL":
            found = catalog.all_versions(
                after=None if after is None else (after[0], after[1]), limit=size + 1
            )
        else:
            found = catalog.functions(after="" if after is None else after[0], limit=size + 1)
        page = found[:size]
        shape: dict[str, Any] = {
            "Functions": [
                configuration(version, api.arns, qualified=wanted == "ALL", with_state=False)
                for version in page
            ]
        }
        if len(found) > size:
            shape["NextMarker"] = marker(page[-1].function_name, page[-1].version)
        return answer(shape)

    async def update_code(self, request: Request) -> Response:
        """UpdateFunctionCode."""
        api, core = self._api, self._api.core
        members = await members_with_code(request, "UpdateFunctionCode")
        architectures = read_architectures(members, core.architectures)
        dry_run, publish = members.boolean("DryRun"), members.boolean("Publish")
        revision_id = members.text("RevisionId")
        members.violations.check()
        refuse_what_is_not_here(members)
        latest = api.latest(request)
        name = latest.function_name
        given = await read_code(members)
        if given is None:
            raise invalid_parameter("Please provide a source for function code.")
        code = await store(api, given)

        def change(version: FunctionVersion) -> FunctionVersion:
            return evolve(version, code=code, architectures=architectures or version.architectures)

        if dry_run:
            return answer(configuration(change(latest), api.arns, qualified=False))
        version = core.catalog.update_latest(name, change, revision_id=revision_id)
        core.collector.nudge()
        if publish:
            version = self._publish(name)
        return answer(configuration(version, api.arns, qualified=publish))

    async def update_configuration(self, request: Request) -> Response:
        """UpdateFunctionConfiguration."""
        api = self._api
        members = await members_of(request)
        settings = read_settings(members, api.core)
        revision_id = members.text("RevisionId")
        members.violations.check()
        refuse_what_is_not_here(members)
        latest = api.latest(request)
        version = api.core.catalog.update_latest(
            latest.function_name,
            lambda current: configured(current, settings),
            revision_id=revision_id,
        )
        return answer(configuration(version, api.arns, qualified=False))

    async def delete(self, request: Request) -> Response:
        """DeleteFunction: a version with a qualifier, else the function with all its versions."""
        api, core = self._api, self._api.core
        ref = api.ref(request)
        if ref.qualifier == LATEST:
            raise invalid_parameter(
                f"{LATEST} version cannot be deleted without deleting the function."
            )
        if ref.qualifier is None:
            core.catalog.delete_function(ref.name)
        else:
            core.catalog.delete_version(ref.name, ref.qualifier)
        # The row is gone: a client that hangs up now must not leave machines and snapshots behind.
        with trio.CancelScope(shield=True):
            await core.publisher.forget(ref.name, ref.qualifier)
        core.collector.nudge()
        return Response(204)

    async def download(self, request: Request) -> Response:
        """The zip of a version's code: what `Code.Location` of GetFunction points to."""
        version = self._api.version(self._api.ref(request))
        path = trio.Path(self._api.core.bundles.find_zip(version.code.sha256))
        headers = [
            ("Content-Type", "application/zip"),
            ("Content-Length", str(version.code.size)),
            (
                "Content-Disposition",
                f'attachment; filename="{version.function_name}.zip"',
            ),
        ]
        return Response(200, _pieces(path, version.code.size), headers)

    # -----------------------------------------------------------------------------------------------------------------

    def _publish(self, name: str) -> FunctionVersion:
        version, new = self._api.core.catalog.publish_version(name)
        if new and version.state is State.PENDING:
            self._api.core.publisher.publish(version)
        return version

    def _refuse_existing(self, name: str) -> None:
        """Refuse before the code is unpacked for nothing."""
        if self._api.core.catalog.has_function(name):
            raise ApiError("ResourceConflictException", 409, f"Function already exist: {name}")


async def _pieces(path: trio.Path, size: int) -> AsyncIterator[bytes]:
    async with await path.open("rb") as file:
        while size > 0 and (piece := await file.read(_PIECE)):
            size -= len(piece)
            yield piece
