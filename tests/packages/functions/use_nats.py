import asyncio

import nats
from local import tcp
from nats.aio.client import Client
from nats.nuid import NUID

loop = asyncio.new_event_loop()
client = Client()
names = NUID()


def server(reading, writing):
    writing.write(
        b'INFO {"server_id":"1","version":"2.10.0","proto":1,"max_payload":1048576,"headers":true}\r\n'
    )
    subscription = b""
    while line := reading.readline():
        verb, *words = line.split()
        if verb == b"PING":
            writing.write(b"PONG\r\n")
        elif verb == b"SUB":
            subscription = words[-1]
        elif verb == b"PUB":
            body = reading.read(int(words[-1]) + 2)
            writing.write(b"MSG %s %s %d\r\n%s" % (words[0], subscription, len(body) - 2, body))


def handler(event, context):
    async def ask(port):
        connection = await nats.connect(f"nats://127.0.0.1:{port}", connect_timeout=5)
        subscription = await connection.subscribe("teas")
        await connection.publish("teas", b"green")
        message = await subscription.next_msg(timeout=5)
        await connection.close()
        return message.data.decode()

    with tcp(server) as port:
        return loop.run_until_complete(ask(port))


def unique():
    return {"nuid": names.next().decode(), "inbox": client.new_inbox()}
