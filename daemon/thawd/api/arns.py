"""ARNs: how functions are called in answers and messages."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Arns:
    """Makes ARNs of one region and account."""

    region: str
    account_id: str

    def arn(self, function_name: str, qualifier: str | None = None) -> str:
        """A function's ARN, or that of a version of it."""
        arn = f"arn:aws:lambda:{self.region}:{self.account_id}:function:{function_name}"
        return f"{arn}:{qualifier}" if qualifier else arn
