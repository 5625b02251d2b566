"""numpy: who wanted a reproducible stream and who a unique one, legacy seeds included."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

UNIQUE = {
    "default_rng()": "r = np.random.default_rng()",
    "SeedSequence()": "r = np.random.default_rng(np.random.SeedSequence())",
    "secrets": "r = np.random.default_rng(secrets.randbits(128))",
    "list of urandom": "r = np.random.default_rng([1, secrets.randbits(64)])",
    "RandomState()": "r = np.random.RandomState()",
    "PCG64(time)": "r = np.random.Generator(np.random.PCG64(int(time.time())))",
    "spawned of unseeded": "r = np.random.default_rng().spawn(2)[1]",
    "RandomState(time)": "r = np.random.RandomState(int(time.time()))",
    "RandomState(time), drawn from": "r = np.random.RandomState(int(time.time())); r.bytes(6000)",
    "global": "r = np.random.mtrand._rand",
    "global, seeded with time": "np.random.seed(int(time.time())); r = np.random.mtrand._rand",
    "global, seed()": "np.random.seed(3); np.random.seed(); r = np.random.mtrand._rand",
    "global, borrowed": "s = np.random.get_state(); np.random.seed(3); np.random.set_state(s); r = np.random.mtrand._rand",
    "reseed()": "r = reseed(np.random.default_rng(42))",
    "a sequence of its own": "r = np.random.SeedSequence()",
}

REPRODUCIBLE = {
    "default_rng(42)": "r = np.random.default_rng(42)",
    "spawned of 42": "r = np.random.default_rng(np.random.SeedSequence(42).spawn(1)[0])",
    "a list": "r = np.random.default_rng([1, 2, 3])",
    "a 128-bit constant": "r = np.random.default_rng(0x3034c61a9ae04ff8cb62ab8ec2c4b501)",
    "RandomState(42)": "r = np.random.RandomState(42)",
    "RandomState(42), drawn from": "r = np.random.RandomState(42); r.bytes(6000)",
    "RandomState of a list": "r = np.random.RandomState([1, 2, 3])",
    "a loaded state": "r = np.random.default_rng(); r.bit_generator.state = np.random.PCG64(1).state",
    "global, seeded": "np.random.seed(42); r = np.random.mtrand._rand",
    "global, seeded past numpy.random": "r = np.random.mtrand._rand; r.seed(42)",
    "global, a seeded state": "np.random.set_state(np.random.RandomState(1).get_state()); r = np.random.mtrand._rand",
    "keep()": "r = keep(np.random.default_rng())",
    "keep(numpy.random)": "keep(np.random); r = np.random.mtrand._rand",
    "a sequence of 7": "r = np.random.SeedSequence(7)",
}


@pytest.fixture(scope="module")
def renewed() -> dict[str, bool]:
    """What the fixer would do with each piece of code, by the code."""
    if importlib.util.find_spec("numpy") is None:
        pytest.skip("numpy is not installed (dependency group `fixers`)")
    codes = [*UNIQUE.values(), *REPRODUCIBLE.values()]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "intent_bed.py"), "--numpy"],
        env={"PYTHONPATH": str(ROOT / "runtimes" / "python"), "PATH": os.environ["PATH"]},
        input=json.dumps({code: code for code in codes}),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("code", UNIQUE.values(), ids=UNIQUE.keys())
def test_unique_by_intent_is_renewed(renewed, code):
    """A seed that would be another at the next start is meant to be unique."""
    assert renewed[code] is True


@pytest.mark.parametrize("code", REPRODUCIBLE.values(), ids=REPRODUCIBLE.keys())
def test_reproducible_by_intent_is_left_alone(renewed, code):
    """A seed that would be the same at the next start is the user's."""
    assert renewed[code] is False
