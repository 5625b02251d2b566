"""The rules: what each finds, why it matters, the way out, and source that breaks and keeps it.

Every `bad` and `good` is held against the linter by the tests, and docs/lint.md is written from this table.
"""

from __future__ import annotations

from textwrap import dedent
from typing import Final

from thaw_check.findings import Level, Rule

_ERROR, _WARNING = Level.ERROR, Level.WARNING


def _rule(
    id_: str,
    name: str,
    level: Level,
    summary: str,
    *,
    why: str,
    fix: str,
    bad: str = "",
    good: str = "",
) -> Rule:
    return Rule(id_, name, level, summary, why, fix, dedent(bad).strip(), dedent(good).strip())


_RULES: Final = (
    _rule(
        "SNAP000",
        "unreadable",
        _ERROR,
        "The file cannot be parsed",
        why="What cannot be parsed was not checked.",
        fix="Correct the file: no Python 3 reads it.",
    ),
    _rule(
        "SNAP001",
        "unique-value-kept",
        _ERROR,
        "A unique value is made at init and kept",
        why="Init runs once, before the snapshot: every clone has this same value.",
        fix="Make it in the handler, or assign it again in a function under @register_after_restore.",
        bad="""
            import uuid

            INSTANCE_ID = str(uuid.uuid4())
        """,
        good="""
            import uuid
            from snapshot_restore_py import register_after_restore

            INSTANCE_ID = ""


            @register_after_restore
            def renew():
                global INSTANCE_ID
                INSTANCE_ID = str(uuid.uuid4())
        """,
    ),
    _rule(
        "SNAP002",
        "random-value-kept",
        _ERROR,
        "A random number is drawn at init and kept",
        why="All clones hold the same draw: what should spread them (a shard, a jitter) puts them all on one spot.",
        fix="Draw in the handler, or again after restore.",
        bad="""
            import random

            SHARD = random.randint(0, 9)
        """,
        good="""
            import random


            def handler(event, context):
                return {"shard": random.randint(0, 9)}
        """,
    ),
    _rule(
        "SNAP003",
        "generator-kept",
        _WARNING,
        "A self-seeded random generator is made at init",
        why="Its state is in the snapshot, so clones draw the same sequence. thawd reseeds generators of the standard "
        "library, numpy, torch and others after restore; AWS Lambda does not.",
        fix="Make it in the handler, or reseed it in a function under @register_after_restore. For secrets and ids use "
        "the secrets module, which asks the kernel each time.",
        bad="""
            import numpy as np

            rng = np.random.default_rng()


            def handler(event, context):
                return rng.normal()
        """,
        good="""
            import secrets


            def handler(event, context):
                return secrets.token_hex(8)
        """,
    ),
    _rule(
        "SNAP004",
        "seeded-with-unique",
        _ERROR,
        "A generator is seeded at init with something that was unique once",
        why="The seed looks different on every start, but clones do not start: all continue from the one state.",
        fix="Do not seed: generators seed themselves. Where a seed must be, seed again after restore.",
        bad="""
            import random
            import time

            random.seed(time.time())
        """,
        good="""
            import random
            from snapshot_restore_py import register_after_restore

            register_after_restore(random.seed)
        """,
    ),
    _rule(
        "SNAP005",
        "time-kept",
        _ERROR,
        "The time is read at init and kept",
        why="It is the time of the snapshot, which may be days ago: uptimes, deadlines and expiries computed from it "
        "are wrong, and equal in all clones.",
        fix="Read the clock in the handler, or again after restore.",
        bad="""
            import time

            EXPIRES = time.time() + 3600


            def handler(event, context):
                return {"expired": time.time() > EXPIRES}
        """,
        good="""
            import time

            started = time.perf_counter()
            TABLE = {n: n * n for n in range(1000)}
            print("init took", time.perf_counter() - started)
        """,
    ),
    _rule(
        "SNAP006",
        "identity-kept",
        _ERROR,
        "The name of this environment is read at init and kept",
        why="Process id, host name and log stream are those of the machine that was snapshotted: clones take each "
        "other for one worker.",
        fix="Read it when it is used, or again after restore. A process id never tells clones apart; make an id of "
        "your own after restore.",
        bad="""
            import os
            import socket

            WORKER = f"{socket.gethostname()}-{os.getpid()}"
        """,
        good="""
            import os


            def handler(event, context):
                return {"pid": os.getpid(), "region": REGION}


            REGION = os.environ["AWS_REGION"]
        """,
    ),
    _rule(
        "SNAP007",
        "connection-kept",
        _ERROR,
        "A network connection is opened at init",
        why="After restore the peer has long closed it, or two clones write into one session.",
        fix="Connect on first use in the handler; or close it in a function under @register_before_snapshot and open "
        "it again under @register_after_restore.",
        bad="""
            import psycopg

            conn = psycopg.connect("dbname=shop")


            def handler(event, context):
                return conn.execute("select 1").fetchone()
        """,
        good="""
            import functools
            import boto3
            import psycopg

            s3 = boto3.client("s3")  # connects on first use, and again when the connection is gone


            @functools.cache
            def database():
                return psycopg.connect("dbname=shop")
        """,
    ),
    _rule(
        "SNAP008",
        "thread-started",
        _WARNING,
        "A thread, timer, worker or process is started at init",
        why="It is in the snapshot in the middle of its work, and goes on in every clone: what it was about to send "
        "is sent by each, and its timers wait as if no time had passed. Hooks and fixers run in the function's own "
        "process: the random generators of a child process are the same in all clones.",
        fix="Start it in a function under @register_after_restore, or stop it before the snapshot.",
        bad="""
            import threading


            def poll(): ...


            threading.Thread(target=poll, daemon=True).start()
        """,
        good="""
            import threading
            from snapshot_restore_py import register_after_restore


            def poll(): ...


            @register_after_restore
            def start():
                threading.Thread(target=poll, daemon=True).start()
        """,
    ),
    _rule(
        "SNAP009",
        "credential-kept",
        _ERROR,
        "A secret, token or presigned URL is fetched at init and kept",
        why="It is written to disk with the snapshot, and will have expired or been rotated when a clone uses it.",
        fix="Fetch it in the handler through a cache with a lifetime (aws_lambda_powertools.utilities.parameters), or "
        "fetch it again after restore.",
        bad="""
            import boto3

            PASSWORD = boto3.client("secretsmanager").get_secret_value(SecretId="db")["SecretString"]
        """,
        good="""
            from aws_lambda_powertools.utilities import parameters


            def handler(event, context):
                password = parameters.get_secret("db", max_age=60)
                return len(password)
        """,
    ),
    _rule(
        "SNAP010",
        "key-made",
        _ERROR,
        "A key, nonce, salt or signing secret is made at init",
        why="All clones hold it: nonces built on it repeat under one key, and it lies in the snapshot's file.",
        fix="Keys come from a key store; a nonce is made for each message, in the handler.",
        bad="""
            import os

            NONCE_PREFIX = os.urandom(4)
        """,
        good="""
            import os


            def encrypt(cipher, message):
                nonce = os.urandom(12)
                return nonce + cipher.encrypt(nonce, message, None)
        """,
    ),
    _rule(
        "SNAP011",
        "temporary-file-kept",
        _WARNING,
        "A temporary file or directory is made at init",
        why="Its name and contents are the same in every clone; on shared storage they collide.",
        fix="Make it in the handler.",
        bad="""
            import tempfile

            WORK = tempfile.mkdtemp()
        """,
        good="""
            import tempfile


            def handler(event, context):
                with tempfile.TemporaryDirectory() as work:
                    return work
        """,
    ),
    _rule(
        "SNAP012",
        "file-kept-open",
        _WARNING,
        "A file is held open for writing, or a lock held, at init",
        why="Buffered data is written once by every clone; a lock in the snapshot is held by nobody else's leave.",
        fix="Open it when it is needed, or close it before the snapshot and open it after restore.",
        bad="""
            log = open("/tmp/audit.log", "a")


            def handler(event, context):
                log.write("called")
        """,
        good="""
            import json

            with open("settings.json") as file:
                SETTINGS = json.load(file)
        """,
    ),
    _rule(
        "SNAP013",
        "unique-result-cached",
        _WARNING,
        "A cached function returns something unique or of its time",
        why="If a warm-up or init calls it before the snapshot, the one result is in every clone.",
        fix="Do not cache it; or clear the cache after restore: register_after_restore(name.cache_clear). A cache with "
        "a lifetime is in order as long as init does not fill it: its time begins again at each restore.",
        bad="""
            import functools
            import uuid


            @functools.cache
            def node_id():
                return uuid.uuid4().hex
        """,
        good="""
            import functools
            import uuid
            from snapshot_restore_py import register_after_restore


            @functools.cache
            def node_id():
                return uuid.uuid4().hex


            register_after_restore(node_id.cache_clear)
        """,
    ),
    _rule(
        "SNAP014",
        "default-made-once",
        _WARNING,
        "A default argument or class attribute is unique or of its time",
        why="Python evaluates it once, at init: all calls in all clones share it.",
        fix="Default to None and make it in the body; in a dataclass use field(default_factory=...).",
        bad="""
            import uuid


            def handler(event, context, request_id=uuid.uuid4()):
                return str(request_id)
        """,
        good="""
            import time
            from dataclasses import dataclass, field


            @dataclass
            class Call:
                began: float = field(default_factory=time.time)
        """,
    ),
    _rule(
        "SNAP015",
        "hook-misuse",
        _ERROR,
        "A snapshot hook does not do what it seems to",
        why="Hooks are called once, without arguments but those registered, not awaited, and only if they were "
        "registered during init.",
        fix="Register plain functions at module level, declare what they assign `global`, and let a before-snapshot "
        "hook close what an after-restore hook opens.",
        bad="""
            from snapshot_restore_py import register_after_restore


            def handler(event, context):
                register_after_restore(print, "restored")
        """,
        good="""
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
        """,
    ),
    _rule(
        "SNAP016",
        "lookup-kept",
        _WARNING,
        "An address or configuration value is looked up at init and kept",
        why="It is as old as the snapshot: the address may belong to somebody else by now.",
        fix="Look it up when it is used, through a cache with a lifetime, or again after restore.",
        bad="""
            import socket

            ADDRESS = socket.getaddrinfo("db.internal", 5432)
        """,
        good="""
            import socket


            def handler(event, context):
                return socket.create_connection(("db.internal", 5432), timeout=2).getpeername()
        """,
    ),
    _rule(
        "SNAP017",
        "warm-up-leaves-state",
        _WARNING,
        "A warm-up call of the handler leaves its event behind",
        why="What the handler keeps of the warm-up's event is in every clone, as if that request had come to each.",
        fix="Clear it at the end of the warm-up, or in an after-restore hook.",
        bad="""
            LAST = {}


            def handler(event, context):
                LAST["order"] = event["order"]


            handler({"order": "warm-up"}, None)
        """,
        good="""
            from snapshot_restore_py import register_before_snapshot


            def handler(event, context):
                return {"order": event["order"]}


            @register_before_snapshot
            def prime():
                handler({"order": "warm-up"}, None)
        """,
    ),
    _rule(
        "SNAP018",
        "fixed-seed",
        _WARNING,
        "A constant seed decides ids, jitter or the global generator",
        why="The sequence is the same in every clone, and was so in every cold start: fixers keep what was seeded on "
        "purpose.",
        fix="Leave the global generator unseeded; where a reproducible sequence is wanted, use random.Random(seed) for "
        "that algorithm alone.",
        bad="""
            import random

            random.seed(42)
        """,
        good="""
            import random


            def handler(event, context):
                shuffle = random.Random(42)
                return shuffle.sample(range(100), 10)
        """,
    ),
)

RULES: Final = {rule.id: rule for rule in _RULES}
"""By id. SNAP000 is not a hazard but a file that could not be checked."""
