"""cryptography's own OpenSSL, and what asks the kernel."""

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def sources():
    return {
        "AESGCM key": lambda: AESGCM.generate_key(128).hex(),
        "Fernet key": lambda: Fernet.generate_key().decode(),
        "EC key": lambda: ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value,
        "Ed25519 key": lambda: ed25519.Ed25519PrivateKey.generate().private_bytes_raw().hex(),
    }
