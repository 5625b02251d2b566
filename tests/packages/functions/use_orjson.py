from dataclasses import dataclass
from datetime import UTC, datetime

import orjson


@dataclass
class Tea:
    name: str
    since: datetime


tea = Tea("green", datetime(2026, 1, 1, tzinfo=UTC))
NEVER = datetime.min


def handler(event, context):
    return orjson.dumps([tea, NEVER], option=orjson.OPT_SORT_KEYS).decode()
