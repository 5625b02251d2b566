"""Every source of the standard library that the fixers claim, and the ones that are kept. Run by tests/clone_bed.py."""

import ctypes
import email.generator
import email.utils
import imaplib
import multiprocessing
import multiprocessing.synchronize
import os
import random
import secrets
import sqlite3
import ssl
import tempfile
import uuid

instance, seeded = random.Random(), random.Random(42)
connection = sqlite3.connect(":memory:", check_same_thread=False)
libc = ctypes.CDLL(None)
libc.drand48.restype = ctypes.c_double
libc.arc4random if hasattr(libc, "arc4random") else None
context = ssl.create_default_context()
default = random.getstate()
random.seed(7)
random.setstate(default)  # borrowed and given back


class Subclass(random.Random):
    pass


subclass = Subclass()


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="example.com")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()[11:].hex()


def node_and_clock(**node):
    made = uuid.uuid1(**node)
    return f"{made.node:012x} {made.clock_seq:04x}"


def sources():
    return {
        "os.urandom": lambda: os.urandom(16).hex(),
        "secrets": lambda: secrets.token_hex(16),
        "uuid4": lambda: uuid.uuid4().hex,
        "SystemRandom": lambda: random.SystemRandom().getrandbits(128),
        "random global": lambda: random.getrandbits(128),
        "random gauss": lambda: random.gauss(),
        "random instance": lambda: instance.getrandbits(128),
        "random instance gauss": lambda: instance.gauss(0, 1),
        "random subclass": lambda: subclass.getrandbits(128),
        "uuid1": node_and_clock,
        "tempfile": lambda: next(tempfile._get_candidate_names()),
        "semaphore name": lambda: multiprocessing.synchronize.SemLock._make_name(),
        "authkey": lambda: bytes(multiprocessing.current_process().authkey).hex(),
        "message id": lambda: email.utils.make_msgid(domain="x").split(".", 1)[1],
        "MIME boundary": lambda: email.generator._make_boundary(),
        "imaplib tag": lambda: [imaplib.Int2AP(random.randint(4096, 65535)) for _ in range(4)],
        "RAND_bytes": lambda: ssl.RAND_bytes(16).hex(),
        "TLS client hello": client_hello,
        "sqlite randomblob": lambda: connection.execute("select hex(randomblob(16))").fetchone()[0],
        "rand()": lambda: [libc.rand(), libc.rand(), libc.rand()],
        "drand48()": lambda: libc.drand48(),
        "kept: Random(42)": lambda: seeded.getrandbits(128),
    }
