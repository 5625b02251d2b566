"""What AWS's documentation of SnapStart warns of, each once: unique values, seeds, credentials, connections, times, files.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html and snapstart-best-practices.html, in own words.
"""

import os
import random
import secrets
import socket
import time
import uuid
from datetime import UTC, datetime

import boto3

TABLE = "orders"

# "Generate unique IDs, secrets and entropy after initialization": here they are generated during it.
UNIQUE_ID = uuid.uuid4()  # bug: unique-id
SECRET = secrets.token_urlsafe(24)  # bug: secret
SALT = os.urandom(16)  # bug: entropy
random.seed(time.time())  # bug: seed
SHARD = random.getrandbits(48)  # bug: shard

# "Refresh cached credentials and timestamps in the handler": here they are cached.
credentials = boto3.Session().get_credentials().get_frozen_credentials()  # bug: credentials
LOADED_AT = datetime.now(UTC).isoformat()  # bug: loaded-at

# "The state of connections is not guaranteed": here one is opened, and kept.
backend = socket.create_server(("127.0.0.1", 8098))
connection = socket.create_connection(("127.0.0.1", 8098))  # bug: connection

# "Ephemeral data": here the file's name is made up before the snapshot.
DOWNLOAD = f"/tmp/model-{uuid.uuid4().hex}.bin"  # bug: download
with open(DOWNLOAD, "wb") as model:
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
        "unique_id": str(UNIQUE_ID),
        "secret": SECRET,
        "salt": SALT.hex(),
        "shard": SHARD,
        "access_key": credentials.access_key,
        "loaded_at": LOADED_AT,
        "connected": alive(connection),
        "dice": random.getrandbits(64),
        "download": DOWNLOAD,
    }
