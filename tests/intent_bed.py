"""Run as a program: for pieces of code on stdin ({name: code}, each leaving a generator in `r`), would `r` be renewed?

Every piece runs as a function's module would, in a fork of one process in which the taps have been in place from the
start. Prints {name: true | false}.
"""

import json
import os
import sys

from thaw_runtime import keep, reseed
from thaw_runtime.registry import Registry

registry = Registry()
registry.start()

import datetime  # noqa: E402
import random  # noqa: E402
import secrets  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402

SCOPE = {
    "__name__": "app", "os": os, "random": random, "time": time, "uuid": uuid, "secrets": secrets,
    "datetime": datetime, "keep": keep, "reseed": reseed,
}  # fmt: skip
if "--numpy" in sys.argv:
    import numpy as np

    SCOPE["np"] = np


def renewed(code: str) -> bool:
    scope = dict(SCOPE)
    exec(compile(code, "app.py", "exec"), scope)
    registry.freeze()
    wanted = scope["r"]
    inner = getattr(wanted, "bit_generator", None) or getattr(wanted, "_bit_generator", None)
    found = [*fixer("random")._found]
    if "--numpy" in sys.argv:
        numpy = fixer("numpy")
        found += [g for g, _ in numpy._generators] + numpy._legacy + numpy._sequences
    return any(thing is wanted or thing is inner for thing in found)


def fixer(name: str):
    return sys.modules[f"thaw_runtime.fixers.{name}"].fixer


def main() -> None:
    results = {}
    for name, code in json.load(sys.stdin).items():
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(writer, json.dumps(renewed(code)).encode())
            except BaseException as error:
                os.write(writer, json.dumps(repr(error)).encode())
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as pipe:
            results[name] = json.loads(pipe.read())
        os.waitpid(pid, 0)
    print(json.dumps(results))


main()
