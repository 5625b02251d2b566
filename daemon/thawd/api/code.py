"""Code for functions: in a request as Lambda has it, and in pieces for what is larger.

On AWS a package of more than 50 MB zipped goes through S3. Here it goes to `POST /thaw/v1/code`, as it is
(`application/zip`), and the bucket of that name takes it from there: `Code={"S3Bucket": "thaw", "S3Key": CodeSha256}`.
Lambda's API has no member more or less by that, so every client that knows S3 can be told.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from attrs import define

from thawd.catalog.models import Code
from thawd.code.unpack import UNZIPPED_LIMIT
from thawd.errors import BundleError, PackageRefused
from thawd.http import Request, RequestRefused, Response, Router

from .context import Api, answer, members_of
from .errors import ApiError, invalid_parameter
from .offload import off_the_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .validation import Members

_log = structlog.get_logger()

ZIP_LIMIT: Final = 52_428_800
"""Bytes of a zip in a request (Lambda quotas: 50 MB)."""
BODY_LIMIT: Final = 70_167_211
"""Bytes of a request that may hold code: the zip in base64, and 256 KiB (AWS's error message)."""
UPLOAD_LIMIT: Final = UNZIPPED_LIMIT + (64 << 20)
"""Bytes of a zip in pieces: its content uncompressed, and the names of the most files there may be."""
BUCKET: Final = "thaw"
WAYS_ROUND: Final = (
    "`thaw function create` and `update` take up to 250 MB unzipped. With other clients, POST the zip to /thaw/v1/code, "
    f"then name it: S3Bucket={BUCKET}, S3Key=its CodeSha256"
)
_UPLOADING: Final = 16


@define(eq=False)
class Uploads:
    """thawd's own operation on code that no function has yet."""

    _api: Api
    _under_way: int = 0

    def route(self, router: Router) -> None:
        """Add the operation to a router."""
        router.add("POST", "/thaw/v1/code", self.upload)

    async def upload(self, request: Request) -> Response:
        """Take a zip, as it is; `{"CodeSha256": ..., "CodeSize": ...}`. It is kept for an hour for whoever names it."""
        if self._under_way >= _UPLOADING:
            raise RequestRefused(
                503,
                f"{_UPLOADING} uploads are under way: try again",
                headers=[("Retry-After", "1")],
            )
        self._under_way += 1
        try:
            upload = await self._api.core.bundles.receive(_pieces_of(request))
        except BundleError as error:
            raise invalid_parameter(str(error)) from error
        finally:
            self._under_way -= 1
        return answer({"CodeSha256": upload.code_sha256_base64, "CodeSize": upload.size}, 201)


async def _pieces_of(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream(limit=UPLOAD_LIMIT, kept=False):
            yield piece
    except RequestRefused as refusal:
        if refusal.status != 413:
            raise
        raise ApiError(
            "RequestEntityTooLargeException",
            413,
            f"The zip is larger than {UPLOAD_LIMIT} bytes: its content cannot be smaller than {UNZIPPED_LIMIT} bytes",
        ) from None


async def members_with_code(request: Request, operation: str) -> Members:
    """The members of a request that may hold code. Raises `ApiError` in AWS's words when there is too much of it."""
    try:
        return await members_of(request, limit=BODY_LIMIT)
    except RequestRefused as refusal:
        if refusal.status != 413:
            raise
        raise _too_large(
            f"Request must be smaller than {BODY_LIMIT} bytes for the {operation} operation"
        ) from None


async def read_code(members: Members | None) -> bytes | str | None:
    """What `Code` says: a zip, or the CodeSha256 of an upload; None when it says nothing. Raises `ApiError`."""
    if members is None:
        return None
    if members.used("S3Bucket") and members.text("S3Bucket") == BUCKET:
        key = members.text("S3Key")
        members.violations.check()
        if not key or members.used("S3ObjectVersion") or members.used("ZipFile"):
            raise invalid_parameter(
                f"S3Bucket={BUCKET} goes with S3Key, the CodeSha256 of an upload, and with nothing else"
            )
        return key
    for name in ("S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri", "SourceKMSKeyArn"):
        if members.used(name):
            raise invalid_parameter(
                f"thawd takes code as ZipFile only: {name} is not supported. "
                f"With the AWS CLI: --zip-file fileb://function.zip. For a zip of more than {ZIP_LIMIT} bytes: "
                f"{WAYS_ROUND}"
            )
    text = members.text("ZipFile")
    if text is None:
        return None
    try:
        # Not ASCII is not base64 either.
        data = await off_the_loop(partial(b64decode, validate=True), text.encode("ascii"))
    except (Base64Error, ValueError):
        raise invalid_parameter("ZipFile is not base64") from None
    if len(data) > ZIP_LIMIT:
        raise _too_large(f"Zipped size must be smaller than {ZIP_LIMIT} bytes")
    return data


async def store(api: Api, code: bytes | str) -> Code:
    """Keep what `read_code` has read. Raises `BundleError`, `StorageError`."""
    bundles = api.core.bundles
    try:
        bundle = await (bundles.adopt(code) if isinstance(code, str) else bundles.add(code))
    except PackageRefused as refusal:
        _log.warning("code.refused", reason=refusal.message, hint=refusal.hint)
        raise
    return Code(sha256=bundle.code_sha256_base64, size=bundle.zip_size)


def _too_large(message: str) -> ApiError:
    """AWS's own words, which clients know; the way round is said in the log."""
    _log.warning("code.too_large", reason=message, hint=WAYS_ROUND)
    return ApiError("RequestEntityTooLargeException", 413, message)
