"""OpenTelemetry: ids from `random`, and the instance id in the resource."""

import uuid

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

own = TracerProvider(resource=Resource.create({"service.instance.id": str(uuid.uuid4())}))
named = Resource.create({"service.instance.id": "task-17"})
automatic = Resource.create()
tracer = own.get_tracer("test")


def sources():
    found = {
        "trace id": lambda: f"{tracer.start_span('s').get_span_context().trace_id:032x}",
        "span id": lambda: f"{tracer.start_span('s').get_span_context().span_id:016x}",
        "instance id": lambda: own.resource.attributes["service.instance.id"],
        "kept: a chosen instance id": lambda: named.attributes["service.instance.id"],
    }
    if "service.instance.id" in automatic.attributes:
        found["automatic instance id"] = lambda: automatic.attributes["service.instance.id"]
        found["next automatic instance id"] = lambda: Resource.create().attributes[
            "service.instance.id"
        ]
    return found
