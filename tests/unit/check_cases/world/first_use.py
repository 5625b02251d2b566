# case: bad: clients that connect at their first command
import pymongo
import redis

cache = redis.Redis(host="cache")
cache.lrange("a", 0, -1)  # expect: SNAP007

mongo = pymongo.MongoClient("mongodb://db")
mongo.admin.command("ping")  # expect: SNAP007

other = pymongo.MongoClient("mongodb://db")
orders = other["shop"]["orders"]
orders.find_one({})  # expect: SNAP007


# case: good: clients that were never used
import pymongo
import redis
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

cache = redis.Redis(host="cache")
orders = pymongo.MongoClient("mongodb://db").shop.orders
engine = create_engine("postgresql://db/shop")
Session = sessionmaker(bind=engine)


def handler(event, context):
    return cache.get("a"), orders.find_one({}), Session().execute("select 1")


# case: bad: an engine that tables are made with, or that a session or pandas uses
import pandas as pd
from models import Base
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

engine = create_engine("postgresql://db/shop")
Base.metadata.create_all(engine)  # expect: SNAP007

second = create_engine("postgresql://db/shop")
RATES = pd.read_sql("select * from rates", second)  # expect: SNAP007

third = create_engine("postgresql://db/shop")
with Session(third) as session:
    session.execute("select 1")  # expect: SNAP007


# case: good: an engine whose pool is emptied
from sqlalchemy import create_engine, text

engine = create_engine("postgresql://db/shop")
with engine.connect() as connection:
    RATES = connection.execute(text("select * from rates")).all()
engine.dispose()


# case: bad: in a class that connects when it is made
import redis


class Store:
    def __init__(self):
        self.client = redis.from_url("redis://cache")
        self.client.ping()


store = Store()  # expect: SNAP007


# case: bad: other libraries
import confluent_kafka
import neo4j
from pymemcache.client.base import Client

producer = confluent_kafka.Producer({"bootstrap.servers": "kafka"})  # expect: SNAP007

driver = neo4j.GraphDatabase.driver("neo4j://db")
driver.verify_connectivity()  # expect: SNAP007

memory = Client("cache")
memory.get("a")  # expect: SNAP007


# case: good: closed again, by itself or by a hook
import pymongo
import redis
from snapshot_restore_py import register_before_snapshot

cache = redis.Redis(host="cache")
cache.ping()
cache.close()

mongo = pymongo.MongoClient("mongodb://db")
RATES = list(mongo.shop.rates.find({}))
register_before_snapshot(mongo.close)


# case: good: what replaces a dead connection by itself
import boto3
import requests

session = requests.Session()
RATES = session.get("https://example.org/rates.json").json()
table = boto3.resource("dynamodb").Table("orders")
ORDERS = table.scan()["Items"]
