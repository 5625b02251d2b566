import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
keys = jwt.PyJWKClient("http://127.0.0.1:9/jwks.json", cache_keys=True)


def handler(event, context):
    token = jwt.encode({"sub": "tea"}, key, algorithm="ES256")
    return jwt.decode(token, key.public_key(), algorithms=["ES256"])


def unique():
    return {"token": jwt.encode({"jti": str(uuid.uuid4())}, "of tests " * 8, algorithm="HS256")}
