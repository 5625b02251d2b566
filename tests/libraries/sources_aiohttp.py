"""aiohttp: the web socket masks come from a default argument, `random.Random()`."""

import inspect

from aiohttp._websocket.writer import WebSocketWriter

generator = inspect.signature(WebSocketWriter.__init__).parameters["random"].default


def sources():
    return {"web socket mask": lambda: generator.getrandbits(64)}
