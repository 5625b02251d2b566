"""celery: the ids of an app, and of a task."""

from celery import Celery
from kombu.common import oid_from
from kombu.utils.uuid import uuid

app = Celery("app", broker="memory://", backend="cache+memory://")


@app.task
def add(a, b):
    return a + b


def sources():
    return {
        "app id": lambda: app.oid,
        "id of the app in this thread": lambda: app.thread_oid,
        "id of another object": lambda: oid_from(add),
        "task id": lambda: add.delay(1, 2).id,
        "kombu's uuid": uuid,
    }
