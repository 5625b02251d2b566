"""Who wanted a reproducible stream and who a unique one: told from the seed's origin, and never wrong against the user.

The cases run as a function's module would, in a process of their own where the taps are in place from the start.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

UNIQUE = {
    "nothing": "r = random.Random()",
    "None": "r = random.Random(None)",
    "time": "r = random.Random(time.time())",
    "int of time": "r = random.Random(int(time.time()))",
    "time_ns": "r = random.Random(time.time_ns())",
    "urandom bytes": "r = random.Random(os.urandom(16))",
    "urandom as a number": "r = random.Random(int.from_bytes(os.urandom(8), 'big'))",
    "urandom little endian, by name": "s = int.from_bytes(os.urandom(8), 'little'); r = random.Random(s)",
    "pid": "r = random.Random(os.getpid())",
    "uuid4": "r = random.Random(uuid.uuid4().int)",
    "uuid4 by name": "s = uuid.uuid4().int\nr = random.Random(s)",
    "uuid4 as text, by name": "s = str(uuid.uuid4())\nr = random.Random(s)",
    "secrets": "r = random.Random(secrets.randbits(64))",
    "secrets by name": "s = secrets.randbits(128)\nr = random.Random(s)",
    "token_hex by name": "s = secrets.token_hex(16)\nr = random.Random(s)",
    "text of time": "r = random.Random(f'{time.time()}')",
    "time and pid": "r = random.Random(int(time.time()) ^ os.getpid())",
    "time by name": "s = time.time()\nr = random.Random(s)",
    "milliseconds by name": "s = int(time.time() * 1000)\nr = random.Random(s)",
    "datetime.now": "r = random.Random(datetime.datetime.now().timestamp())",
    "monotonic_ns by name": "s = time.monotonic_ns()\nr = random.Random(s)",
    "a subclass": "class R(random.Random): pass\nr = R()",
    "a subclass with its own init": "class R(random.Random):\n def __init__(self): super().__init__()\nr = R()",
    "in a function": "def make(): return random.Random(time.time())\nr = make()",
    "imported by name": "from time import time_ns\nr = random.Random(time_ns())",
    "seed() after": "r = random.Random(5); r.seed()",
    "a unique state put back": "r = random.Random(); s = r.getstate(); r.seed(1); r.setstate(s)",
    "the global generator": "r = random._inst",
    "the global one seeded with time": "random.seed(time.time()); r = random._inst",
    "reseed()": "r = reseed(random.Random(42))",
    "reseed(random)": "random.seed(3); reseed(random); r = random._inst",
}

REPRODUCIBLE = {
    "42": "r = random.Random(42)",
    "0": "r = random.Random(0)",
    "text": "r = random.Random('abc')",
    "a date": "r = random.Random(20261123)",
    "a large constant": "r = random.Random(2**40 + 7)",
    "a 128-bit constant": "r = random.Random(0x3034c61a9ae04ff8cb62ab8ec2c4b501)",
    "a hash": "r = random.Random(hash((1, 2)))",
    "a constant by name": "SEED = 1234\nr = random.Random(SEED)",
    "the pid's number by name": "SEED = int(os.environ.get('SEED', os.getpid()))\nr = random.Random(SEED)",
    "a small float by name": "SEED = 0.5\nr = random.Random(SEED)",
    "a literal that is the time": f"r = random.Random({int(time.time())})",
    "an attribute called time": "class c: time = 5\nr = random.Random(c.time)",
    "from the environment, else time": (
        "os.environ['SEED'] = '42'\n"
        "r = random.Random(int(os.environ['SEED']) if 'SEED' in os.environ else time.time_ns())"
    ),
    "seed(42) after": "r = random.Random(); r.seed(42)",
    "a state of a seeded one": "o = random.Random(1); r = random.Random(); r.setstate(o.getstate())",
    "a subclass that passes it on": "class R(random.Random):\n def __init__(self, s): super().__init__(s)\nr = R(7)",
    "a constant beside a unique value": "key = os.urandom(16); seed = 99\nr = random.Random(seed)",
    "the global generator seeded": "random.seed(42); r = random._inst",
    "keep()": "r = keep(random.Random())",
    "keep(random)": "keep(random); r = random._inst",
    "not a number": "r = random.Random(float('nan'))",
    "infinite": "s = float('inf')\nr = random.Random(s)",
}


@pytest.fixture(scope="module")
def renewed() -> dict[str, bool]:
    """What the fixer would do with each piece of code, by the code."""
    codes = [*UNIQUE.values(), *REPRODUCIBLE.values()]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "intent_bed.py")],
        env={"PYTHONPATH": str(ROOT / "runtimes" / "python")},
        input=json.dumps({code: code for code in codes}),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_module_imported_before_us_is_tapped_too():
    """Another .pth line may have imported `random`, and so `secrets`, with the kernel's function by name."""
    code = """
import random, secrets
from thaw_runtime.registry import Registry
registry = Registry()
registry.start()
seed = secrets.randbits(128)
wanted = [random.Random(seed), random._inst]
from thaw_runtime.fixers.random import fixer
registry.freeze()
assert all(any(r is found for found in fixer._found) for r in wanted)
"""
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={"PYTHONPATH": str(ROOT / "runtimes" / "python")},
    )


@pytest.mark.parametrize("code", UNIQUE.values(), ids=UNIQUE.keys())
def test_unique_by_intent_is_renewed(renewed, code):
    """A seed that would be another at the next start is meant to be unique."""
    assert renewed[code] is True


@pytest.mark.parametrize("code", REPRODUCIBLE.values(), ids=REPRODUCIBLE.keys())
def test_reproducible_by_intent_is_left_alone(renewed, code):
    """A seed that would be the same at the next start is the user's, whatever it happens to equal."""
    assert renewed[code] is False
