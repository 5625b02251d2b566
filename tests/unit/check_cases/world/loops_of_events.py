# case: bad: a pool made on an event loop
import asyncio

import asyncpg

loop = asyncio.new_event_loop()
pool = loop.run_until_complete(asyncpg.create_pool(dsn="postgresql://db/shop"))  # expect: SNAP007


def handler(event, context):
    return loop.run_until_complete(pool.fetchval("select 1"))


# case: bad: by asyncio.run, with a deadline, as a task
import asyncio

import asyncpg

a = asyncio.run(asyncpg.connect("postgresql://db/shop"))  # expect: SNAP007
b = asyncio.run(asyncio.wait_for(asyncpg.connect("postgresql://db/shop"), 5))  # expect: SNAP007


async def both():
    return await asyncio.gather(
        asyncpg.connect("postgresql://db/shop"), asyncpg.connect("postgresql://db/stock")
    )


c, d = asyncio.run(both())  # expect: SNAP007


# case: bad: stored by a coroutine into the application
import asyncio

import asyncpg
from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


async def connect_to_db(app):
    app.state.pool = await asyncpg.create_pool(dsn="postgresql://db/shop")  # expect: SNAP007


asyncio.get_event_loop().run_until_complete(connect_to_db(app))
handler = Mangum(app)


# case: bad: by other libraries' runners
import uuid

import anyio
import trio
from asgiref.sync import async_to_sync


async def make(kind):
    return kind + uuid.uuid4().hex


A = anyio.run(make, "a")  # expect: SNAP001
B = trio.run(make, "b")  # expect: SNAP001
C = async_to_sync(make)("c")  # expect: SNAP001


# case: bad: by a runner object
import asyncio

import asyncpg

with asyncio.Runner() as runner:
    pool = runner.run(asyncpg.create_pool("postgresql://db/shop"))  # expect: SNAP007


# case: good: only warmed
import asyncio

import asyncpg

loop = asyncio.new_event_loop()


async def check():
    connection = await asyncpg.connect("postgresql://db/shop")
    await connection.close()


loop.run_until_complete(check())


# case: good: closed before the snapshot, opened again after restore
import asyncio

import asyncpg
from snapshot_restore_py import register_after_restore, register_before_snapshot

loop = asyncio.new_event_loop()
pool = loop.run_until_complete(asyncpg.create_pool(dsn="postgresql://db/shop"))


@register_before_snapshot
def close():
    loop.run_until_complete(pool.close())


@register_after_restore
def reopen():
    global pool
    pool = loop.run_until_complete(asyncpg.create_pool(dsn="postgresql://db/shop"))


# case: good: answers of the loop that keep nothing
import asyncio


async def load():
    return {"a": 1}


TABLE = asyncio.run(load())
