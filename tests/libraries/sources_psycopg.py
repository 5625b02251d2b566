"""psycopg[binary] brings a libcrypto of its own (SCRAM nonces, TLS)."""

import ctypes

import psycopg

assert psycopg.pq.__impl__ == "binary"
with open("/proc/self/maps") as maps:
    path = next(line.split()[-1] for line in maps if "psycopg_binary.libs/libcrypto" in line)
library = ctypes.CDLL(path)


def drawn(function):
    buffer = ctypes.create_string_buffer(16)
    assert getattr(library, function)(buffer, 16) == 1
    return buffer.raw.hex()


def sources():
    return {
        "bundled RAND_bytes": lambda: drawn("RAND_bytes"),
        "bundled RAND_priv_bytes": lambda: drawn("RAND_priv_bytes"),
    }
