"""What AWS's documentation of SnapStart warns of, each once: unique values, seeds, credentials, connections, times, files.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html and snapstart-best-practices.html, in own words.
"""

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

TABLE = "orders"

# Ids, secrets and entropy are to be made after initialization: here they are made during it.
UNIQUE_ID = uuid.uuid4()  # bug: unique-id
SECRET = secrets.token_urlsafe(24)  # bug: secret
SALT = os.urandom(16)  # bug: entropy
random.seed(time.time())  # bug: seed
SHARD = random.getrandbits(48)  # bug: shard


def fetch_credentials():
    """What the environment's own endpoint gives out, asked as AWS's SDKs ask it; nothing outside of Lambda."""
    address = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not address:
        return {"AccessKeyId": ""}
    token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    request = Request(address, headers={"Authorization": token})
    with urlopen(request, timeout=5) as answer:
        return json.load(answer)


# Credentials and timestamps are to be refreshed in the handler: here they are kept.
credentials = fetch_credentials()  # bug: credentials
LOADED_AT = datetime.now(UTC).isoformat()  # bug: loaded-at

# Connections may not outlive the snapshot: here one is opened, and kept.
backend = socket.create_server(("127.0.0.1", 0))
connection = socket.create_connection(backend.getsockname())  # bug: connection

# What is downloaded early is the same everywhere: here even the name of the file, which should be unique.
DOWNLOAD = os.path.join(tempfile.gettempdir(), f"model-{uuid.uuid4().hex}.bin")  # bug: download
with open(DOWNLOAD, "wb") as model:
    model.write(b"weights")  # bug: download-file


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
        "unique_id": str(UNIQUE_ID),
        "secret": SECRET,
        "salt": SALT.hex(),
        "shard": SHARD,
        "access_key": credentials["AccessKeyId"],
        "loaded_at": LOADED_AT,
        "now": time.time(),
        "connected": alive(connection),
        "dice": random.getrandbits(64),
        "download": DOWNLOAD,
    }
