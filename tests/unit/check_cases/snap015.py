# case: bad: registered in the handler, and in what only the handler calls
from snapshot_restore_py import register_after_restore


def install():
    register_after_restore(print)  # expect: SNAP015


def handler(event, context):
    @register_after_restore  # expect: SNAP015
    def late(): ...

    install()


# case: bad: opened again, but never closed
import psycopg
from snapshot_restore_py import register_after_restore

conn = psycopg.connect("dbname=shop")


@register_after_restore
def reopen():
    global conn
    conn = psycopg.connect("dbname=shop")  # expect: SNAP015


# case: bad: async, with a parameter, called instead of passed
from snapshot_restore_py import register_after_restore, register_before_snapshot


@register_after_restore  # expect: SNAP015
async def renew(): ...


@register_before_snapshot  # expect: SNAP015
def close(connection): ...


def reset():
    print("reset")


register_after_restore(reset())  # expect: SNAP015
# case: bad: without global
import uuid
from snapshot_restore_py import register_after_restore

ID = uuid.uuid4()  # expect: SNAP001


@register_after_restore
def renew():
    ID = uuid.uuid4()  # expect: SNAP015


# case: good: a pair
import psycopg
from snapshot_restore_py import register_after_restore, register_before_snapshot

conn = psycopg.connect("dbname=shop")


@register_before_snapshot
def close():
    global conn
    conn.close()
    conn = None


@register_after_restore
def reopen():
    global conn
    conn = psycopg.connect("dbname=shop")


# case: good: closed by the after-restore hook itself
import psycopg
from snapshot_restore_py import register_after_restore

conn = psycopg.connect("dbname=shop")


@register_after_restore
def reopen():
    global conn
    conn.close()
    conn = psycopg.connect("dbname=shop")


# case: good: registered with arguments, in a function that init calls
from snapshot_restore_py import register_after_restore


def warm(name, *, times=1): ...


def install():
    register_after_restore(warm, "orders", times=2)


install()
# case: good: a method, a lambda, a factory of hooks
import snapshot_restore_py as snap


class Pool:
    def reset(self): ...


def hook_for(name):
    def hook():
        print(name)

    return hook


pool = Pool()
snap.register_after_restore(pool.reset)
snap.register_before_snapshot(lambda: pool.reset())
snap.register_after_restore(hook_for("pool"))
