"""The wheel of today's sources, and an environment that has nothing but it and what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from installing import ROOT, Installed, environment, pip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """Built in an environment of pip's own, as `pip install .` does."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Installed:
    prefix = tmp_path_factory.mktemp("installed") / "venv"
    environment(prefix, wheel)
    return Installed(prefix, tmp_path_factory.mktemp("work"))
