# case: good: each value of a dictionary
import uuid

from snapshot_restore_py import register_after_restore


class Client:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def reset(self):
        self.session = uuid.uuid4().hex


CLIENTS = {"orders": Client(), "stock": Client()}


@register_after_restore
def renew():
    for client in CLIENTS.values():
        client.reset()


# case: good: each element of a list, of its items, of two lists, by number
import uuid

from snapshot_restore_py import register_after_restore


class Client:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def reset(self):
        self.session = uuid.uuid4().hex


LIST = [Client(), Client()]
TUPLE = (Client(), Client())
NAMED = {"a": Client(), "b": Client()}
MORE = {1: Client(), 2: Client()}


@register_after_restore
def renew():
    for number, client in enumerate(LIST):
        client.reset()
    for client in sorted(list(TUPLE), key=id):
        client.reset()
    for _name, client in NAMED.items():
        client.reset()
    [MORE[key].reset() for key in MORE]


# case: good: a registry that fills itself
import uuid

from snapshot_restore_py import register_after_restore

REGISTRY = []


class Client:
    def __init__(self):
        self.session = uuid.uuid4().hex
        REGISTRY.append(self)

    def reset(self):
        self.session = uuid.uuid4().hex


orders = Client()
stock = Client()
prices = Client()


@register_after_restore
def renew():
    for client in REGISTRY:
        client.reset()


# case: good: a registry of functions, filled by a decorator
import time
import uuid

from snapshot_restore_py import register_after_restore

HOOKS = []


def on_restore(function):
    HOOKS.append(function)
    return function


@on_restore
def new_node():
    global NODE
    NODE = uuid.uuid4().hex


@on_restore
def new_start():
    global STARTED
    STARTED = time.time()


new_node()
new_start()


@register_after_restore
def run():
    for hook in HOOKS:
        hook()


def handler(event, context):
    return NODE, STARTED


# case: good: hooks registered in a loop
import uuid

from snapshot_restore_py import register_after_restore


class Client:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def reset(self):
        self.session = uuid.uuid4().hex


CLIENTS = {name: Client() for name in ("orders", "stock")}
OTHERS = {"prices": Client(), "users": Client()}
for each in CLIENTS.values():
    register_after_restore(each.reset)
for each in OTHERS:
    register_after_restore(OTHERS[each].reset)


# case: good: names in a loop, map, a pool, an attribute by name
import concurrent.futures
import uuid

from snapshot_restore_py import register_after_restore


class Client:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def reset(self):
        self.session = uuid.uuid4().hex


def reset(client):
    client.reset()


A = {"orders": Client(), "stock": Client()}
B = [Client(), Client()]
C = [Client(), Client()]
D = [Client(), Client()]


@register_after_restore
def renew():
    for name in ("orders", "stock"):
        A[name].reset()
    list(map(reset, B))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(reset, C))
        for client in D:
            pool.submit(client.reset)


# case: bad: one of two is renewed
import uuid

from snapshot_restore_py import register_after_restore


class Client:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def reset(self):
        self.session = uuid.uuid4().hex


CLIENTS = {
    "orders": Client(),
    "stock": Client(),  # expect: SNAP001
}


@register_after_restore
def renew():
    CLIENTS["orders"].reset()


# case: bad: what the loop calls renews nothing
import uuid

from snapshot_restore_py import register_after_restore


class Client:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def check(self):
        return bool(self.session)


CLIENTS = [
    Client(),  # expect: SNAP001
    Client(),  # expect: SNAP001
]


@register_after_restore
def renew():
    for client in CLIENTS:
        client.check()


# case: good: attributes by name
import uuid

from snapshot_restore_py import register_after_restore


class Settings:
    pass


settings = Settings()
NAMES = ("node", "session")
for name in NAMES:
    setattr(settings, name, uuid.uuid4().hex)


@register_after_restore
def renew():
    for name in NAMES:
        setattr(settings, name, uuid.uuid4().hex)


# case: good: one of two classes, by a switch
import os
import uuid

from snapshot_restore_py import register_after_restore


class Real:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def reset(self):
        self.session = uuid.uuid4().hex


class Fake:
    def __init__(self):
        self.session = uuid.uuid4().hex

    def reset(self):
        self.session = uuid.uuid4().hex


client = Real() if os.environ.get("STAGE") == "prod" else Fake()
register_after_restore(client.reset)
