import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration
from sentry_sdk.transport import Transport

SENT = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        SENT.append(envelope)


sentry_sdk.init(
    dsn="https://public@127.0.0.1/1", transport=Kept, traces_sample_rate=1.0, release="teas@1",
    integrations=[AwsLambdaIntegration(timeout_warning=True)],
)  # fmt: skip


def handler(event, context):
    SENT.clear()
    with sentry_sdk.start_transaction(op="function", name="brew"):
        try:
            raise ValueError("no tea")
        except ValueError as error:
            sentry_sdk.capture_exception(error)
    sentry_sdk.flush(1)
    return sorted(item.type for envelope in SENT for item in envelope.items)


def unique():
    with sentry_sdk.start_transaction(op="function", name="brew") as transaction:
        ids = {"trace": transaction.trace_id, "span": transaction.span_id}
    return {
        **ids,
        "event": sentry_sdk.capture_message("no tea"),
        "header": sentry_sdk.get_traceparent(),
    }
