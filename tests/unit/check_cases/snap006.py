# case: bad: host and process
import os
import socket

WORKER = f"{socket.gethostname()}-{os.getpid()}"  # expect: SNAP006
# case: bad: the log stream, which names the environment
import os

STREAM = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")  # expect: SNAP006
HOST = os.environ["HOSTNAME"]  # expect: SNAP006
# case: bad: uname's node, the MAC address, in a lock's owner
import os
import platform
import uuid

OWNER = ("lock", os.uname().nodename)  # expect: SNAP006
NODE = platform.node()  # expect: SNAP006
MAC = uuid.getnode()  # expect: SNAP006
# case: good: read when it is used
import os
import socket


def handler(event, context):
    return {"pid": os.getpid(), "host": socket.gethostname()}


# case: good: what is the same in every environment
import os
import platform

REGION = os.environ["AWS_REGION"]
MACHINE = platform.machine()
SYSTEM = os.uname().sysname
# case: good: compared, not kept
import os

IS_INIT = os.getpid() == 1
# case: good: read again after restore, in a function that the hook calls
import socket
from snapshot_restore_py import register_after_restore

identity = {"host": socket.gethostname()}


def refresh():
    identity.update(host=socket.gethostname())


@register_after_restore
def restored():
    refresh()
