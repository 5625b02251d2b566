"""Sources in child processes that live in the snapshot: a program that was started, and a fork. For machines."""

import multiprocessing
import random
import secrets
import subprocess
import sys

CHILD = r"""
import random, sys, uuid
from snapshot_restore_py import register_after_restore

random.random()
hooks = []


@register_after_restore
def renew():
    hooks.append(uuid.uuid4().hex)


renew()
for line in sys.stdin:
    print({"random": lambda: random.getrandbits(128), "hook": lambda: hooks[-1]}[line.strip()](), flush=True)
"""
program = subprocess.Popen(
    [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
)


def ask(what):
    program.stdin.write(f"{what}\n")
    program.stdin.flush()
    return program.stdout.readline().strip()


def answer(connection):
    while True:
        what = connection.recv()
        connection.send(random.getrandbits(128) if what == "random" else secrets.token_hex(16))


ours, theirs = multiprocessing.Pipe()
fork = multiprocessing.get_context("fork").Process(target=answer, args=(theirs,), daemon=True)
fork.start()


def ask_fork(what):
    ours.send(what)
    return ours.recv()


def sources():
    return {
        "random in a program": lambda: ask("random"),
        "what a program's hook made": lambda: ask("hook"),
        "random in a fork": lambda: ask_fork("random"),
        "secrets": lambda: ask_fork("secrets"),
    }
