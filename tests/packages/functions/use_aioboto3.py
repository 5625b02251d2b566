import asyncio

import aioboto3
from local import http

session = aioboto3.Session(
    aws_access_key_id="of-tests", aws_secret_access_key="of-tests", region_name="eu-central-1"
)
loop = asyncio.new_event_loop()


def handler(event, context):
    async def ask(port):
        async with session.client("dynamodb", endpoint_url=f"http://127.0.0.1:{port}") as client:
            return (await client.list_tables())["TableNames"]

    with http({"TableNames": ["teas"]}, "application/x-amz-json-1.0") as port:
        return loop.run_until_complete(ask(port))
