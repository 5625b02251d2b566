from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

box = Fernet(Fernet.generate_key())
key = ec.generate_private_key(ec.SECP256R1())


def handler(event, context):
    signature = key.sign(b"tea", ec.ECDSA(hashes.SHA256()))
    key.public_key().verify(signature, b"tea", ec.ECDSA(hashes.SHA256()))
    return box.decrypt(box.encrypt(b"green")).decode()


def unique():
    return {
        "AES key": AESGCM.generate_key(128).hex(),
        "Fernet key": Fernet.generate_key().decode(),
        "EC key": ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value,
        "Ed25519 key": ed25519.Ed25519PrivateKey.generate().private_bytes_raw().hex(),
    }
