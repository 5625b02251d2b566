import stripe
from local import http

client = stripe.StripeClient("sk_test_x", max_network_retries=2)


def handler(event, context):
    with http({"id": "cus_1", "object": "customer", "name": "Tea"}) as port:
        own = stripe.StripeClient(
            "sk_test_x", base_addresses={"api": f"http://127.0.0.1:{port}"}, max_network_retries=0
        )
        return own.v1.customers.retrieve("cus_1").name


def unique():
    headers = client._requestor.request_headers(
        "post", "V1", stripe._request_options.RequestOptions()
    )
    return {"idempotency key": headers["Idempotency-Key"]}
