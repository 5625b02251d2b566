# case: bad: a key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = AESGCM.generate_key(128)  # expect: SNAP010
# case: bad: a cipher that holds a key, a nonce's prefix
import os

from cryptography.fernet import Fernet

cipher = Fernet(Fernet.generate_key())  # expect: SNAP010
NONCE_PREFIX = os.urandom(4)  # expect: SNAP010
# case: bad: a web framework's secret, by attribute, item and method
import os
import secrets

from flask import Flask

app = Flask(__name__)
app.secret_key = os.urandom(24)  # expect: SNAP010
other = Flask(__name__)
other.config["SECRET_KEY"] = secrets.token_hex(32)  # expect: SNAP010
third = Flask(__name__)
third.config.update(SECRET_KEY=secrets.token_bytes(16))  # expect: SNAP010
# case: bad: key pairs
from cryptography.hazmat.primitives.asymmetric import ec, rsa

SIGNING = ec.generate_private_key(ec.SECP256R1())  # expect: SNAP010
PUBLIC = rsa.generate_private_key(65537, 2048).public_key()  # expect: SNAP010
# case: good: a nonce for each message
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def handler(event, context):
    nonce = os.urandom(12)
    return nonce + AESGCM(event["key"]).encrypt(nonce, b"x", None)


# case: good: a key from the environment
import base64
import os

KEY = base64.b64decode(os.environ["SIGNING_KEY"])
# case: good: made again after restore
import os
from snapshot_restore_py import register_after_restore


class Nonces:
    prefix = os.urandom(4)


@register_after_restore
def renew():
    Nonces.prefix = os.urandom(4)
