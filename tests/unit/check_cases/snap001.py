# case: bad: in a module constant, formatted
import uuid

INSTANCE_ID = str(uuid.uuid4())  # expect: SNAP001
LABEL = f"worker-{uuid.uuid4().hex[:8]}"  # expect: SNAP001
# case: bad: renamed on import, inside a dictionary
from uuid import uuid4 as new_id

LABELS = {"region": "eu", "instance": new_id()}  # expect: SNAP001
# case: bad: through a helper and a class
import secrets


def make_id():
    return "id-" + secrets.token_hex(8)


class Service:
    def __init__(self, name):
        self.name = name
        self.id = make_id()


BOOT = make_id()  # expect: SNAP001
service = Service("orders")  # expect: SNAP001
# case: bad: assigned by a function that init calls
import uuid

ID = None


def setup():
    global ID
    ID = uuid.uuid4()  # expect: SNAP001


setup()
# case: bad: a before-snapshot hook is before the snapshot
import uuid
from snapshot_restore_py import register_before_snapshot

state = {}


@register_before_snapshot
def prime():
    state["id"] = str(uuid.uuid4())  # expect: SNAP001


# case: bad: only one of two keys is renewed
import uuid
from snapshot_restore_py import register_after_restore

IDS = {"a": uuid.uuid4().hex, "b": uuid.uuid4().hex}  # expect: SNAP001


@register_after_restore
def renew():
    IDS["a"] = uuid.uuid4().hex


# case: bad: handed to a library object, and through a factory
import uuid
from dataclasses import dataclass, field
from opentelemetry.sdk.resources import Resource

resource = Resource.create(attributes={"service.instance.id": str(uuid.uuid4())})  # expect: SNAP001


@dataclass
class Run:
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


RUN = Run()  # expect: SNAP001
# case: bad: a function under another name, a list, random.SystemRandom
import random
import uuid

make = uuid.uuid4
POOL = []
POOL.append(make())  # expect: SNAP001
COLOUR = random.SystemRandom().choice(["red", "green"])  # expect: SNAP001
# case: bad: in a path, whose `join` is no thread's
import os
import shlex
import tempfile
import uuid

MODEL = os.path.join(tempfile.gettempdir(), f"model-{uuid.uuid4().hex}.bin")  # expect: SNAP001
COMMAND = shlex.join(["convert", str(uuid.uuid4())])  # expect: SNAP001
# case: good: made in the handler
import uuid


def handler(event, context):
    return {"id": str(uuid.uuid4())}


# case: good: assigned again after restore, by decorator and by call
import uuid
from snapshot_restore_py import register_after_restore as after

A = B = uuid.uuid4()


@after
def renew():
    global A
    A = uuid.uuid4()


def renew_b():
    global B
    B = uuid.uuid4()


after(renew_b)
# case: good: an object that renews itself
import uuid
import snapshot_restore_py as snap


class Service:
    def __init__(self):
        self.id = uuid.uuid4()

    def renew(self):
        self._new()

    def _new(self):
        self.id = uuid.uuid4()


service = Service()
snap.register_after_restore(service.renew)
# case: good: not kept, only printed or compared
import uuid

print("starting", uuid.uuid4())
KNOWN = str(uuid.uuid4()) in {"a", "b"}
temporary = uuid.uuid4()
del temporary
# case: good: names, not values
import uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "example.org")
FIXED = uuid.UUID("12345678-1234-5678-1234-567812345678")
FACTORY = uuid.uuid4
# case: good: not run at init
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    X = uuid.uuid4()
if __name__ == "__main__":
    Y = uuid.uuid4()
Z = lambda: uuid.uuid4()
