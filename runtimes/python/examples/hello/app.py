"""A small Lambda function, as one would deploy it to AWS: some imports, some set-up, two SnapStart hooks."""

import decimal
import json
import random
import socket
import time
import uuid

import boto3
from snapshot_restore_py import register_after_restore, register_before_snapshot

PRICES = {name: decimal.Decimal(price) for name, price in json.loads('{"tea": "2.50", "cake": "3.20"}').items()}
s3 = boto3.client("s3")  # a client at module level, as the AWS documentation advises
restores = 0


@register_before_snapshot
def prime():
    """Run the handler once, so that everything it touches is in the snapshot."""
    handler({"order": ["tea"]}, None)


@register_after_restore
def count():
    """Runs in every clone, before its first event."""
    global restores
    restores += 1


def handler(event, context):
    total = sum(PRICES[item] for item in event.get("order", []))
    return {
        "total": str(total),
        "uuid4": str(uuid.uuid4()),
        "random": random.random(),
        "time": time.time(),
        "hostname": socket.gethostname(),
        "restores": restores,
    }
