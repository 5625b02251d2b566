"""The same checkout, put right: what must differ is made in the handler, or again after the restore."""

import functools
import hashlib
import hmac
import http.client
import json
import os
import random
import secrets
import socket
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

from snapshot_restore_py import register_after_restore

CURRENCY = "EUR"
LOTTERY = random.Random(42).sample(range(10_000_000), 4)  # reproducible on purpose

instance_id = ""
signing_key = ""
started_at = 0.0
host = ""
client = ""
workspace = ""
lease = ""
jitter = random.SystemRandom()
dice = random.SystemRandom()


class Ledger:
    batch = ""


@functools.cache
def worker():
    return f"worker-{uuid.uuid4().hex}"


register_after_restore(worker.cache_clear)


@register_after_restore
def become():
    """Everything that makes this environment somebody, made in each clone."""
    global instance_id, signing_key, started_at, host, client, workspace, lease
    instance_id = str(uuid.uuid4())
    signing_key = secrets.token_hex(16)
    started_at = time.time()
    host = socket.gethostname()
    client = secrets.token_hex(12)
    workspace = os.path.join(tempfile.gettempdir(), "checkout-" + secrets.token_hex(8))
    lease = secrets.token_hex(12)
    Ledger.batch = uuid.uuid4().hex
    os.mkdir(workspace)
    with open(os.path.join(workspace, "cart.json"), "w") as cart:
        cart.write("{}")


if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
    become()  # no restore will come that calls it


def tagged(name):
    return f"{name}:{secrets.token_hex(8)}"


def order_number(number):
    return f"{secrets.token_hex(8)}-{number}"


class Warehouse(BaseHTTPRequestHandler):
    """Answers whatever it is asked."""

    def do_GET(self):
        self.send_response_only(204)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def ask_warehouse():
    """One request to a server on the loopback, with the name of this client."""
    with HTTPServer(("127.0.0.1", 0), Warehouse) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        connection = http.client.HTTPConnection(*server.server_address, timeout=10)
        # A host of its own: the port, which is another each time, is not to be in the request.
        connection.request("GET", "/stock", headers={"Host": "warehouse", "X-Client": client})
        status = connection.getresponse().status
        connection.close()
        answering.join()
    return status


def handler(event, context):
    """Check out."""
    print(f"checking out, trace {uuid.uuid4().hex}")
    name = f"{secrets.token_hex(12)}.spool"
    with open(os.path.join(tempfile.gettempdir(), name), "a") as spool:
        spool.write("checked out\n")
    item = event.get("item", "tea")
    return {
        "item": item,
        "currency": CURRENCY,
        "lottery": LOTTERY,
        "config": hashlib.sha256(json.dumps({"currency": CURRENCY}).encode()).hexdigest(),
        "request": str(uuid.uuid4()),
        "now": time.time(),
        "stock": ask_warehouse(),
        "instance": instance_id,
        "signature": hmac.new(signing_key.encode(), item.encode(), "sha256").hexdigest(),
        "started_at": started_at,
        "expires_at": time.time() + 3600,
        "host": host,
        "workspace": workspace,
        "jitter": jitter.getrandbits(64),
        "dice": dice.getrandbits(64),
        "shared_dice": secrets.randbits(64),
        "batch": Ledger.batch,
        "worker": worker(),
        "tagged": tagged("order"),
        "order": order_number(17),
        "batch_token": secrets.token_hex(12),
        "lease": lease,
    }
