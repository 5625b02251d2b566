"""pycryptodome asks the kernel for everything: it needs no fixer, and this shows it."""

from Crypto.PublicKey import ECC
from Crypto.Random import get_random_bytes


def sources():
    return {
        "get_random_bytes": lambda: get_random_bytes(16).hex(),
        "ECC key": lambda: str(ECC.generate(curve="P-256").d),
    }
