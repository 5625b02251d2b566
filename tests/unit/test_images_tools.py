"""Running tools: what a person learns when one fails."""

import pytest

from thawd.errors import ImageError
from thawd.images.tools import run


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Makes a program of this shell script, on PATH."""

    def make(name, script):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


async def test_a_tool_is_found_and_its_output_returned(tool):
    tool("mkfs.erofs", 'printf "%s\\n" "$@"')

    assert b"-x-1\na b\n" == await run(["mkfs.erofs", "-x-1", "a b"])


async def test_a_tool_reads_no_input(tool):
    tool("zstd", "cat")

    assert b"" == await run(["zstd"])


async def test_a_failed_tool_is_named_with_its_last_lines(tool):
    tool("mmdebstrap", 'for n in $(seq 100); do echo "line $n" >&2; done; exit 25')

    with pytest.raises(ImageError) as caught:
        await run(["mmdebstrap"])

    first, *rest = caught.value.message.splitlines()
    assert "mmdebstrap failed with status 25:" == first
    assert [f"line {n}" for n in range(89, 101)] == rest


async def test_a_missing_tool_comes_with_the_package_to_install(monkeypatch):
    monkeypatch.setattr("thawd.images.tools._search_path", lambda: "/nowhere")

    with pytest.raises(ImageError, match=r"mkfs\.erofs is not installed") as caught:
        await run(["mkfs.erofs"])

    assert "Install it: apt-get install erofs-utils" == caught.value.hint


async def test_the_environment_is_ours_unless_given(tool, monkeypatch):
    monkeypatch.setenv("MINE", "yes")
    tool("tar", 'echo "${MINE:-no}"')

    assert b"yes\n" == await run(["tar"])
    assert b"no\n" == await run(["tar"], env={})
