"""An OpenSSL that nothing can be called in: its generators are poked where they lie."""

import sys

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from thaw_runtime import drbg

generators = []


def freeze():
    file = sys.modules["cryptography.hazmat.bindings._rust"].__file__
    assert drbg.versions([file])[file] >= (3, 0)
    generators.extend(drbg.find([file]))
    assert generators


def thaw():
    for generator in generators:
        drbg.poke(generator.address)


def sources():
    return {
        "AESGCM key": lambda: AESGCM.generate_key(128).hex(),
        "EC key": lambda: ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value,
        "Ed25519 key": lambda: ed25519.Ed25519PrivateKey.generate().private_bytes_raw().hex(),
    }
