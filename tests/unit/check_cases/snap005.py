# case: bad: a start time
import time

STARTED = time.time()  # expect: SNAP005
# case: bad: a deadline computed from it, and a date
import datetime as dt

EXPIRES = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)  # expect: SNAP005
TODAY = dt.date.today().isoformat()  # expect: SNAP005
# case: bad: in a cache that outlives init
from time import monotonic

cache = {"settings": None, "fetched": monotonic()}  # expect: SNAP005
# case: bad: read by a function, although init reads it too
import time

t0 = time.perf_counter()  # expect: SNAP005
print("init", time.perf_counter() - t0)


def handler(event, context):
    return {"uptime": time.perf_counter() - t0}


# case: bad: kept by a decorator's closure
import time


def limited(function):
    last = time.monotonic()

    def inner(*args):
        if time.monotonic() - last > 1:
            return function(*args)

    return inner


@limited  # expect: SNAP005
def handler(event, context):
    return 1


# case: bad: other libraries' clocks
import arrow
import pandas as pd
from django.utils import timezone

A = arrow.utcnow()  # expect: SNAP005
B = pd.Timestamp.now()  # expect: SNAP005
C = timezone.now()  # expect: SNAP005
# case: good: a stopwatch that init reads again
import time

t0 = time.perf_counter()
TABLE = [n * n for n in range(1000)]
print(f"init took {time.perf_counter() - t0:.3f} s")
# case: good: a duration is no instant
import time


def load():
    began = time.monotonic()
    data = list(range(10))
    return data, time.monotonic() - began


DATA, LOAD_S = load()
# case: good: read in the handler
import time


def handler(event, context):
    return {"now": time.time()}


# case: good: a fixed time, formats, zones
import time
from datetime import datetime, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LEAP = time.strftime("%Y", time.gmtime(0))
ZONE = datetime.now().astimezone().tzinfo
# case: good: read again after restore
import time
from snapshot_restore_py import register_after_restore


class Clock:
    started = 0.0


clock = Clock()
clock.started = time.time()


@register_after_restore
def restart():
    clock.started = time.time()


# case: good: only without a snapshot
import os
import time

if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
    STARTED = time.time()
