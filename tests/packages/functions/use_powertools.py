import os

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "teas")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "shop")

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.utilities.idempotency import (
    IdempotencyConfig,
)
from aws_lambda_powertools.utilities.parser import BaseModel, parse
from aws_lambda_powertools.utilities.validation import validate

logger, tracer, metrics = Logger(), Tracer(), Metrics()
app = APIGatewayRestResolver(enable_validation=True)
IDEMPOTENCY = IdempotencyConfig(event_key_jmespath="tea")
SCHEMA = {"type": "object", "required": ["tea"]}


class Order(BaseModel):
    tea: str
    cups: int


@app.get("/teas/<tea>")
@tracer.capture_method
def tea(tea: str) -> dict:
    logger.info("asked", extra={"tea": tea})
    return {"tea": tea}


class Context:
    function_name, memory_limit_in_mb, aws_request_id = "teas", 256, "1"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:teas"


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics
def lambda_handler(event, context):
    metrics.add_metric(name="Asked", unit="Count", value=1)
    return app.resolve(event, context)


def handler(event, context):
    validate({"tea": "green"}, schema=SCHEMA)
    order = parse({"tea": "green", "cups": "2"}, model=Order)
    event = {
        "httpMethod": "GET", "path": "/teas/green", "resource": "/teas/{tea}", "headers": {},
        "multiValueHeaders": {}, "queryStringParameters": None, "requestContext": {}, "body": None,
    }  # fmt: skip
    answer = lambda_handler(event, Context())
    return [answer["statusCode"], answer["body"], order.cups]
