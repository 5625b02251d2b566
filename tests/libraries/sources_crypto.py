"""pycryptodome asks the kernel, but for the blinding factors that an RSA key keeps."""

from Crypto.Cipher import PKCS1_OAEP
from Crypto.PublicKey import ECC, RSA
from Crypto.Random import get_random_bytes

key = RSA.generate(1024)
secret = PKCS1_OAEP.new(key.public_key()).encrypt(b"x")


def blinding():
    PKCS1_OAEP.new(key).decrypt(secret)
    return str(key._blinding[0])


def sources():
    found = {
        "get_random_bytes": lambda: get_random_bytes(16).hex(),
        "ECC key": lambda: str(ECC.generate(curve="P-256").d),
    }
    if hasattr(key, "_blinding"):
        found["RSA blinding"] = blinding
    return found
