import uuid

from fastapi import Depends, FastAPI
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    tea: str
    cups: int = 1


def request_id():
    return uuid.uuid4()


@app.post("/orders")
async def order(order: Order):
    return {"ordered": order.tea, "cups": order.cups}


@app.get("/id")
def id(id=Depends(request_id)):
    return str(id)


lambda_handler = Mangum(app, lifespan="off")


def call(method, path, body=None):
    event = {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "body": body,
        "headers": {"content-type": "application/json", "host": "shop"}, "isBase64Encoded": False,
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "127.0.0.1", "protocol": "HTTP/1.1"},
            "stage": "$default", "requestId": "1",
        },
    }  # fmt: skip
    answer = lambda_handler(event, None)
    return [answer["statusCode"], answer["body"]]


def handler(event, context):
    return call("POST", "/orders", '{"tea": "green", "cups": 2}')


# mangum looks for the event loop of the thread, which only the main one has.
ONE_THREAD = True


def unique():
    return {"a dependency's id": call("GET", "/id")[1]}
