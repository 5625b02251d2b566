import uuid
from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field, TypeAdapter


class Order(BaseModel):
    id: uuid.UUID = Field(default_factory=uuid.uuid4)
    tea: str
    cups: Annotated[int, Field(gt=0)]
    due: date | None = None


orders = TypeAdapter(list[Order])
house = Order(tea="green", cups=1, id="00000000-0000-4000-8000-000000000000")


def handler(event, context):
    (order,) = orders.validate_python([{"tea": "black", "cups": "2", "due": "2026-01-01"}])
    return [order.cups, order.due.isoformat(), house.model_dump(mode="json")]


def unique():
    return {"default": str(Order(tea="green", cups=1).id)}
