"""Tells what a function finds around it; its init sleeps first, if INIT_SLEEP says so."""

import ctypes
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

time.sleep(float(os.environ.get("INIT_SLEEP", "0")))
initialised_at = time.time()
# They remember their last time stamp.
made = [getattr(uuid, name)() for name in ("uuid6", "uuid7", "uuid8") if hasattr(uuid, name)]


def handler(event, context):
    return globals()["do_" + event.get("do", "nothing")](event, context)


def do_nothing(event, context):
    return {"initialised_at": initialised_at}


def do_look(event, context):
    limits = {name: getattr(resource, f"RLIMIT_{name}") for name in ("CORE", "MEMLOCK", "NOFILE", "NPROC")}
    return {
        "variables": dict(os.environ),
        "limits": {name: resource.getrlimit(limit) for name, limit in limits.items()},
        "executable": sys.executable,
        "prefix": sys.prefix,
        "library": os.__file__,
        "version": list(sys.version_info[:2]),
        "flags": dict(sys._xoptions),
        "path": sys.path,
        "entrypoint": os.access("/lambda-entrypoint.sh", os.X_OK),
        "bootstrap": os.access("/var/runtime/bootstrap", os.X_OK),
    }


def do_shell(event, context):
    done = subprocess.run(event["command"], shell=True, capture_output=True, text=True, check=False)
    return {"status": done.returncode, "out": done.stdout, "err": done.stderr}


def do_system(event, context):
    return os.waitstatus_to_exitcode(os.system(event["command"]))


def do_crash(event, context):
    """A process that dumps a core in /tmp, if the system lets it: the wait status's flag, and what is in /tmp."""
    pid = os.fork()
    if pid == 0:
        os.chdir("/tmp")
        os.kill(os.getpid(), signal.SIGSEGV)
    _, status = os.waitpid(pid, 0)
    return {"dumped": os.WCOREDUMP(status), "files": [path.name for path in Path("/tmp").iterdir()]}


# mov eax, ss; mov rcx, rsp; push rax; push rcx; pushfq; mov eax, cs; push rax; lea rax, [rip + 3]; push rax; iretq;
# mov eax, 42; ret
RETURNS_BY_IRET = bytes.fromhex("8cd0 4889e1 50 51 9c 8cc8 50 488d0503000000 50 48cf b82a000000 c3")


def do_iret(event, context):
    """Set all registers at once, as .NET 8 does after an exception."""
    code = mmap.mmap(-1, len(RETURNS_BY_IRET), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(RETURNS_BY_IRET)
    call = ctypes.CFUNCTYPE(ctypes.c_int)
    return call(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def do_print(event, context):
    print("first\n\n\nsecond\n")
    print()


def do_uuids(event, context):
    """Python 3.14's; none before."""
    return [str(getattr(uuid, name)()) for name in ("uuid6", "uuid7", "uuid8") if hasattr(uuid, name)]


def do_trace(event, context):
    return os.environ.get("_X_AMZN_TRACE_ID")
