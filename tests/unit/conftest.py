"""Unit tests run in seconds, so that they are run: fewer examples here than by default, where a test asks for no number.

`HYPOTHESIS_PROFILE=thorough` asks for many.
"""

from __future__ import annotations

import gc
import os

import structlog
from hypothesis import settings

settings.register_profile("unit", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unit"))

# Tracebacks as rich draws them, with the source of each frame in colours, take a quarter of a second each.
*_before, _ = structlog.get_config()["processors"]
structlog.configure(
    [
        *_before,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


def pytest_collection_finish() -> None:
    """What stays until the end need not be gone through by each collection: a tenth of the run."""
    gc.collect()
    gc.freeze()
