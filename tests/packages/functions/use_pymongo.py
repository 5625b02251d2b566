import bson
import pymongo
from local import CLOSED

client = pymongo.MongoClient("127.0.0.1", CLOSED, serverSelectionTimeoutMS=100)
teas = client.shop.teas


def handler(event, context):
    try:
        teas.insert_one({"tea": "green"})
    except pymongo.errors.ServerSelectionTimeoutError as error:
        return [type(error).__name__, bson.decode(bson.encode({"cups": 2}))]


def unique():
    return {"primary key": str(bson.ObjectId())}
