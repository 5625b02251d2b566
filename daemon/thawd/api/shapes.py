"""Versions and functions in the form of Lambda's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thawd.catalog.models import FunctionVersion, State

if TYPE_CHECKING:
    from .arns import Arns


def configuration(
    version: FunctionVersion, arns: Arns, *, qualified: bool, with_state: bool = True
) -> dict[str, Any]:
    """A version as Lambda's `FunctionConfiguration`.

    `qualified` puts the version into the ARN. Lists leave the state out. Members that are unset are null, as AWS
    sends them.
    """
    logging: dict[str, Any] = {
        "LogFormat": version.log_format,
        "LogGroup": version.log_group or f"/aws/lambda/{version.function_name}",
    }
    if version.log_format == "JSON":
        logging["ApplicationLogLevel"] = version.application_log_level or "INFO"
        logging["SystemLogLevel"] = version.system_log_level or "INFO"
    shape: dict[str, Any] = {
        "FunctionName": version.function_name,
        "FunctionArn": arns.arn(version.function_name, version.version if qualified else None),
        "Runtime": version.runtime,
        "Role": version.role,
        "Handler": version.handler,
        "CodeSize": version.code.size,
        "Description": version.description,
        "Timeout": version.timeout_s,
        "MemorySize": version.memory_mib,
        "LastModified": version.last_modified,
        "CodeSha256": version.code.sha256,
        "Version": version.version,
        "TracingConfig": {"Mode": version.tracing_mode},
        "RevisionId": version.revision_id,
        "PackageType": "Zip",
        "Architectures": list(version.architectures),
        "EphemeralStorage": {"Size": version.ephemeral_mib},
        "SnapStart": {
            "ApplyOn": version.snap_start,
            "OptimizationStatus": _optimization_status(version),
        },
        "LoggingConfig": logging,
    }
    if version.environment:
        shape["Environment"] = {"Variables": version.environment}
    if with_state:
        shape |= {
            "State": version.state,
            "StateReason": version.state_reason,
            "StateReasonCode": version.state_reason_code,
            "LastUpdateStatus": version.last_update_status,
            "LastUpdateStatusReason": version.last_update_status_reason,
            "LastUpdateStatusReasonCode": version.last_update_status_reason_code,
        }
    return shape


def _optimization_status(version: FunctionVersion) -> str:
    """On only where there is a snapshot to restore: `$LATEST` is always Off."""
    return "On" if version.snapshotted and version.state is State.ACTIVE else "Off"
