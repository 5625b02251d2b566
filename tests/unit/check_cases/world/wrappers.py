# case: good: an application behind an adapter, its state renewed by a hook
import uuid

from fastapi import FastAPI
from mangum import Mangum
from snapshot_restore_py import register_after_restore

app = FastAPI()


def connect():
    app.state.session = uuid.uuid4().hex


connect()
register_after_restore(connect)
handler = Mangum(app, lifespan="off")


# case: bad: the same without the hook
import uuid

from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


def connect():
    app.state.session = uuid.uuid4().hex  # expect: SNAP001


connect()
handler = Mangum(app, lifespan="off")


# case: good: behind a function of a library
import uuid

import apig_wsgi
from flask import Flask
from snapshot_restore_py import register_after_restore

app = Flask(__name__)
app.config["INSTANCE"] = uuid.uuid4().hex
handler = apig_wsgi.make_lambda_handler(app)


@register_after_restore
def renew():
    app.config["INSTANCE"] = uuid.uuid4().hex


# case: bad: behind a function of a library, and never renewed
import uuid

import apig_wsgi
from flask import Flask

app = Flask(__name__)
app.config["INSTANCE"] = uuid.uuid4().hex  # expect: SNAP001
handler = apig_wsgi.make_lambda_handler(app)


# case: good: behind two wrappers, one of them under the same name
import time

from mangum import Mangum
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from snapshot_restore_py import register_after_restore
from starlette.applications import Starlette

application = Starlette()
application.state.started = time.time()
app = SentryAsgiMiddleware(application)
handler = Mangum(app)


@register_after_restore
def renew():
    application.state.started = time.time()


# case: good: renewed through another name
import uuid

from fastapi import FastAPI
from mangum import Mangum
from snapshot_restore_py import register_after_restore

app = FastAPI()
state = app.state
state.node = uuid.uuid4().hex
handler = Mangum(app)


@register_after_restore
def renew():
    setattr(app.state, "node", uuid.uuid4().hex)


# case: good: renewed through the dictionary of an object
import uuid

from fastapi import FastAPI
from snapshot_restore_py import register_after_restore

app = FastAPI()
app.state.node = uuid.uuid4().hex


@register_after_restore
def renew():
    vars(app.state).update(node=uuid.uuid4().hex)


# case: bad: another attribute is renewed
import uuid

from fastapi import FastAPI
from mangum import Mangum
from snapshot_restore_py import register_after_restore

app = FastAPI()
app.state.node = uuid.uuid4().hex  # expect: SNAP001
handler = Mangum(app)


@register_after_restore
def renew():
    app.state.other = uuid.uuid4().hex


# case: bad: a wrapper's own text of what is renewed stays
import json
import uuid

from snapshot_restore_py import register_after_restore

STATE = {"node": uuid.uuid4().hex}  # expect: SNAP001
HEADER = json.dumps(STATE)


@register_after_restore
def renew():
    STATE["node"] = uuid.uuid4().hex


# case: good: an object handed to a partial function
import functools
import uuid

from snapshot_restore_py import register_after_restore


class Context:
    def __init__(self):
        self.renew()

    def renew(self):
        self.node = uuid.uuid4().hex


def process(context, event, _):
    return context.node


shared = Context()
handler = functools.partial(process, shared)
register_after_restore(functools.partial(Context.renew, shared))


# case: bad: an object handed to a partial function, not renewed
import functools
import uuid


class Context:
    def __init__(self):
        self.node = uuid.uuid4().hex


def process(context, event, _):
    return context.node


handler = functools.partial(process, Context())  # expect: SNAP001


# case: good: a global assigned through globals()
import uuid

from snapshot_restore_py import register_after_restore

NODE = uuid.uuid4().hex


@register_after_restore
def renew():
    globals()["NODE"] = uuid.uuid4().hex


# case: good: a module reloaded by the hook's own init function
import sys
import uuid

from snapshot_restore_py import register_after_restore

NODE = uuid.uuid4().hex


@register_after_restore
def renew():
    setattr(sys.modules[__name__], "NODE", uuid.uuid4().hex)
