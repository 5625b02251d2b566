import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger(service="orders")
metrics = Metrics(namespace="shop", service="orders")
app = APIGatewayRestResolver()
dynamodb = boto3.client("dynamodb", endpoint_url="http://127.0.0.1:9")  # nobody is there: no request is made


@app.get("/orders/<number>")
def order(number: str):
    logger.info("looked up", order=number)
    metrics.add_metric(name="lookups", unit=MetricUnit.Count, value=1)
    signed = boto3.client("s3").generate_presigned_url("get_object", Params={"Bucket": "b", "Key": number})
    return {"order": number, "tables": dynamodb.meta.service_model.service_name, "signed": "X-Amz-" in signed or "Signature" in signed}


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event, context):
    return app.resolve(event, context)
