"""A function's environment variables (Lambda, defined runtime environment variables; the SnapStart differences)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import credentials, wire

if TYPE_CHECKING:
    from .language import Language
    from .system import System

TASK_ROOT: Final = "/var/task"
RUNTIME_DIR: Final = "/var/runtime"

_PATH: Final = ("/var/lang/bin", "/usr/local/bin", "/usr/bin/", "/bin", "/opt/bin")
_LIBRARY_PATH: Final = (
    "/var/lang/lib",
    "/lib64",
    "/usr/lib64",
    RUNTIME_DIR,
    f"{RUNTIME_DIR}/lib",
    TASK_ROOT,
    f"{TASK_ROOT}/lib",
    "/opt/lib",
)
_KEYS: Final = (
    ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
    ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
    ("AWS_SESSION_TOKEN", "Token"),
)
_LOG_NAMES: Final = ("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME")

_ABSENT_UNLESS_SET_HERE: Final = frozenset(
    {name for name, _ in _KEYS}
    | set(_LOG_NAMES)
    | {
        # Not ours to set at all; an SDK or the runtime would take them for the service's.
        "AWS_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "_X_AMZN_TRACE_ID",
        "_LAMBDA_TELEMETRY_LOG_FD",
        "AWS_LAMBDA_LOG_FORMAT",
        "AWS_LAMBDA_LOG_LEVEL",
        "THAW_CONTROL_FD",
        "THAW_PARENT",
    }
)
"""A function's own variables never have these names. Names that are always set below need not stand here."""


def variables(
    system: System, init: wire.Init, language: Language, *, api: str, keys: str, token: str
) -> dict[str, str]:
    """All variables of a function's runtime but those of its descriptors.

    `api` is `host:port` of the Runtime API, `keys` that of the credentials endpoint, which `token` opens.
    """
    values = {
        "PATH": ":".join(dict.fromkeys([*language.path, *_PATH])),
        "LD_LIBRARY_PATH": ":".join(dict.fromkeys([*language.library_path, *_LIBRARY_PATH])),
        # A locale that neither Lambda's image nor this one has: what counts is LC_CTYPE.
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "TZ": ":UTC",
        "PWD": TASK_ROOT,
        "SHLVL": "0",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        **language.defaults(init),
    }
    # Whatever the user set wins over the above, and loses against what follows.
    own = init.environment
    values |= {name: own[name] for name in own if name not in _ABSENT_UNLESS_SET_HERE}
    values |= {
        **language.search_paths(system, init),
        "AWS_LAMBDA_RUNTIME_API": api,
        "_HANDLER": init.handler,
        "AWS_REGION": init.region,
        "AWS_DEFAULT_REGION": init.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{init.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": init.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": init.function_version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(init.memory_mib),
        "AWS_LAMBDA_INITIALIZATION_TYPE": init.initialization_type,
        # Lambda sets neither for text, which is what a runtime writes by itself.
        **({"AWS_LAMBDA_LOG_FORMAT": init.log_format} if init.log_format != "Text" else {}),
        **({"AWS_LAMBDA_LOG_LEVEL": init.log_level} if init.log_level else {}),
        "LAMBDA_TASK_ROOT": TASK_ROOT,
        "LAMBDA_RUNTIME_DIR": RUNTIME_DIR,
    }
    if init.initialization_type == "snap-start":
        # Keys in variables would be in the snapshot, and in every SDK they win over the endpoint.
        values["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://{keys}{credentials.PATH}"
        values["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = token
    else:
        given = init.credentials or {}
        values |= {name: given[member] for name, member in _KEYS if member in given}
    if init.initialization_type != "snap-start" or language.log_names_under_snapstart:
        values |= dict(zip(_LOG_NAMES, (init.log_group, init.log_stream), strict=True))
    return values
