"""sentry_sdk: the trace outside of transactions, which headers of requests and events carry."""

import sentry_sdk

sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1", default_integrations=False, auto_enabling_integrations=False
)
events = []


def event_trace():
    def keep(event, hint):
        events.append(event)

    with sentry_sdk.new_scope() as scope:
        scope.add_event_processor(keep)
        sentry_sdk.capture_message("hello")
    return events[-1]["contexts"]["trace"]["trace_id"]


def sources():
    return {
        "traceparent": sentry_sdk.get_traceparent,
        "trace id of an event": event_trace,
        "event id": lambda: str(sentry_sdk.capture_message("hello")),
    }
