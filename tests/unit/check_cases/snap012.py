# case: bad: a log
log = open("/tmp/audit.log", "a")  # expect: SNAP012
# case: bad: wrapped, by keyword, by pathlib
import csv
from pathlib import Path

rows = csv.writer(open("/tmp/rows.csv", mode="w"))  # expect: SNAP012
trace = Path("/tmp/trace").open("wb")  # expect: SNAP012
# case: bad: a database file, a lock, random bytes already in a buffer
import fcntl
import sqlite3

db = sqlite3.connect("/tmp/index.db")  # expect: SNAP012
lock = open("/tmp/lock")
fcntl.flock(lock, fcntl.LOCK_EX)  # expect: SNAP012
noise = open("/dev/urandom", "rb")  # expect: SNAP012
# case: bad: a logging handler
import logging

logging.getLogger().addHandler(logging.FileHandler("/tmp/app.log"))  # expect: SNAP012
# case: good: read and closed
import json

with open("settings.json") as file:
    SETTINGS = json.load(file)
with open("/tmp/ready", "w") as file:
    file.write("yes")
TEXT = open("README").read()
# case: good: open for reading only
words = open("words.txt")
# case: good: in memory; opened in the handler
import sqlite3

db = sqlite3.connect(":memory:")


def handler(event, context):
    return sqlite3.connect("/tmp/index.db")


# case: good: closed before the snapshot and opened after restore
from snapshot_restore_py import register_after_restore, register_before_snapshot

log = open("/tmp/audit.log", "a")


@register_before_snapshot
def close():
    log.close()


@register_after_restore
def reopen():
    global log
    log = open("/tmp/audit.log", "a")
