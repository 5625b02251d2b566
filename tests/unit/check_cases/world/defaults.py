# case: bad: fields of a model
import uuid
from datetime import datetime, timezone

from pydantic import BaseModel, Field


class Order(BaseModel):
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    made: datetime = Field(default=datetime.now(timezone.utc))  # expect: SNAP014
    reference: str = uuid.uuid4().hex  # expect: SNAP014


def handler(event, context):
    return Order().model_dump_json()


# case: good: factories of each house
import dataclasses
import time
import uuid
from typing import Annotated

import attrs
import msgspec
from pydantic import BaseModel, Field, PrivateAttr
from sqlalchemy import Column, DateTime, String
from sqlalchemy.orm import mapped_column


class Order(BaseModel):
    id: Annotated[str, Field(default_factory=lambda: uuid.uuid4().hex)]
    made: float = Field(default_factory=time.time)
    _node: str = PrivateAttr(default_factory=lambda: uuid.uuid4().hex)


@attrs.define
class Line:
    id: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    made: float = attrs.Factory(time.time)


class Message(msgspec.Struct):
    id: uuid.UUID = msgspec.field(default_factory=uuid.uuid4)


@dataclasses.dataclass
class Call:
    began: float = dataclasses.field(default_factory=time.time)


class Row:
    id = Column(String, default=uuid.uuid4)
    made = mapped_column(DateTime, default=time.time)


# case: bad: values where a factory is meant
import time
import uuid

import attrs
from pydantic import BaseModel, Field, PrivateAttr
from sqlalchemy import Column, DateTime, String


class Order(BaseModel):
    id: str = Field(str(uuid.uuid4()), title="id")  # expect: SNAP014
    _node: str = PrivateAttr(default=uuid.uuid4().hex)  # expect: SNAP014


@attrs.define
class Line:
    made: float = attrs.field(default=time.time())  # expect: SNAP014


class Row:
    id = Column(String, default=uuid.uuid4())  # expect: SNAP014
    made = Column(DateTime, default=time.time())  # expect: SNAP014


# case: bad: a model made at init
import uuid

from pydantic import BaseModel, Field


class Order(BaseModel):
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)


TEMPLATE = Order()  # expect: SNAP001


# case: good: a model's settings
from pydantic import Field
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    table: str = Field(default="orders")
    retries: int = 3


settings = Settings()
