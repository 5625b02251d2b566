# Functions as people write them, each a way to keep, to renew, or to do neither.

# case: bad: a closure
import uuid


def make():
    node = uuid.uuid4().hex

    def handler(event, context):
        return node

    return handler


handler = make()  # expect: SNAP001


# case: good: a class attribute renewed by a class method
import uuid
from snapshot_restore_py import register_after_restore as after


class S:
    node = None

    @classmethod
    def renew(cls):
        cls.node = uuid.uuid4().hex


S.renew()
after(S.renew)


# case: good: a registry of hooks that registers itself
import uuid
from snapshot_restore_py import register_after_restore


class Hooks:
    def __init__(self):
        self.fs = []
        register_after_restore(self.run)

    def add(self, f):
        self.fs.append(f)
        return f

    def run(self):
        for f in self.fs:
            f()


hooks = Hooks()
ID = uuid.uuid4()


@hooks.add
def renew():
    global ID
    ID = uuid.uuid4()


# case: good: taken from a copy one by one
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


CS = [C(), C()]


@register_after_restore
def r():
    todo = list(CS)
    while todo:
        todo.pop().reset()


# case: good: in a generator, in a set
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()
        return True


CS = {C(), C()}


@register_after_restore
def r():
    assert all(c.reset() for c in CS)


# case: good: a dictionary of dictionaries
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


T = {"a": {"x": C(), "y": C()}, "b": {"x": C()}}


@register_after_restore
def r():
    for group in T.values():
        for c in group.values():
            c.reset()


# case: good: a set of weak references in the class
import uuid, weakref
from snapshot_restore_py import register_after_restore


class C:
    all = weakref.WeakSet()

    def __init__(self):
        self.id = uuid.uuid4()
        C.all.add(self)

    def reset(self):
        self.id = uuid.uuid4()

    @classmethod
    def reset_all(cls):
        for c in cls.all:
            c.reset()


a = C()
b = C()
register_after_restore(C.reset_all)


# case: good: made in a comprehension over classes
import uuid
from snapshot_restore_py import register_after_restore


class Base:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


class A(Base):
    pass


class B(Base):
    pass


CS = [cls() for cls in (A, B)]
register_after_restore(lambda: [c.reset() for c in CS])


# case: good: a coroutine that a hook runs
import asyncio, uuid
from snapshot_restore_py import register_after_restore

ID = uuid.uuid4()


async def renew():
    global ID
    ID = uuid.uuid4()


@register_after_restore
def r():
    asyncio.run(renew())


# case: good: an adapter of one's own
import uuid
from flask import Flask
from snapshot_restore_py import register_after_restore

app = Flask(__name__)
app.secret_key = uuid.uuid4().hex


class Adapter:
    def __init__(self, app):
        self.app = app

    def __call__(self, event, context):
        return self.app


handler = Adapter(app)


@register_after_restore
def r():
    app.secret_key = uuid.uuid4().hex


# case: bad: a secret in an application's configuration
import uuid, serverless_wsgi
from flask import Flask

app = Flask(__name__)
app.config.update(SECRET_KEY=uuid.uuid4().hex)  # expect: SNAP010


def handler(event, context):
    return serverless_wsgi.handle_request(app, event, context)


# case: bad: a second application that the hook does not know
import uuid
from fastapi import FastAPI
from mangum import Mangum
from snapshot_restore_py import register_after_restore


def create_app():
    app = FastAPI()
    app.state.id = uuid.uuid4().hex
    return app


app = create_app()
handler = Mangum(create_app())  # expect: SNAP001


@register_after_restore
def r():
    app.state.id = uuid.uuid4().hex


# case: good: decorators that call nothing at init
from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.data_classes import event_source, APIGatewayProxyEvent

tracer = Tracer()
LAST = {}


@tracer.capture_lambda_handler
@event_source(data_class=APIGatewayProxyEvent)
def handler(event, context):
    LAST["x"] = event["x"]


# case: good: a middleware that is handed to a decorator
from middy import middify

LAST = {}


def mw(handler, event, context):
    LAST["x"] = event
    return handler(event, context)


@middify(mw)
def handler(event, context):
    return 1


# case: bad: a model made at init, by its factory
import uuid
from pydantic import BaseModel, Field


class M(BaseModel):
    id: uuid.UUID = Field(default_factory=uuid.uuid4)


DEFAULT = M()  # expect: SNAP001


# case: bad: a worker with a queue
import multiprocessing as mp

q = mp.Queue()


def work():
    pass


p = mp.Process(target=work, args=(q,), daemon=True)
p.start()  # expect: SNAP008


# case: bad: a child in an object
import subprocess


class Agent:
    def __init__(self):
        self.p = subprocess.Popen(["x"])  # expect: SNAP008


AGENT = Agent()


# case: good: a child in an object, ended before the snapshot
import subprocess
from snapshot_restore_py import register_before_snapshot


class Agent:
    def __init__(self):
        self.p = subprocess.Popen(["x"])

    def stop(self):
        self.p.terminate()
        self.p.wait()


AGENT = Agent()
register_before_snapshot(AGENT.stop)


