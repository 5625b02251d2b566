# case: bad: a cache with a lifetime, filled by a warm-up
import boto3
from cachetools import TTLCache, cached


@cached(TTLCache(maxsize=1, ttl=300))
def password():
    client = boto3.client("secretsmanager")
    value = client.get_secret_value(SecretId="db")  # expect: SNAP013
    return value["SecretString"]


password()


# case: good: a cache with a lifetime, first filled by the handler
import boto3
from cachetools import TTLCache, cached
from cachetools.func import ttl_cache


@cached(TTLCache(maxsize=1, ttl=300))
def password():
    return boto3.client("secretsmanager").get_secret_value(SecretId="db")["SecretString"]


@ttl_cache(ttl=60)
def other():
    return boto3.client("secretsmanager").get_secret_value(SecretId="db")["SecretString"]


def handler(event, context):
    return len(password() + other())


# case: bad: caches without a lifetime
import uuid

import cachetools
from cachetools.func import lru_cache
from toolz import memoize


@cachetools.cached(cache={})
def node():
    return uuid.uuid4().hex  # expect: SNAP013


@lru_cache(maxsize=1)
def session():
    return uuid.uuid4().hex  # expect: SNAP013


@memoize
def worker():
    return uuid.uuid4().hex  # expect: SNAP013


# case: bad: a method's cache
import operator
import uuid

from cachetools import LRUCache, cachedmethod


class Nodes:
    def __init__(self):
        self.cache = LRUCache(maxsize=8)

    @cachedmethod(operator.attrgetter("cache"))
    def node(self, name):
        return name + uuid.uuid4().hex  # expect: SNAP013


# case: good: cleared after restore, in each of the ways
import uuid

from cachetools import LRUCache, cached
from snapshot_restore_py import register_after_restore

CACHE = LRUCache(maxsize=8)


@cached(CACHE)
def node():
    return uuid.uuid4().hex


@cached(cache={})
def session():
    return uuid.uuid4().hex


node()
session()


@register_after_restore
def clear():
    CACHE.clear()
    session.cache.clear()


# case: bad: a secret put into a cache by hand
import boto3
from cachetools import TTLCache

CACHE = TTLCache(maxsize=1, ttl=300)
CACHE["db"] = boto3.client("secretsmanager").get_secret_value(SecretId="db")  # expect: SNAP009


# case: good: functions cleared in a loop
import functools
import uuid

from snapshot_restore_py import register_after_restore


@functools.cache
def node():
    return uuid.uuid4().hex


@functools.cache
def session():
    return uuid.uuid4().hex


@register_after_restore
def clear():
    for each in (node, session):
        each.cache_clear()


# case: bad: a cached property that init reads
import functools
import uuid


class Service:
    @functools.cached_property
    def id(self):
        return uuid.uuid4().hex


service = Service()
print("starting", service.id)  # expect: SNAP001


def handler(event, context):
    return service.id


# case: good: a cached property that only a handler reads
import functools
import uuid


class Service:
    @functools.cached_property
    def id(self):
        return uuid.uuid4().hex


service = Service()


def handler(event, context):
    return service.id


# case: bad: other libraries' cached properties, read by a method
import time
import uuid

from django.utils.functional import cached_property
from werkzeug.utils import cached_property as lazily


class Service:
    def __init__(self):
        self.warm()

    def warm(self):
        return self.id, self.started

    @cached_property
    def id(self):
        return uuid.uuid4().hex

    @lazily
    def started(self):
        return time.time()


service = Service()  # expect: SNAP001, SNAP005


# case: good: a cached property forgotten by a hook
import functools
import uuid

from snapshot_restore_py import register_after_restore


class Service:
    @functools.cached_property
    def id(self):
        return uuid.uuid4().hex


one, two, three = Service(), Service(), Service()
print(one.id, two.id, three.id)


@register_after_restore
def forget():
    del one.id
    two.__dict__.pop("id", None)
    delattr(three, "id")


# case: good: a property makes it each time
import uuid


class Service:
    @property
    def id(self):
        return uuid.uuid4().hex


service = Service()
print("starting", service.id)


# case: good: an entry deleted by a hook
import uuid

from snapshot_restore_py import register_after_restore

CACHE = {}
CACHE["node"] = uuid.uuid4().hex
CACHE["session"] = uuid.uuid4().hex


@register_after_restore
def forget():
    del CACHE["node"]
    CACHE.pop("session", None)
