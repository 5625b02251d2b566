"""A shop's checkout in which everything that can leak from init into clones does. `thaw check` must find all of it."""

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
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer

from snapshot_restore_py import register_after_restore, register_before_snapshot

CURRENCY = "EUR"
LOTTERY = random.Random(42).sample(range(10_000_000), 4)  # reproducible on purpose: no bug

INSTANCE_ID = str(uuid.uuid4())  # bug: instance-id
SIGNING_KEY = secrets.token_hex(16)  # bug: signing-key
STARTED_AT = time.time()  # bug: started-at
EXPIRES_AT = time.time() + 3600  # bug: expires-at
HOST = socket.gethostname()  # bug: host
CLIENT = secrets.token_hex(12)  # bug: outbound
TRACE = uuid.uuid4().hex  # bug: log-only
SPOOL = secrets.token_hex(12)  # bug: file-name-only
WORKSPACE = tempfile.mkdtemp(prefix="checkout-")  # bug: workspace
jitter = random.Random(zlib.crc32(INSTANCE_ID.encode()))  # bug: derived-seed
dice = random.Random()  # bug: own-generator

with open(os.path.join(WORKSPACE, "cart.json"), "w") as cart:
    cart.write("{}")  # bug: workspace-file


class Ledger:
    batch = uuid.uuid4().hex  # bug: class-attribute


@functools.cache
def worker():
    return f"worker-{uuid.uuid4().hex}"  # bug: cached-function


worker()


def tagged(name, tag=secrets.token_hex(8)):  # bug: default-argument
    return f"{name}:{tag}"


def numbering():
    prefix = secrets.token_hex(8)
    return lambda number: f"{prefix}-{number}"


order_number = numbering()  # bug: closure
batch_token = None
lease = secrets.token_hex(12)  # bug: wrong-global
leese = ""


@register_before_snapshot
def prepare():
    """Meant to make a token for each environment; runs once, before the snapshot."""
    global batch_token
    batch_token = secrets.token_hex(12)  # bug: before-hook


@register_after_restore
def renew():
    """Renews the lease, but for the name."""
    global leese
    leese = secrets.token_hex(12)


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
        connection.request("GET", "/stock", headers={"Host": "warehouse", "X-Client": CLIENT})
        status = connection.getresponse().status
        connection.close()
        answering.join()
    return status


def handler(event, context):
    """Check out, and show what would otherwise be spread over responses, logs, requests and files."""
    print(f"checking out, trace {TRACE}")
    with open(os.path.join(tempfile.gettempdir(), f"{SPOOL}.spool"), "a") as spool:
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
        "instance": INSTANCE_ID,
        "signature": hmac.new(SIGNING_KEY.encode(), item.encode(), "sha256").hexdigest(),
        "started_at": STARTED_AT,
        "expires_at": EXPIRES_AT,
        "host": HOST,
        "workspace": WORKSPACE,
        "jitter": jitter.getrandbits(64),
        "dice": dice.getrandbits(64),
        "shared_dice": random.getrandbits(64),  # bug: global-generator
        "batch": Ledger.batch,
        "worker": worker(),
        "tagged": tagged("order"),
        "order": order_number(17),
        "batch_token": batch_token,
        "lease": lease,
    }
