# case: bad: an id
import functools
import uuid


@functools.cache
def node_id():
    return uuid.uuid4().hex  # expect: SNAP013


# case: bad: a date, a secret, under other names
import datetime
from functools import lru_cache as memo

import boto3


@memo(maxsize=None)
def today():
    return datetime.date.today()  # expect: SNAP013


@memo
def password():
    client = boto3.client("secretsmanager")
    value = client.get_secret_value(SecretId="db")  # expect: SNAP013
    return value["SecretString"]


# case: bad: through another function, in a class
import functools
import secrets


def new():
    return secrets.token_urlsafe()


class Tokens:
    @functools.lru_cache
    def of(self, user):
        return user + new()  # expect: SNAP013


# case: good: pure
import functools


@functools.cache
def square(x):
    return x * x


# case: good: the clock is read, not returned
import functools
import time


@functools.lru_cache
def load(name):
    began = time.monotonic()
    data = name.upper()
    print("took", time.monotonic() - began)
    return data


# case: good: cleared after restore
import functools
import uuid
from snapshot_restore_py import register_after_restore


@functools.cache
def node_id():
    return uuid.uuid4().hex


@functools.cache
def other_id():
    return uuid.uuid4().hex


register_after_restore(node_id.cache_clear)


@register_after_restore
def clear():
    other_id.cache_clear()


# case: good: a lazy connection is what a cache is good for
import functools

import psycopg


@functools.cache
def database():
    return psycopg.connect("dbname=shop")
