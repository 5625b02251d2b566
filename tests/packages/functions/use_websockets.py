import asyncio

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

loop = asyncio.new_event_loop()
SHOP = parse_uri("ws://shop/")


def handler(event, context):
    async def echo(socket):
        async for message in socket:
            await socket.send(f"hot {message}")

    async def ask():
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}") as socket:
                await socket.send("green")
                return await socket.recv()

    return loop.run_until_complete(ask())


def unique():
    protocol = ClientProtocol(SHOP)
    request = protocol.connect()
    return {"key": request.headers["Sec-WebSocket-Key"]}
