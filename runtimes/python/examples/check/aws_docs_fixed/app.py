"""The same function as the documentation asks for it: what is unique or of its time is made after the restore."""

import json
import os
import random
import secrets
import socket
import tempfile
import time
import uuid
from datetime import UTC, datetime
from urllib.request import Request, urlopen

from snapshot_restore_py import register_after_restore

TABLE = "orders"

backend = socket.create_server(("127.0.0.1", 0))

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
    connection = socket.create_connection(backend.getsockname())
    download = os.path.join(tempfile.gettempdir(), f"model-{uuid.uuid4().hex}.bin")
    with open(download, "wb") as model:
        model.write(b"weights")


if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
    become()  # no restore will come that calls it


def fetch_credentials():
    """What the environment's own endpoint gives out, asked as AWS's SDKs ask it; nothing outside of Lambda."""
    address = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not address:
        return {"AccessKeyId": ""}
    token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    request = Request(address, headers={"Authorization": token})
    with urlopen(request, timeout=5) as answer:
        return json.load(answer)


def alive(connected):
    """Whether the other end is still there."""
    connected.setblocking(False)
    try:
        return connected.recv(1) != b""
    except BlockingIOError:
        return True


def handler(event, context):
    """Show it all."""
    return {
        "table": TABLE,
        "reproducible": random.Random(42).getrandbits(64),
        "request": str(uuid.uuid4()),
        "unique_id": unique_id,
        "secret": secret,
        "salt": salt.hex(),
        "shard": shard,
        "access_key": fetch_credentials()["AccessKeyId"],
        "loaded_at": loaded_at,
        "now": time.time(),
        "connected": alive(connection),
        "dice": random.getrandbits(64),
        "download": download,
    }
