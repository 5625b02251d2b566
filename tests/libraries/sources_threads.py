"""Sources in a worker thread that waits in C between two pieces of work. For machines: a raw clone has no threads."""

import importlib.util
import random
import secrets
import ssl
import uuid
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(1)


def in_thread(make):
    return lambda: pool.submit(make).result()


found = {
    "random in a thread": lambda: random.getrandbits(128),
    "RAND_bytes in a thread": lambda: ssl.RAND_bytes(16).hex(),
    "uuid4": lambda: uuid.uuid4().hex,
    "secrets": lambda: secrets.token_hex(16),
}
if importlib.util.find_spec("uuid_utils"):
    import uuid_utils

    found["uuid_utils.uuid4 in a thread"] = lambda: uuid_utils.uuid4().hex
    found["uuid_utils.uuid7 in a thread"] = lambda: uuid_utils.uuid7().hex[14:]
if importlib.util.find_spec("cryptography"):
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    found["AESGCM key in a thread"] = lambda: AESGCM.generate_key(128).hex()
if importlib.util.find_spec("ddtrace"):
    from ddtrace.internal import native

    found["span id in a thread"] = lambda: str(native.rand64bits())


def sources():
    return {name: in_thread(source) for name, source in found.items()}
