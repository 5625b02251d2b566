"""pysqlite3: an SQLite of its own, in a process that has not loaded Python's."""

import sys

import pysqlite3

assert "sqlite3" not in sys.modules
connection = pysqlite3.connect(":memory:", check_same_thread=False)


def sources():
    return {
        "randomblob": lambda: connection.execute("select hex(randomblob(16))").fetchone()[0],
        "random": lambda: connection.execute("select random()").fetchone()[0],
    }
