"""Lambda's errors as clients get them, and the Lambda error for each of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from thawd.catalog.errors import (
    CodeMismatch,
    FunctionExists,
    FunctionNotFound,
    StaleRevision,
    StateConflict,
)
from thawd.errors import BundleError, CatalogError, PackageRefused, ThawError
from thawd.fleet.pool import NoCapacity
from thawd.http import RequestRefused, Response
from thawd.invoke.outcome import NotRun, Reason

if TYPE_CHECKING:
    from .arns import Arns


class ApiError(ThawError):
    """An answer that is one of Lambda's errors: exception name, HTTP status, message."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def invalid_parameter(message: str) -> ApiError:
    """A request whose parts are well formed but cannot be used."""
    return ApiError("InvalidParameterValueException", 400, message)


def invalid_content(message: str) -> ApiError:
    """A body that is not the JSON it should be."""
    return ApiError(
        "InvalidRequestContentException", 400, f"Could not parse request body into json: {message}"
    )


def not_found(arn: str) -> ApiError:
    """No such function, version or alias; `arn` names what was asked for."""
    return ApiError("ResourceNotFoundException", 404, f"Function not found: {arn}")


def conflict(message: str) -> ApiError:
    """The resource is in a state that does not allow this."""
    return ApiError("ResourceConflictException", 409, message)


_CAPITAL_MESSAGE: Final = frozenset(
    {
        "ResourceNotFoundException",
        "ServiceException",
        "SnapStartException",
        "SnapStartNotReadyException",
        "SnapStartTimeoutException",
        "SnapStartRegenerationFailureException",
    }
)
"""Errors whose body spells `Message`, not `message` (Lambda's service model)."""

_HTTP_CODES: Final = {
    400: "InvalidRequestContentException",
    403: "AccessDeniedException",
    404: "UnknownOperationException",
    405: "UnknownOperationException",
    408: "RequestTimeoutException",
    413: "RequestEntityTooLargeException",
    500: "ServiceException",
    503: "ServiceException",
}
"""The HTTP server's refusals, in AWS's words."""


def not_run(outcome: NotRun, arn: str) -> ApiError:
    """Why an invocation was not run, in Lambda's words and statuses; `arn` is what was invoked."""
    detail = outcome.detail
    match outcome.reason:
        case Reason.PENDING:
            return conflict(
                "The operation cannot be performed at this time. "
                "The function is currently in the following state: Pending"
            )
        case Reason.NOT_READY:
            message = (
                "Lambda is initializing your function. It will be ready to invoke once your function state becomes "
                "ACTIVE."
            )
            return ApiError("SnapStartNotReadyException", 409, f"{message} {detail}".rstrip())
        case Reason.FAILED:
            message = (
                "AWS Lambda could not invoke your SnapStart function. If this error persists, check your function's "
                "CloudWatch logs for initialization errors."
            )
            return conflict(f"{message} {detail}".rstrip())
        case Reason.DELETED:
            return not_found(arn)
        case Reason.THROTTLED:
            return ApiError("TooManyRequestsException", 429, f"Rate Exceeded. {detail}".rstrip())
        case Reason.RESTORE_TIMEOUT:
            return ApiError(
                "SnapStartTimeoutException",
                408,
                "Lambda couldn't restore the snapshot within the timeout limit.",
            )
        case Reason.RESTORE_FAILED:
            message = (
                "The afterRestore() runtime hook encountered an error. "
                "For more information, check the Amazon CloudWatch logs."
            )
            return ApiError("SnapStartException", 400, f"{message} {detail}".rstrip())
        case Reason.STOPPING:
            return ApiError(
                "ServiceException",
                503,
                "thawd is stopping and could not wait any longer for this invocation",
            )
        case Reason.SYSTEM:
            return ApiError("ServiceException", 500, detail)


def from_ours(error: ThawError, arns: Arns) -> ApiError:
    """The Lambda error for one of our own."""
    match error:
        case ApiError():
            return error
        case NoCapacity():
            return ApiError("TooManyRequestsException", 429, f"Rate Exceeded: {error}")
        case FunctionNotFound():
            return not_found(arns.arn(error.function_name, error.version))
        case FunctionExists():
            return conflict(f"Function already exist: {error.function_name}")
        case StaleRevision():
            return ApiError(
                "PreconditionFailedException",
                412,
                "The Revision Id provided does not match the latest Revision Id. "
                "Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
            )
        case CodeMismatch():
            return invalid_parameter(
                f"CodeSHA256 ({error.given}) is different from current CodeSHA256 in $LATEST "
                f"({error.current}). Please try again with the CodeSHA256 in $LATEST."
            )
        case StateConflict():
            return conflict(
                "The operation cannot be performed at this time. "
                f"The function is currently in the following state: {error.state}"
            )
        case PackageRefused():
            return invalid_parameter(error.message)
        case BundleError():
            return invalid_parameter(str(error))
        case CatalogError():
            return ApiError("ServiceException", 500, str(error))
        case _:
            return ApiError("ServiceException", 500, str(error))


def response(error: ApiError) -> Response:
    """An error as Lambda sends it. `ValidationException` has no `Type` (recorded from AWS)."""
    body: dict[str, str] = {}
    if error.code != "ValidationException":
        body["Type"] = "User" if error.status < 500 else "Service"
    body["Message" if error.code in _CAPITAL_MESSAGE else "message"] = error.message
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code)]
    if error.status == 429:
        headers.append(("Retry-After", "1"))
        body["Reason"] = "ConcurrentInvocationLimitExceeded"
    return Response(error.status, json.dumps(body).encode(), headers)


def refused(refusal: RequestRefused) -> Response:
    """A refusal of the HTTP server, in the form of a Lambda error."""
    code = _HTTP_CODES.get(refusal.status, "InvalidRequestContentException")
    answer = response(ApiError(code, refusal.status, refusal.reason))
    answer.headers.extend(refusal.headers)
    return answer
