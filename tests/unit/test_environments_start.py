"""What a start is told of the daemon's configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from core import running_core, version

from thawd.environments.restore import restored
from thawd.environments.trial import hand
from thawd.guest.testing import FakeFunction

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


async def test_a_functions_fixers_are_left_out_of_its_versions_alone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async def look(event: bytes, request: Any, memory: dict[str, object]) -> bytes:
        return json.dumps(memory["skip_fixers"]).encode()

    for configured, expected in (("f", ["random"]), ("another", [])):
        async with running_core(
            tmp_path / configured,
            FakeFunction(handler=look),
            skip_fixers={configured: ("random",)},
        ) as core:
            await core.publisher.make_snapshot(version())
            async with restored(core.host, version()) as environment:
                (answer,) = await hand(environment, [b"{}"], region="us-east-1")

        assert expected == json.loads(answer.payload)
