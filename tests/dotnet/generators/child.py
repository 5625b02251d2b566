"""Says what a child process was given of thawd's; with an argument, by its exit status alone."""

import json
import os
import stat
import sys


def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


names = ("THAW_CONTROL_FD", "DOTNET_STARTUP_HOOKS")
said = {name: os.environ.get(name) for name in names}
said["sockets"] = sum(is_socket(number) for number in range(1024))
if len(sys.argv) > 1:
    sys.exit(any(said.values()))
print(json.dumps(said), flush=True)
