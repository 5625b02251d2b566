import asyncio

import asyncpg
from local import CLOSED

loop = asyncio.new_event_loop()


async def make():
    return await asyncpg.create_pool(
        host="127.0.0.1", port=CLOSED, user="tea", min_size=0, timeout=5
    )


pool = loop.run_until_complete(make())


def handler(event, context):
    async def ask():
        async with pool.acquire() as connection:
            return await connection.fetchval("select 1")

    try:
        return loop.run_until_complete(ask())
    except OSError as error:
        return type(error).__name__
