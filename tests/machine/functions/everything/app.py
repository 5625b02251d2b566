"""What the machine tests ask of a function: told by the event, it does it."""

import os
import random
import secrets
import socket
import ssl
import sys
import time
import uuid

from snapshot_restore_py import register_after_restore, register_before_snapshot

order = []
open("/tmp/from-init", "w").write("written before the snapshot")
(
    os.urandom(8),
    random.random(),
    ssl.RAND_bytes(8),
    uuid.uuid4(),
)  # every generator is in use when the snapshot is taken


@register_before_snapshot
def before_one():
    order.append("before 1")


@register_before_snapshot
def before_two():
    order.append("before 2")
    if os.environ.get("FAIL") == "before":
        raise RuntimeError("the before hook failed")


@register_after_restore
def after_one():
    order.append("after 1")
    if os.environ.get("FAIL") == "after":
        raise RuntimeError("the after hook failed")
    if os.environ.get("FAIL") == "slow":
        time.sleep(60)


@register_after_restore
def after_two():
    order.append("after 2")


if os.environ.get("FAIL") == "init":
    raise ValueError("the module failed")
if os.environ.get("FAIL") == "exit":
    sys.exit(3)
if os.environ.get("FAIL") == "hang":
    time.sleep(3600)

calls = 0


def handler(event, context):
    global calls
    calls += 1
    return globals()["do_" + event.get("do", "who")](event, context)


def do_who(event, context):
    return {"calls": calls, "order": order, "hostname": socket.gethostname(), "time": time.time()}


def do_unique(event, context):
    return {
        "os.urandom": os.urandom(16).hex(),
        "uuid4": uuid.uuid4().hex,
        "uuid1": uuid.uuid1().hex,
        "secrets": secrets.token_hex(16),
        "random": random.getrandbits(128),
        "random_bytes": random.randbytes(16).hex(),
        "ssl.RAND_bytes": ssl.RAND_bytes(16).hex(),
        "hostname": socket.gethostname(),
        "machine_id": open("/etc/machine-id").read(),
        "boot_id": open("/proc/sys/kernel/random/boot_id").read(),
    }


def do_surroundings(event, context):
    try:
        open("/var/task/x", "w")
        written = True
    except OSError:
        written = False
    usage = os.statvfs("/tmp")
    return {
        "uid": os.getuid(),
        "cwd": os.getcwd(),
        "task_writable": written,
        "tmp_mib": usage.f_blocks * usage.f_frsize >> 20,
        "from_init": open("/tmp/from-init").read() if os.path.exists("/tmp/from-init") else None,
        "environment": dict(os.environ),
        "function": context.function_name,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "request_id": context.aws_request_id,
    }


def do_credentials(event, context):
    import boto3

    found = boto3.Session().get_credentials().get_frozen_credentials()
    return {"access_key": found.access_key, "token": bool(found.token)}


def do_print(event, context):
    print("to standard output")
    print("to standard error", file=sys.stderr)


def do_raise(event, context):
    raise KeyError("no such thing")


def do_exit(event, context):
    os._exit(event["code"])


def do_kill(event, context):
    os.kill(os.getpid(), 9)


def do_sleep(event, context):
    time.sleep(event["seconds"])
    return "slept"


def do_large(event, context):
    return "x" * event["bytes"]


def do_echo(event, context):
    return event


def do_eat(event, context):
    return len(bytearray(event["bytes"]))
