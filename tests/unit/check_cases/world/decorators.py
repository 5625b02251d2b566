# case: good: a decorator made by a library's decorator
from aws_lambda_powertools.middleware_factory import lambda_handler_decorator


@lambda_handler_decorator
def timed(handler, event, context):
    answer = handler(event, context)
    answer["seen"] = context.aws_request_id
    return answer


@timed
def handler(event, context):
    return {"order": event["order"]}


# case: good: with arguments, and of wrapt
import wrapt
from aws_lambda_powertools.middleware_factory import lambda_handler_decorator

SEEN = {}


@lambda_handler_decorator(trace_execution=True)
def noted(handler, event, context, field="id"):
    SEEN["last"] = event[field]
    return handler(event, context)


@wrapt.decorator
def logged(wrapped, instance, args, kwargs):
    SEEN["call"] = args
    return wrapped(*args, **kwargs)


@noted(field="order")
@logged
def handler(event, context):
    return {"order": event["order"]}


# case: good: wrapped by a call
from aws_lambda_powertools.middleware_factory import lambda_handler_decorator

LAST = {}


@lambda_handler_decorator
def noted(handler, event, context):
    LAST["order"] = event["order"]
    return handler(event, context)


def main(event, context):
    return {}


handler = noted(main)


# case: good: a class that wraps
import functools

LAST = {}


class Noted:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, event, context):
        LAST["order"] = event["order"]
        return self.function(event, context)


@Noted
def handler(event, context):
    return {}


# case: good: a decorator of one's own, with and without arguments
import functools

LAST = {}


def noted(function=None, *, field="order"):
    if function is None:
        return functools.partial(noted, field=field)

    @functools.wraps(function)
    def inner(event, context):
        LAST[field] = event[field]
        return function(event, context)

    return inner


@noted(field="id")
def handler(event, context):
    return {}


# case: bad: a warm-up call through a library's decorator
from aws_lambda_powertools import Logger

logger = Logger()
LAST = {}


@logger.inject_lambda_context
def handler(event, context):
    LAST["order"] = event["order"]


handler({"order": "warm-up"}, None)  # expect: SNAP017


# case: bad: a warm-up call through a decorator of one's own
import functools

LAST = {}


def noted(function):
    @functools.wraps(function)
    def inner(event, context):
        LAST["order"] = event["order"]
        return function(event, context)

    return inner


@noted
def handler(event, context):
    return {}


handler({"order": "warm-up"}, None)  # expect: SNAP017


# case: bad: a decorator that registers a class, and makes one of it
import uuid

PLUGINS = {}


def plugin(cls):
    PLUGINS[cls.__name__] = cls()  # expect: SNAP001
    return cls


@plugin
class Orders:
    def __init__(self):
        self.node = uuid.uuid4().hex


# case: bad: a registry whose object is the decorator
import uuid


class Registry:
    def __init__(self):
        self.made = []

    def __call__(self, function):
        self.made.append(function())
        return function


registry = Registry()


@registry  # expect: SNAP001
def node():
    return uuid.uuid4().hex
