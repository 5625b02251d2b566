import elasticapm

client = elasticapm.Client(
    service_name="teas", server_url="http://127.0.0.1:9", cloud_provider="none", central_config=False,
    metrics_interval="0s", disable_send=True,
)  # fmt: skip
elasticapm.instrument()


def handler(event, context):
    client.begin_transaction("request")
    with elasticapm.capture_span("brew"):
        pass
    client.end_transaction("order", "ok")
    return client.config.service_name


def unique():
    transaction = client.begin_transaction("request")
    ids = {"transaction": transaction.id, "trace": transaction.trace_parent.trace_id}
    client.end_transaction("order", "ok")
    return ids
