import os

os.environ.setdefault("OTEL_SERVICE_NAME", "teas")
os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "1")

from opentelemetry import metrics, trace
from opentelemetry.distro import OpenTelemetryDistro
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

OpenTelemetryDistro().configure()
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=3_600_000))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider())
RequestsInstrumentor().instrument()
tracer = trace.get_tracer("teas")
brewed = metrics.get_meter("teas").create_counter("brewed")


def handler(event, context):
    kept.clear()
    with tracer.start_as_current_span("order"), tracer.start_as_current_span("brew"):
        brewed.add(1)
    return [span.name for span in kept.get_finished_spans()]


def unique():
    with tracer.start_as_current_span("brew") as span:
        context = span.get_span_context()
        return {"trace": f"{context.trace_id:x}", "span": f"{context.span_id:x}"}
