"""Where the agent is to be found in the guest, both on its loopback interface."""

from __future__ import annotations

from typing import Final

API_HOST: Final = "169.254.100.1"
"""Of the Runtime API, as Lambda has it."""
KEYS_HOST: Final = "127.0.0.1"
"""Of the credentials endpoint: SDKs take plain HTTP from loopback and two addresses of AWS's only."""
PORT: Final = 9001
"""Of both."""
