# case: bad: a server of its own
import subprocess

server = subprocess.Popen(  # expect: SNAP008
    ["python3", "-m", "http.server", "8080"]
)


def handler(event, context):
    return server.poll() is None


# case: bad: fork, spawn, exec in a child
import os

pid = os.fork()  # expect: SNAP008
if pid == 0:
    os.execv("/opt/agent", ["agent"])
os.spawnl(os.P_NOWAIT, "/opt/agent", "agent")  # expect: SNAP008
os.posix_spawn("/opt/agent", ["agent"], os.environ)  # expect: SNAP008


# case: bad: in a function, kept nowhere, behind an ampersand
import os
import subprocess


def start():
    subprocess.Popen("exec /opt/agent", shell=True)  # expect: SNAP008


start()
os.system("/opt/agent &")  # expect: SNAP008
subprocess.run("/opt/other &", shell=True)  # expect: SNAP008


# case: bad: multiprocessing by its contexts, a class of one's own, executors
import multiprocessing
from concurrent.futures import ProcessPoolExecutor


class Worker(multiprocessing.Process):
    def run(self):
        pass


context = multiprocessing.get_context("fork")
context.Process(target=print).start()  # expect: SNAP008
Worker().start()  # expect: SNAP008
pool = ProcessPoolExecutor()
pool.submit(print, 1)  # expect: SNAP008
others = context.Pool(2)  # expect: SNAP008


# case: bad: an event loop's child
import asyncio

loop = asyncio.new_event_loop()
agent = loop.run_until_complete(asyncio.create_subprocess_exec("/opt/agent"))  # expect: SNAP008


# case: good: children that have ended
import os
import subprocess

VERSION = subprocess.check_output(["git", "describe"])
subprocess.run(["make", "cache"], check=True)
with subprocess.Popen(["cat"], stdout=subprocess.PIPE) as child:
    child.stdout.read()
other = subprocess.Popen(["make"])
other.wait()
third = subprocess.Popen(["make"], stdout=subprocess.PIPE)
out, err = third.communicate()
os.system("make")


# case: good: a child of fork that was waited for
import os

pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)


# case: good: ended before the snapshot, started after restore
import subprocess

from snapshot_restore_py import register_after_restore, register_before_snapshot

server = subprocess.Popen(["/opt/agent"])


@register_before_snapshot
def stop():
    server.terminate()


@register_after_restore
def start():
    global server
    server = subprocess.Popen(["/opt/agent"])


# case: good: started by the handler
import subprocess


def handler(event, context):
    return subprocess.Popen(["/opt/agent"]).wait()
# case: bad: ids that the kernel gives in files
import pathlib

MACHINE = pathlib.Path("/etc/machine-id").read_text().strip()  # expect: SNAP006
BOOT = open("/proc/sys/kernel/random/boot_id").read()  # expect: SNAP006
with open("/proc/sys/kernel/random/uuid") as file:
    NODE = file.read()  # expect: SNAP001
with open("/dev/urandom", "rb") as file:
    SALT = file.read(16)  # expect: SNAP010


def handler(event, context):
    return MACHINE, BOOT, NODE, SALT.hex()


# case: good: other files, and what is asked in the handler
import pathlib
import uuid

RELEASE = pathlib.Path("/etc/os-release").read_text()
with open(f"/tmp/{uuid.uuid4()}") as file:
    print(file.read())


def handler(event, context):
    return RELEASE, pathlib.Path("/proc/sys/kernel/random/uuid").read_text()
