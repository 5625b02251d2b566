# case: bad: a database
import psycopg

conn = psycopg.connect("dbname=shop")  # expect: SNAP007
# case: bad: a cursor keeps its connection, an object its socket
import pymysql
import socket

cursor = pymysql.connect(host="db").cursor()  # expect: SNAP007


class Statsd:
    def __init__(self, host):
        self.sock = socket.create_connection((host, 8125))


statsd = Statsd("metrics")  # expect: SNAP007
# case: bad: a lazy client that init uses
import redis
import sqlalchemy

engine = sqlalchemy.create_engine("postgresql://db/shop")
with engine.connect() as connection:  # expect: SNAP007
    connection.execute("select 1")
cache = redis.Redis(host="cache")
cache.ping()  # expect: SNAP007
# case: bad: through a helper, in a class attribute
import pika


def channel():
    return pika.BlockingConnection().channel()


class Bus:
    channel = channel()  # expect: SNAP007


# case: good: clients that connect on first use
import boto3
import redis
import requests
import sqlalchemy

s3 = boto3.client("s3")
table = boto3.resource("dynamodb").Table("orders")
session = requests.Session()
engine = sqlalchemy.create_engine("postgresql://db/shop")
cache = redis.Redis(host="cache")
# case: good: opened and closed within init
import psycopg

with psycopg.connect("dbname=shop") as conn:
    PRICES = dict(conn.execute("select name, price from prices").fetchall())
other = psycopg.connect("dbname=shop")
other.close()
# case: good: opened on first use
import psycopg

conn = None


def handler(event, context):
    global conn
    if conn is None:
        conn = psycopg.connect("dbname=shop")
    return conn.execute("select 1").fetchone()


# case: good: closed before the snapshot, opened after restore
import psycopg
from snapshot_restore_py import register_after_restore, register_before_snapshot

conn = psycopg.connect("dbname=shop")


@register_before_snapshot
def close():
    conn.close()


@register_after_restore
def reopen():
    global conn
    conn = psycopg.connect("dbname=shop")


# case: good: a pool that is disposed of, a pool that is not open
import sqlalchemy
from psycopg_pool import ConnectionPool
from snapshot_restore_py import register_before_snapshot

engine = sqlalchemy.create_engine("postgresql://db/shop")
with engine.connect() as connection:
    connection.execute("select 1")
register_before_snapshot(engine.dispose)
pool = ConnectionPool("dbname=shop", open=False)
