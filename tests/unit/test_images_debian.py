"""Which archive packages are asked of, and what is said when it cannot be used."""

from __future__ import annotations

import pytest

from thawd.errors import ImageError
from thawd.images import debian
from thawd.images.recipe import load

EXPIRED = "E: Release file for http://mirror/InRelease is expired (invalid since 1d)."


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The command lines that are run; mmdebstrap's file is there afterwards."""
    commands = []

    async def run(argv, **_):
        commands.append([str(part) for part in argv])
        if argv[0] == "mmdebstrap":
            (tmp_path / "root.tar").write_bytes(b"")
        return b""

    monkeypatch.setattr(debian, "run", run)
    for name in ("THAWD_MIRROR", "THAWD_SECURITY_MIRROR", "THAWD_EXPIRED_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return commands


async def test_it_is_debian_unless_a_runtime_says_otherwise(asked, tmp_path):
    await debian.unpack(load("python3.13").archive, ("python3",), tmp_path / "root")

    assert asked[0][-3:] == [
        "deb http://deb.debian.org/debian trixie main",
        "deb http://deb.debian.org/debian trixie-updates main",
        "deb http://deb.debian.org/debian-security trixie-security main",
    ]
    assert not [part for part in asked[0] if "Valid-Until" in part]


async def test_mirrors_of_debian_are_named_in_the_environment_and_may_be_old(
    asked, tmp_path, monkeypatch
):
    monkeypatch.setenv("THAWD_MIRROR", "http://near/debian")
    monkeypatch.setenv("THAWD_EXPIRED_MIRROR", "1")
    await debian.unpack(load("python3.14").archive, ("python3",), tmp_path / "root")

    assert "deb http://near/debian forky main" in asked[0]
    assert '--aptopt=Acquire::Check-Valid-Until "false"' in asked[0]


async def test_without_an_archives_keys_the_package_that_brings_them_is_named(asked, tmp_path):
    archive = load("python3.12").archive.__class__(
        suite="noble", python="3.12", keyring=str(tmp_path / "no.gpg"), keyring_package="some-keys"
    )
    with pytest.raises(ImageError, match="which the packages of noble are signed with") as caught:
        await debian.unpack(archive, ("python3",), tmp_path / "root")

    assert caught.value.hint == "Install it: apt-get install some-keys"
    assert asked == []


async def test_a_list_that_is_too_old_is_said_with_the_ways_out(monkeypatch, tmp_path):
    async def run(_argv, **_):
        raise ImageError(f"mmdebstrap failed with status 25:\n{EXPIRED}")

    monkeypatch.setattr(debian, "run", run)
    with pytest.raises(ImageError, match="list of forky's packages is too old") as caught:
        await debian.unpack(load("python3.14").archive, ("python3",), tmp_path / "root")

    assert "THAWD_EXPIRED_MIRROR=1" in caught.value.hint
