"""A function's configuration as CreateFunction and UpdateFunctionConfiguration give it: limits, and members that thawd refuses.

Limits and patterns are those of Lambda's service model and quotas; thawd's own narrower ones say so in their message.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from thawd.catalog.models import ApplyOn, FunctionVersion

from .errors import invalid_parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .core import Core
    from .validation import Members

ROLE_PATTERN: Final = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
_VARIABLE_PATTERN: Final = r"[a-zA-Z]([a-zA-Z0-9_])+"
_LOG_GROUP_PATTERN: Final = r"[\.\-_/#A-Za-z0-9]+"
_APPLICATION_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SYSTEM_LEVELS: Final = ("DEBUG", "INFO", "WARN")
_ARCHITECTURES: Final = ("x86_64", "arm64")

_ENVIRONMENT_LIMIT: Final = 4096
"""Bytes of all variables together, measured as JSON."""

_RESERVED_VARIABLES: Final = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Set by the service, so refused (Lambda Developer Guide, defined runtime environment variables)."""

_NOT_HERE: Final = {
    "Layers": "layers",
    "VpcConfig": "VPC networks",
    "DeadLetterConfig": "dead-letter queues",
    "FileSystemConfigs": "file systems",
    "ImageConfig": "container images",
    "KMSKeyArn": "customer managed keys",
    "CodeSigningConfigArn": "code signing",
    "TenancyConfig": "tenant isolation",
    "CapacityProviderConfig": "capacity providers",
    "DurableConfig": "durable functions",
    "RuntimeConfig": "customer managed runtimes",
    "AcceleratorConfig": "accelerators",
    "PublishTo": "$LATEST.PUBLISHED",
}
"""Members that thawd cannot honour, and so refuses. Empty ones, which Terraform sends, pass."""


def refuse_what_is_not_here(members: Members) -> None:
    """Raise `ApiError` if a member asks for something thawd does not have."""
    for name, what in _NOT_HERE.items():
        if members.used(name):
            raise invalid_parameter(f"thawd does not support {what}: leave out {name}")
    if members.text("PackageType", accepted=("Zip", "Image")) == "Image":
        raise invalid_parameter("thawd does not support container images: use PackageType Zip")


def read_settings(members: Members, core: Core) -> dict[str, Any]:
    """The settings a request gives, as `FunctionVersion` attributes; what it leaves out is not in there.

    Notes violations in `members`; the caller lets them be raised. Raises `ApiError` for what cannot be told apart from
    other people's limits in a violation.
    """
    runtimes = core.images.built()
    runtime = members.text("Runtime")
    if runtime is not None and runtime not in runtimes:
        members.violations.add_text(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(runtimes)}] or be a valid ARN"
        )
    found: dict[str, Any] = {
        "runtime": runtime,
        "role": members.text("Role", pattern=ROLE_PATTERN),
        "handler": members.text("Handler", high=128, pattern=r"[^\s]+"),
        "description": members.text("Description", high=256),
        "timeout_s": members.integer("Timeout", low=1, high=900),
        "memory_mib": members.integer("MemorySize", low=128, high=10240),
        "environment": _environment(members),
        "architectures": read_architectures(members, core.architectures),
    }
    if (storage := members.structure("EphemeralStorage")) is not None:
        storage.require("Size")
        found["ephemeral_mib"] = storage.integer("Size", low=512, high=10240)
    if (snap_start := members.structure("SnapStart")) is not None:
        apply_on = snap_start.text("ApplyOn", accepted=tuple(ApplyOn))
        found["snap_start"] = None if apply_on is None else ApplyOn(apply_on)
    if (tracing := members.structure("TracingConfig")) is not None:
        found["tracing_mode"] = tracing.text("Mode", accepted=("Active", "PassThrough"))
    found |= _logging(members)
    return {name: value for name, value in found.items() if value is not None}


def read_architectures(members: Members, supported: Sequence[str]) -> tuple[str, ...] | None:
    """The `Architectures` member. Raises `ApiError` for one this machine does not run."""
    given = members.strings("Architectures")
    if given is None:
        return None
    path, shown = members.path("Architectures"), f"[{', '.join(given)}]"
    if not given:
        members.violations.add(path, shown, "Member must have length greater than or equal to 1")
    elif len(given) > 1:
        members.violations.add(path, shown, "Member must have length less than or equal to 1")
    elif given[0] not in _ARCHITECTURES:
        members.violations.add(
            path,
            shown,
            f"Member must satisfy constraint: [Member must satisfy enum value set: [{', '.join(_ARCHITECTURES)}]]",
        )
    elif given[0] not in supported:
        raise invalid_parameter(
            f"This machine runs {', '.join(supported)} functions only: {given[0]} is not supported"
        )
    return tuple(given)


def configured(version: FunctionVersion, settings: dict[str, Any]) -> FunctionVersion:
    """A version with these settings. Raises `ApiError` where they do not go together."""
    changed = evolve(version, **settings)
    if changed.snap_start is ApplyOn.PUBLISHED_VERSIONS and changed.ephemeral_mib > 512:
        raise invalid_parameter(
            "SnapStart does not support ephemeral storage larger than 512 MB: "
            "set EphemeralStorage to 512 or SnapStart ApplyOn to None"
        )
    if changed.log_format != "JSON" and (changed.application_log_level or changed.system_log_level):
        raise invalid_parameter("Log levels need LogFormat JSON")
    return changed


def _environment(members: Members) -> dict[str, str] | None:
    environment = members.structure("Environment")
    if environment is None:
        return None
    variables = environment.string_map("Variables") or {}
    if any(not re.fullmatch(_VARIABLE_PATTERN, name) for name in variables):
        members.violations.add(
            environment.path("Variables"),
            _java_map(variables),
            "Map keys must satisfy constraint: "
            f"[Member must satisfy regular expression pattern: {_VARIABLE_PATTERN}]",
        )
    text = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    failed = (
        "Lambda was unable to configure your environment variables because the environment variables you "
        "have provided"
    )
    if len(text.encode("utf-8", "surrogatepass")) > _ENVIRONMENT_LIMIT:
        raise invalid_parameter(f"{failed} exceeded the 4KB limit. String measured: {text}")
    if reserved := [name for name in variables if name in _RESERVED_VARIABLES]:
        raise invalid_parameter(
            f"{failed} contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    return variables


def _logging(members: Members) -> dict[str, Any]:
    logging = members.structure("LoggingConfig")
    if logging is None:
        return {}
    log_format = logging.text("LogFormat", accepted=("JSON", "Text"))
    found: dict[str, Any] = {
        "log_format": log_format,
        "log_group": logging.text("LogGroup", low=1, high=512, pattern=_LOG_GROUP_PATTERN),
        "application_log_level": logging.text("ApplicationLogLevel", accepted=_APPLICATION_LEVELS),
        "system_log_level": logging.text("SystemLogLevel", accepted=_SYSTEM_LEVELS),
    }
    if log_format == "Text":  # takes levels that were set for JSON with it
        for name in ("application_log_level", "system_log_level"):
            found[name] = found[name] or ""
    return found


def _java_map(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}={value}" for name, value in values.items()) + "}"
