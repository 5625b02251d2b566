"""The whole API as one handler: routes, request ids, errors in Lambda's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from thawd.errors import ThawError
from thawd.http import Request, RequestRefused, Response, Router

from .account import Account
from .arns import Arns
from .code import Uploads
from .context import Api
from .development import Development
from .errors import from_ours, refused, response
from .functions import Functions
from .health import Health
from .invocations import Invocations
from .tags import Tags
from .versions import Versions

if TYPE_CHECKING:
    from .core import Core

REQUEST_ID: Final = "x-amzn-RequestId"


@define(eq=False)
class App:
    """Answers every request, also a refused one, with a request id."""

    _arns: Arns
    _router: Router

    async def __call__(self, request: Request) -> Response:
        """Answer by route; a `ThawError` becomes the Lambda error for it."""
        try:
            answer = await self._router(request)
        except RequestRefused as refusal:
            return self.refuse(refusal, request.id)
        except ThawError as error:
            answer = response(from_ours(error, self._arns))
        answer.headers.append((REQUEST_ID, request.id))
        return answer

    def refuse(self, refusal: RequestRefused, request_id: str) -> Response:
        """A refusal of the HTTP server, in the same form: its `render_error`."""
        answer = refused(refusal)
        answer.headers.append((REQUEST_ID, request_id))
        return answer


def build(core: Core) -> App:
    """The API over this core: the `app` of `thawd.http.serve`, with its `refuse` as `render_error`."""
    arns = Arns(region=core.region, account_id=core.account_id)
    api = Api(core, arns)
    router = Router()
    for resource in (Functions, Versions, Invocations, Tags, Account, Health, Development, Uploads):
        resource(api).route(router)
    return App(arns, router)
