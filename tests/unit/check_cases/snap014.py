# case: bad: a default argument
import uuid


def handler(event, context, request_id=uuid.uuid4()):  # expect: SNAP014
    return str(request_id)


# case: bad: dataclass and model defaults
import time
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Column, DateTime


@dataclass
class Call:
    began: float = time.time()  # expect: SNAP014
    ended: float = field(default=time.time())  # expect: SNAP014


class Order:
    created = Column(DateTime, default=datetime.utcnow())  # expect: SNAP014


# case: bad: keyword-only, in a method, a random number
import os
import random


class Client:
    def send(self, *, shard=random.randrange(8), pid=os.getpid()):  # expect: SNAP014, SNAP014
        return shard


# case: good: factories and functions
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Column, DateTime


@dataclass
class Call:
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began: float = field(default_factory=time.time)


class Order:
    created = Column(DateTime, default=datetime.utcnow)


# case: good: None, then in the body
import uuid


def handler(event, context, request_id=None):
    return request_id or uuid.uuid4()


# case: good: the default of a function made in the handler
import time


def handler(event, context):
    def inner(now=time.time()):
        return now

    return inner()
