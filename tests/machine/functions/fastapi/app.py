from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    name: str
    price: float


@app.post("/items/{number}")
async def put(number: int, item: Item):
    return {"number": number, "name": item.name.upper(), "gross": round(item.price * 1.19, 2)}


handler = Mangum(app, lifespan="off")
