# Code that asks how it is started, by any name of the answer.

# case: good: the kind of initialisation in a variable
import os
import uuid

KIND = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")
NODE = ""
if KIND != "snap-start":
    NODE = uuid.uuid4().hex


def handler(event, context):
    return NODE or uuid.uuid4().hex


# case: good: the answer in a variable, in a conditional expression
import os
import uuid

SNAPSHOT = "snap-start" == os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
NODE = None if SNAPSHOT else uuid.uuid4()


def handler(event, context):
    return NODE or uuid.uuid4()


# case: good: asked by a function
import os
import uuid


def on_snapstart():
    return os.getenv("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


NODE = None
if not on_snapstart():
    NODE = uuid.uuid4()


def handler(event, context):
    return NODE or uuid.uuid4()


# case: good: one of the other kinds
import os
import uuid

NODE = uuid.uuid4() if os.getenv("AWS_LAMBDA_INITIALIZATION_TYPE") in ("on-demand", "provisioned-concurrency") else None


def handler(event, context):
    return NODE or uuid.uuid4()


# case: bad: the wrong way round
import os
import uuid

SNAPSHOT = os.getenv("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
NODE = uuid.uuid4() if SNAPSHOT else None  # expect: SNAP001


def handler(event, context):
    return NODE


# case: bad: another variable decides nothing
import os
import uuid

LOCAL = os.getenv("STAGE") == "local"
NODE = None if LOCAL else uuid.uuid4()  # expect: SNAP001


def handler(event, context):
    return NODE


# case: bad: a constant is as it stands today
import uuid

DEBUG = False
NODE = uuid.uuid4() if DEBUG else None  # expect: SNAP001


def handler(event, context):
    return NODE
