"""ddtrace: trace and span ids, from the generator and from a span, and the runtime id."""

import os

os.environ.setdefault("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
os.environ.setdefault("DD_TRACE_ENABLED", "false")
os.environ.setdefault("DD_REMOTE_CONFIGURATION_ENABLED", "false")
from ddtrace.internal import native
from ddtrace.internal.runtime import get_runtime_id
from ddtrace.trace import tracer


def sources():
    return {
        "trace id": lambda: str(native.generate_128bit_trace_id() & (1 << 64) - 1),
        "span id": lambda: str(native.rand64bits()),
        "a span": lambda: str(tracer.start_span("s").span_id),
        "runtime id": get_runtime_id,
    }
