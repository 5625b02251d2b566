# Who makes an object, a result, a pair: not only `__init__`, `list` and the caller's own thread.

# case: bad: a dataclass makes its id when its fields are there
import uuid
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Node:
    name: str = "node"
    id: str = field(init=False)

    def __post_init__(self):
        self.id = uuid.uuid4().hex


node = Node()  # expect: SNAP001


def handler(event, context):
    return node.id


# case: good: a dataclass that only the handler makes
import uuid
from dataclasses import dataclass


@dataclass
class Call:
    name: str = "call"

    def __post_init__(self):
        self.id = uuid.uuid4().hex


def handler(event, context):
    return Call().id


# case: bad: attrs and pydantic, after their own __init__
import time
import uuid

import attrs
from pydantic import BaseModel, PrivateAttr


@attrs.define(slots=False)
class Node:
    def __attrs_post_init__(self):
        self.id = uuid.uuid4().hex


class Boot(BaseModel):
    _at: float = PrivateAttr(default=0.0)

    def model_post_init(self, context):
        self._at = time.time()


node, boot = Node(), Boot()  # expect: SNAP001, SNAP005


def handler(event, context):
    return node.id, boot._at


# case: bad: an object of its own __new__
import uuid


class Node:
    def __new__(cls):
        node = super().__new__(cls)
        node.id = uuid.uuid4().hex
        return node


node = Node()  # expect: SNAP001


def handler(event, context):
    return node.id


# case: good: the same, renewed
import uuid

from snapshot_restore_py import register_after_restore


class Node:
    def __new__(cls):
        node = super().__new__(cls)
        node.renew()
        return node

    def renew(self):
        self.id = uuid.uuid4().hex


node = Node()
register_after_restore(node.renew)


def handler(event, context):
    return node.id


# case: bad: what a pool of threads brings
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.pool import ThreadPool


def make(number):
    return f"{number}-{uuid.uuid4()}"


with ThreadPoolExecutor() as pool:
    MAPPED = list(pool.map(make, range(3)))  # expect: SNAP001
    ONE = pool.submit(make, 1).result()  # expect: SNAP001
    LATER = [each.result() for each in as_completed([pool.submit(make, 2)])]  # expect: SNAP001
with ThreadPool() as pool:
    OTHERS = pool.map(make, range(3))  # expect: SNAP001


def handler(event, context):
    return MAPPED, ONE, LATER, OTHERS


# case: good: a pool that loads what does not change
import json
from concurrent.futures import ThreadPoolExecutor


def load(name):
    with open(name) as file:
        return json.load(file)


with ThreadPoolExecutor() as pool:
    TABLES = dict(zip(("tea", "cups"), pool.map(load, ["tea.json", "cups.json"])))
    MORE = pool.submit(load, "more.json").result()


def handler(event, context):
    return TABLES["tea"], MORE


# case: bad: a function of the standard library in a thread
import asyncio
import uuid

IDS = []


async def load():
    IDS.append(await asyncio.to_thread(uuid.uuid4))  # expect: SNAP001


asyncio.run(load())


def handler(event, context):
    return IDS


# case: bad: paired with a string, whose letters nobody counts
import random

SHARDS = dict(zip("abc", map(lambda _: random.getrandbits(32), range(3))))  # expect: SNAP002


def handler(event, context):
    return SHARDS["a"]


# case: good: a library's map, of what nobody knows
import pandas as pd

frame = pd.DataFrame({"tea": ["green", "black"]})
LENGTHS = frame["tea"].map(len, na_action="ignore")


def handler(event, context):
    return int(LENGTHS[0])
