"""What a function can do to the agent of its machine and to its own processes: told by the event, it does it."""

import ctypes
import http.client
import logging
import os
import signal
import socket
import struct
import threading
import time

from snapshot_restore_py import register_after_restore

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
RUNTIME = "/2018-06-01/runtime"
CLONE_NEWUSER = 0x10000000
logger = logging.getLogger()


def ask(method, path, body=None):
    connection = http.client.HTTPConnection(API, timeout=5)
    connection.request(method, RUNTIME + path, body)
    return connection.getresponse().status


def endless_year():
    """A frame on the telemetry descriptor whose time no calendar has."""
    frame = struct.pack(">IIQ", 0xA55A0003, 2, 2**64 - 1) + b"x\n"
    for descriptor in range(3, 40):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:"):
                os.write(descriptor, frame)
        except OSError:
            pass


if os.environ.get("HOSTILE") == "next":

    def take_next():
        connection = http.client.HTTPConnection(API, timeout=5)
        connection.request("GET", RUNTIME + "/invocation/next")
        connection.getresponse()

    threading.Thread(target=take_next, daemon=True).start()
    time.sleep(0.5)

if os.environ.get("HOSTILE") == "large error":
    raise LookupError("e" * 3_000_000)

if os.environ.get("HOSTILE") == "year":
    register_after_restore(endless_year)


def handler(event, context):
    return globals()["do_" + event["do"]](event, context)


def do_nothing(event, context):
    return "well"


def do_connections(event, context):
    """As many as two child processes may have, all open at once."""
    reader, writer = os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            kept = []
            host, port = API.split(":")
            try:
                while True:
                    kept.append(socket.create_connection((host, int(port)), timeout=5))
            except OSError:
                os.write(writer, struct.pack(">I", len(kept)))
            time.sleep(60)
            os._exit(0)
        children.append(child)
    counts = [struct.unpack(">I", os.read(reader, 4))[0] for _ in children]
    status = ask("GET", "/nothing")
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"connections": sum(counts), "status": status}


def do_half_bodies(event, context):
    """The beginnings of twelve bodies, 60 MB that nobody ends: twice what the agent keeps."""
    host, port = API.split(":")
    kept = []
    for _ in range(12):
        one = socket.create_connection((host, int(port)))
        head = f"POST {RUNTIME}/invocation/x/response HTTP/1.1\r\nContent-Length: 6000000\r\n\r\n"
        try:
            one.sendall(head.encode() + bytes(5_000_000))
        except OSError:
            pass
        kept.append(one)
    return ask("GET", "/nothing")


def do_year(event, context):
    endless_year()
    return "well"


def do_control(event, context):
    """Nonsense on the socket to the agent, whose number nobody tells a function."""
    sent = 0
    for descriptor in range(3, 60):
        try:
            end = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue
        if end.type == socket.SOCK_SEQPACKET:  # others are its HTTP client's own
            for nonsense in (b"", b"\0", b"\xff" * 60_000, b"{}", os.urandom(500)) * 20:
                while True:
                    try:
                        end.send(nonsense)
                        break
                    except BlockingIOError:  # the agent has not come to it yet
                        time.sleep(0.01)
                sent += 1
    return sent


def do_foreign(event, context):
    return [
        ask("POST", "/invocation/another/response", b"{}"),
        ask("POST", "/init/error", b"{}"),
        ask("POST", "/restore/error", b"{}"),
        ask("GET", "/invocation/next"),
        ask("GET", "/restore/next"),
    ]


def do_own(event, context):
    """Answer, go on, and let the runtime answer a second time."""
    ask("POST", f"/invocation/{context.aws_request_id}/response", b'"first"')
    return "second"


def do_bomb(event, context):
    while True:
        try:
            os.fork()
        except OSError:
            pass


def do_namespace(event, context):
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.unshare(CLONE_NEWUSER)
    return {
        "unshare": failed,
        "most": open("/proc/sys/user/max_user_namespaces").read().strip(),
        "bpf": open("/proc/sys/kernel/unprivileged_bpf_disabled").read().strip(),
        "descriptors": os.sysconf("SC_OPEN_MAX"),
    }


def do_log(event, context):
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)("told at %s", level)
