"""uuid_utils: a Rust generator."""

import uuid_utils


def sources():
    return {
        "uuid_utils.uuid4": lambda: uuid_utils.uuid4().hex,
        "uuid_utils.uuid7": lambda: uuid_utils.uuid7().hex[14:],
    }