# case: good: the output of a child
import subprocess

V = subprocess.run(["uname"], capture_output=True).stdout


# case: bad: a token by a client with a base address
import httpx

client = httpx.Client(base_url="https://login")
token = client.post("/oauth/token", data={}).json()["access_token"]  # expect: SNAP009


# case: bad: keys by urllib3
import urllib3, json

http = urllib3.PoolManager()
JWKS = json.loads(http.request("GET", "https://x/.well-known/jwks.json").data)  # expect: SNAP016


# case: bad: keys by a request object
import urllib.request, json

KEYS_URL = "https://cognito/jwks.json"
req = urllib.request.Request(KEYS_URL)
with urllib.request.urlopen(req) as f:  # expect: SNAP016
    response = f.read()
keys = json.loads(response.decode("utf-8"))["keys"]


# case: bad: keys in a cache that init fills
import functools, requests


@functools.lru_cache(maxsize=1)
def get_jwks():
    return requests.get("https://x/jwks.json").json()  # expect: SNAP013


get_jwks()


def handler(e, c):
    return get_jwks()


# case: good: keys in a cache that the handler fills
import functools, requests


@functools.lru_cache(maxsize=1)
def get_jwks():
    return requests.get("https://x/jwks.json").json()


def handler(e, c):
    return get_jwks()


# case: bad: an asynchronous client that connects at its first command
import asyncio, aioredis, redis.asyncio as redis

loop = asyncio.get_event_loop()
r = redis.from_url("redis://x")
loop.run_until_complete(r.ping())  # expect: SNAP007


# case: good: a client made by the first call
import redis

_c = None


def get():
    global _c
    if _c is None:
        _c = redis.Redis()
        _c.ping()
    return _c


def handler(e, c):
    return get().get("x")


# case: bad: a client made by the first call, which is at init
import redis

_c = None


def get():
    global _c
    if _c is None:
        _c = redis.Redis()
        _c.ping()
    return _c


get()  # expect: SNAP007


# case: bad: a token of AppConfig in a dictionary
import boto3

c = boto3.client("appconfigdata")


def start():
    return c.start_configuration_session(ApplicationIdentifier="a")["InitialConfigurationToken"]


CACHE = {"token": start()}  # expect: SNAP009


def handler(e, ctx):
    r = c.get_latest_configuration(ConfigurationToken=CACHE["token"])
    CACHE["token"] = r["NextPollConfigurationToken"]


# case: good: a parameter in a cache with a lifetime
import cachetools, boto3

cache = cachetools.TTLCache(1, 300)


@cachetools.cached(cache=cache)
def flags():
    return boto3.client("ssm").get_parameter(Name="x", WithDecryption=True)["Parameter"]["Value"]


def handler(e, c):
    return flags()


# case: good: hooks registered over a tuple
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


a, b = C(), C()
for x in (a, b):
    register_after_restore(x.reset)


# case: good: each replaced by its key
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()


CLIENTS = {"a": C(), "b": C()}


@register_after_restore
def r():
    for k in CLIENTS:
        CLIENTS[k] = C()


# case: good: cleared and built again
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()


CLIENTS = {}


def build():
    CLIENTS.clear()
    for k in ("a", "b"):
        CLIENTS[k] = C()


build()
register_after_restore(build)


# case: good: a list filled again by a slice
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()


CS = [C() for _ in range(3)]


@register_after_restore
def r():
    CS[:] = [C() for _ in range(3)]


# case: good: each replaced by its number
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()


CS = [C(), C()]


@register_after_restore
def r():
    for i, _ in enumerate(CS):
        CS[i] = C()


# case: good: a thread's own object
import uuid, threading
from snapshot_restore_py import register_after_restore

L = threading.local()
L.id = uuid.uuid4()


@register_after_restore
def r():
    L.id = uuid.uuid4()


# case: good: a method by its name
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


CS = [C(), C()]


@register_after_restore
def r():
    for c in CS:
        getattr(c, "reset")()
    for c in CS:
        if hasattr(c, "reset"):
            c.reset()


# case: good: arguments of the registration
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


def all_(*cs):
    for c in cs:
        c.reset()


a, b = C(), C()
register_after_restore(all_, a, b)


# case: good: a list spread into a call
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


def all_(*cs):
    for c in cs:
        c.reset()


CS = [C(), C()]


@register_after_restore
def r():
    all_(*CS)


# case: good: a generator of one's own
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


CS = {"a": C(), "b": C()}


def clients():
    for c in CS.values():
        yield c


@register_after_restore
def r():
    for c in clients():
        c.reset()


# case: good: a class that can be iterated
import uuid
from snapshot_restore_py import register_after_restore


class C:
    def __init__(self):
        self.id = uuid.uuid4()

    def reset(self):
        self.id = uuid.uuid4()


class Pool:
    def __init__(self):
        self.cs = [C(), C()]

    def __iter__(self):
        return iter(self.cs)

    def __getitem__(self, i):
        return self.cs[i]


POOL = Pool()


@register_after_restore
def r():
    for c in POOL:
        c.reset()
