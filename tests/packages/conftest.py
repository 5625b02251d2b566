"""The packages and the guest's Python, each set up once for all processes of a test run."""

from __future__ import annotations

from pathlib import Path

import bundles
import guest_python
import pytest
import trio

from thawd.images.store import ImageStore

IMAGES = Path(__file__).parents[2] / ".cache" / "state" / "images"


@pytest.fixture(scope="session")
def site() -> bundles.Site:
    return bundles.site()


@pytest.fixture(scope="session")
def guest() -> guest_python.GuestPython:
    async def image():
        return await ImageStore(IMAGES).ensure("python3.13")

    guest = guest_python.unpacked(trio.run(image), bundles.CACHE)
    bundles.BUNDLES.mkdir(exist_ok=True)
    tried = guest.run(bundles.BUNDLES, "-c", "pass")
    if tried.returncode != 0:
        pytest.skip(f"no namespaces to be had: {tried.stderr.strip()[-300:]}")
    return guest
