import boto3
from botocore.config import Config
from local import http

session = boto3.Session(
    aws_access_key_id="of-tests", aws_secret_access_key="of-tests", region_name="eu-central-1"
)
config = Config(retries={"mode": "standard"}, connect_timeout=5, read_timeout=5)
s3 = session.client("s3", config=config)
dynamodb = session.client("dynamodb", config=config)
table = session.resource("dynamodb", config=config).Table("teas")


def handler(event, context):
    listing = b"<ListBucketResult><Contents><Key>green</Key></Contents></ListBucketResult>"
    with http(listing, "application/xml") as port:
        client = session.client("s3", endpoint_url=f"http://127.0.0.1:{port}", config=config)
        keys = [one["Key"] for one in client.list_objects_v2(Bucket="teas")["Contents"]]
    # The bundle's boto3, and not the image's.
    return [boto3.__version__, boto3.__file__, keys, table.name]


class Answer:
    status_code, headers, content = 200, {}, b"{}"


def unique():
    sent = []

    def send(request, **_):
        sent.append(request.body)
        return Answer()

    dynamodb.meta.events.register("before-send.*", send)
    put = {"Put": {"TableName": "teas", "Item": {"tea": {"S": "green"}}}}
    dynamodb.transact_write_items(TransactItems=[put])
    dynamodb.meta.events.unregister("before-send.*", send)
    return {"idempotency token": sent[0].decode()}
