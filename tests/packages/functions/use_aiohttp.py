import asyncio

import aiohttp
from local import http

loop = asyncio.new_event_loop()


async def make():
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))


session = loop.run_until_complete(make())


def handler(event, context):
    async def ask(port):
        async with session.get(f"http://127.0.0.1:{port}/tea") as answer:
            return [answer.status, await answer.json()]

    with http({"tea": "green"}) as port:
        return loop.run_until_complete(ask(port))


def unique():
    from aiohttp.http_websocket import WebSocketWriter

    class Wire:
        def __init__(self):
            self.sent = b""

        def is_closing(self):
            return False

        def write(self, data):
            self.sent += data

    async def masked():
        class Protocol:
            _reading_paused = False

            async def _drain_helper(self):
                pass

        wire = Wire()
        await WebSocketWriter(Protocol(), wire, use_mask=True).send_frame(b"\0" * 16, 2)
        return wire.sent.hex()

    return {
        "boundary of an upload": aiohttp.MultipartWriter().boundary,
        "mask of a web socket": asyncio.new_event_loop().run_until_complete(masked()),
    }
