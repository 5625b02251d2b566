"""nats: names of inboxes."""

from nats.aio.client import Client
from nats.nuid import NUID

client, alone = Client(), NUID()


def sources():
    return {
        "inbox": client.new_inbox,
        "NUID": lambda: alone.next().decode(),
        "NUID prefix": lambda: alone.next().decode()[:12],
        "NUID increment": lambda: alone._prand.random(),
    }
