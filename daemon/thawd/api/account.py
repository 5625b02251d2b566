"""Operations that AWS tools read on every run: limits, code signing, concurrency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from .code import ZIP_LIMIT
from .context import Api, answer

if TYPE_CHECKING:
    from thawd.http import Request, Response, Router

_UNZIPPED_LIMIT: Final = 262_144_000
_CODE_STORAGE: Final = 80_530_636_800
_CONCURRENCY: Final = 1000


@define(eq=False)
class Account:
    """Operations that only read, and that deployment tools call on every run."""

    _api: Api

    def route(self, router: Router) -> None:
        """Add the operations to a router."""
        router.add("GET", "/2016-08-19/account-settings", self.settings)
        router.add("GET", "/2020-06-30/functions/{name}/code-signing-config", self.code_signing)
        router.add("GET", "/2019-09-30/functions/{name}/concurrency", self.concurrency)

    async def settings(self, request: Request) -> Response:  # noqa: ARG002 - a handler
        """GetAccountSettings: AWS's default quotas, and what is used."""
        statistics = self._api.core.catalog.statistics()
        return answer(
            {
                "AccountLimit": {
                    "TotalCodeSize": _CODE_STORAGE,
                    "CodeSizeUnzipped": _UNZIPPED_LIMIT,
                    "CodeSizeZipped": ZIP_LIMIT,
                    "ConcurrentExecutions": _CONCURRENCY,
                    "UnreservedConcurrentExecutions": _CONCURRENCY,
                },
                "AccountUsage": {
                    "TotalCodeSize": statistics.code_bytes,
                    "FunctionCount": statistics.functions,
                },
            }
        )

    async def code_signing(self, request: Request) -> Response:
        """GetFunctionCodeSigningConfig: none. Terraform reads it whenever it refreshes a function."""
        ref = self._api.ref(request)
        self._api.core.catalog.function(ref.name)
        return answer({"FunctionName": ref.name})

    async def concurrency(self, request: Request) -> Response:
        """GetFunctionConcurrency: empty, which says that nothing is reserved. Terraform and the console read it."""
        self._api.core.catalog.function(self._api.ref(request).name)
        return answer({})
