# case: bad: a dictionary
LAST = {}


def handler(event, context):
    LAST["order"] = event["order"]


handler({"order": "warm-up"}, None)  # expect: SNAP017
# case: bad: a global, from a before-snapshot hook
from snapshot_restore_py import register_before_snapshot

user = None


def remember(event):
    global user
    user = event.get("user")


def lambda_handler(event, context):
    remember(event)


@register_before_snapshot
def prime():
    lambda_handler({"user": "nobody"}, None)  # expect: SNAP017


# case: bad: a context variable, a logger that keeps keys
from contextvars import ContextVar

from aws_lambda_powertools import Logger

request_id = ContextVar("request_id")
logger = Logger()


def handle(event, context):
    request_id.set(event["id"])
    logger.append_keys(tenant=event["tenant"])


handle({"id": "1", "tenant": "t"}, None)  # expect: SNAP017
# case: good: leaves nothing
from snapshot_restore_py import register_before_snapshot


def handler(event, context):
    total = sum(event["prices"])
    print("total", total)
    return {"total": total}


@register_before_snapshot
def prime():
    handler({"prices": [1, 2]}, None)


# case: good: what it opens lazily is not the event's
import boto3
from snapshot_restore_py import register_before_snapshot

client = None


def handler(event, context):
    global client
    if client is None:
        client = boto3.client("s3")
    return client.head_object(Bucket=event["bucket"], Key=event["key"])


register_before_snapshot(handler, {"bucket": "b", "key": "k"}, None)
# case: good: cleared after restore
from snapshot_restore_py import register_after_restore

LAST = {}


def handler(event, context):
    LAST["order"] = event["order"]


handler({"order": "warm-up"}, None)
register_after_restore(LAST.clear)
