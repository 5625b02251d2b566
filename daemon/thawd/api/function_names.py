"""The forms of `FunctionName`: a name, `name:qualifier`, a partial ARN, a full ARN; and `Qualifier` beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import frozen

from .errors import ApiError, invalid_parameter, not_found
from .validation import Violations

if TYPE_CHECKING:
    from .arns import Arns

NAME_PATTERN: Final = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"
    r"(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
"""As in Lambda's service model; its text is part of the message."""
QUALIFIER_PATTERN: Final = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"

_NAME_LIMIT: Final = 64
_FORM: Final = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):)?(?P<kind>function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)


@frozen
class FunctionRef:
    """A function, and which version or alias of it, if the client said so."""

    name: str
    qualifier: str | None = None


def parse(text: str, qualifier: str | None, arns: Arns) -> FunctionRef:
    """Read `FunctionName` (percent-decoded) and `Qualifier`.

    Raises `ApiError`: ValidationException for a form that is none of Lambda's; InvalidParameterValueException when
    the two qualifiers differ; ResourceNotFoundException for another region's or account's function.
    """
    violations = Violations()
    match = _FORM.fullmatch(text)
    if match is None or ((match["account"] or match["region"]) and not match["kind"]):
        violations.add(
            "functionName", text, f"Member must satisfy regular expression pattern: {NAME_PATTERN}"
        )
    elif len(match["name"]) > _NAME_LIMIT:
        violations.add(
            "functionName", text, f"Member must have length less than or equal to {_NAME_LIMIT}"
        )
    if qualifier is not None:
        if not 1 <= len(qualifier) <= 128:
            violations.length("qualifier", qualifier, low=1, high=128)
        elif not re.fullmatch(QUALIFIER_PATTERN, qualifier):
            violations.add(
                "qualifier",
                qualifier,
                f"Member must satisfy regular expression pattern: {QUALIFIER_PATTERN}",
            )
    violations.check()
    assert match is not None  # noqa: S101 - or check() had raised
    derived = match["qualifier"]
    if derived is not None and qualifier is not None and derived != qualifier:
        raise invalid_parameter(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    region, account = match["region"], match["account"]
    if region is not None and region != arns.region:
        raise ApiError(
            "ResourceNotFoundException",
            404,
            f"Functions from '{region}' are not reachable in this region ('{arns.region}')",
        )
    if account is not None and account != arns.account_id:
        raise not_found(text)
    return FunctionRef(match["name"], derived or qualifier)
