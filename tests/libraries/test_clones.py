"""Libraries: eight clones of a process that uses one share nothing but what is kept; without its fixer they do."""

from __future__ import annotations

import importlib.util

import pytest
from cloning import clone, shared

LIBRARIES = {
    "aiohttp": "aiohttp",
    "botocore": "botocore",
    "bson": "pymongo",
    "celery": "celery",
    "crypto": "Crypto",
    "cryptography": "cryptography",
    "ddtrace": "ddtrace",
    "faker": "faker",
    "nats": "nats",
    "numba": "numba",
    "numba_seeded": "numba",
    "numpy": "numpy",
    "opentelemetry": "opentelemetry.sdk",
    "polars": "polars",
    "psycopg": "psycopg_binary",
    "pyarrow": "pyarrow",
    "pysqlite3": "pysqlite3",
    "sentry_sdk": "sentry_sdk",
    "torch": "torch",
    "uuid_utils": "uuid_utils",
}

KERNEL = {
    "Fernet key", "get_random_bytes", "ECC key", "task id", "kombu's uuid", "event id",
}  # fmt: skip
"""Sources that ask the kernel at every call; the bed's clones share one kernel."""


def need(library: str) -> None:
    """Skip by name; nothing is imported into the test's own process."""
    if importlib.util.find_spec(library.partition(".")[0]) is None:
        pytest.skip(f"{library} is not installed (dependency groups `fixers`, `fixers-long`)")


@pytest.mark.parametrize(("module", "library"), LIBRARIES.items())
def test_clones_share_nothing_but_what_is_kept(module, library):
    """Every source of the library that a fixer claims differs in every clone; explicit seeds go on alike."""
    need(library)

    result = clone(module)
    clones = result["clones"]

    assert set() == {n for n in clones[0] if not n.startswith("kept: ") and shared(clones, n)}
    for name in clones[0]:
        if name.startswith("kept: "):
            assert all(said[name] == clones[0][name] for said in clones), name
    assert {f["result"] for f in result["fixers"]} <= {"ok", "absent"}


@pytest.mark.parametrize(("module", "library"), LIBRARIES.items())
def test_without_fixers_they_do(module, library):
    """The test above can fail: everything but the kernel's own repeats when nothing renews it."""
    need(library)

    clones = clone(module, "--off")["clones"]

    assert KERNEL & set(clones[0]) == {n for n in clones[0] if not shared(clones, n)}


def test_a_copy_that_exports_nothing_is_found_by_structure():
    """With its own fixer left out, cryptography's static OpenSSL is one that only its memory gives away."""
    need("cryptography")

    clones = clone("hidden_openssl", "--skip", "cryptography")["clones"]
    without = clone("hidden_openssl", "--off")["clones"]

    assert set() == {name for name in clones[0] if shared(clones, name)}
    assert set(without[0]) == {name for name in without[0] if shared(without, name)}
