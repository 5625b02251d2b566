import os

os.environ.setdefault("DD_TRACE_AGENT_URL", "http://127.0.0.1:9")
os.environ.setdefault("DD_SERVICE", "teas")
os.environ.setdefault("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
os.environ.setdefault("DD_REMOTE_CONFIGURATION_ENABLED", "false")

import ddtrace
from ddtrace import patch
from ddtrace.trace import tracer

patch(sqlite3=True, logging=True)


def handler(event, context):
    with tracer.trace("brew", resource="green") as span:
        span.set_tag("cups", "2")
    return [span.name, span.get_tag("cups"), bool(ddtrace.__version__)]


def unique():
    with tracer.trace("brew") as span:
        return {"trace": span.trace_id, "span": span.span_id}
