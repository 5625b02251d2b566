"""The same function as the documentation asks for it: what is unique or of its time is made after the restore."""

import os
import random
import secrets
import socket
import time
import uuid
from datetime import UTC, datetime

import boto3
from snapshot_restore_py import register_after_restore

TABLE = "orders"

session = boto3.Session()
backend = socket.create_server(("127.0.0.1", 8098))

unique_id = ""
secret = ""
salt = b""
shard = 0
loaded_at = ""
connection = None
download = ""


@register_after_restore
def become():
    """Everything that this environment does not share with another."""
    global unique_id, secret, salt, shard, loaded_at, connection, download
    unique_id = str(uuid.uuid4())
    secret = secrets.token_urlsafe(24)
    salt = os.urandom(16)
    random.seed(secrets.randbits(128))
    shard = random.getrandbits(48)
    loaded_at = datetime.now(UTC).isoformat()
    connection = socket.create_connection(("127.0.0.1", 8098))
    download = f"/tmp/model-{uuid.uuid4().hex}.bin"
    with open(download, "wb") as model:
        model.write(b"weights")


def alive(connected):
    """Whether the other end is still there."""
    try:
        connected.settimeout(0.2)
        return connected.recv(1) != b""
    except TimeoutError:
        return True


def handler(event, context):
    """Show it all."""
    return {
        "table": TABLE,
        "reproducible": random.Random(7).getrandbits(64),
        "request": str(uuid.uuid4()),
        "unique_id": unique_id,
        "secret": secret,
        "salt": salt.hex(),
        "shard": shard,
        "access_key": session.get_credentials().get_frozen_credentials().access_key,
        "loaded_at": loaded_at,
        "now": time.time(),
        "connected": alive(connection),
        "dice": random.getrandbits(64),
        "download": download,
    }
