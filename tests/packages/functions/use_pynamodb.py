import os

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
os.environ.setdefault("AWS_ACCESS_KEY_ID", "of-tests")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "of-tests")

from local import http
from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.connection import TableConnection
from pynamodb.models import Model


class Tea(Model):
    class Meta:
        table_name = "teas"
        region = "eu-central-1"
        host = "http://127.0.0.1:9"

    name = UnicodeAttribute(hash_key=True)
    cups = NumberAttribute(default=1)


connection = TableConnection("teas", host="http://127.0.0.1:9")


def handler(event, context):
    def table(method, path, body):
        if b"TableName" in body and b"Key" in body and b"ProjectionExpression" not in body:
            return {"Item": {"name": {"S": "green"}, "cups": {"N": "2"}}}
        return {}

    with http(table, "application/x-amz-json-1.0") as port:
        Tea._connection = None
        Tea.Meta.host = f"http://127.0.0.1:{port}"
        tea = Tea.get("green")
    return [tea.name, tea.cups, Tea(name="black").serialize()]
