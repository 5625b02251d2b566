"""PID 1 of a guest: `python3 -m thaw_agent`."""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from typing import Final

from . import channel, init
from .agent import Agent
from .language import Language
from .loop import Loop
from .system import System

_LAST_WORDS_S: Final = 1.0
"""How long the machine stays after a fault: the VMM may still hold the last bytes of the channel and the console."""


def main() -> None:
    """Set the machine up and serve until it ends, which the host decides."""
    agent: Agent | None = None
    try:
        system = System()
        init.set_up(system)
        loop = Loop()
        agent = Agent(loop, channel.open_port(), system, Language.of_image(system))
        # What is allocated up to here lives for ever: clones should not touch (and so copy) it for a collection.
        gc.collect()
        gc.freeze()
        loop.run()
    except Exception as error:  # noqa: BLE001 - whatever it was, the host must learn of it before the machine goes
        trace = traceback.format_exc()
        print(f"thaw_agent: {trace}", file=sys.stderr, flush=True)
        if agent is not None:
            agent.fault(error, trace)
        time.sleep(_LAST_WORDS_S)
    # PID 1 must not return while the kernel runs: its end is a panic, which ends the machine.
    os._exit(1)


if __name__ == "__main__":
    main()
