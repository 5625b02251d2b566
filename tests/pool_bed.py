"""Run as a program: use a connection pool, go through freeze, lose all TCP connections, thaw, use it again.

The code on stdin is the function's: it leaves `use()`. The shutdown is what the agent does to the function's sockets
while it is frozen. Prints {"before": ..., "after": ...}, where `after` may be {"error": ...}. `--off`: no fixers.
"""

import json
import os
import socket
import sys

from thaw_runtime.draw import Draw
from thaw_runtime.registry import Registry


def shut_connections() -> int:
    shut = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6):
                    connection.shutdown(socket.SHUT_RDWR)
                    shut += 1
        except OSError:
            continue  # closed since, or not connected
    return shut


def main() -> None:
    registry = Registry(skip=["*"] if "--off" in sys.argv else [])
    registry.start()
    scope = {"__name__": "app"}
    exec(compile(sys.stdin.read(), "app.py", "exec"), scope)
    before = scope["use"]()
    registry.freeze()
    scope.get("shut", shut_connections)()
    registry.thaw(Draw(os.urandom(64)))
    try:
        after = scope["use"]()
    except Exception as error:
        after = {"error": repr(error)}
    report = {entry["name"]: entry["result"] for entry in registry.report()}
    print(json.dumps({"before": before, "after": after, "fixers": report}))
    sys.stdout.flush()
    os._exit(0)  # pools have worker threads that would go on for a while


main()
