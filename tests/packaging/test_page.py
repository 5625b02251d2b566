"""The quick part of what systemd/README.md says: complete, and of one mind with `./dev`."""

from __future__ import annotations

import re

from installing import ROOT
from page import PAGE, blocks, packages


def needed_by_dev() -> set[str]:
    """The Debian packages that `./dev` installs to run machines."""
    script = (ROOT / "dev").read_text()
    listed = re.search(r"cat <<'LIST'\n(.*?)^LIST$", script, re.MULTILINE | re.DOTALL)
    rows = [line.split() for line in listed[1].splitlines()]
    found = {package for _, group, package, *_ in rows if group == "machines"}
    found |= set(re.findall(r"lacks \"?(?:python3 )?([a-z0-9-]+)\"?", script)) - {"package"}
    return found


def test_the_page_installs_all_that_dev_does():
    assert {"qemu-system-x86", "python3-venv", "ca-certificates", "debian-archive-keyring"} < (
        needed_by_dev()
    )
    assert needed_by_dev() - packages() == set()


def test_every_unit_is_installed_upgraded_and_removed():
    names = [
        *(f"systemd/{path.name}" for path in sorted((ROOT / "systemd").glob("thawd.*"))),
        *("sysusers.d/thawd.conf", "tmpfiles.d/thawd.conf"),
    ]
    for heading in ("Install", "Upgrade"):
        text = "\n".join(blocks(heading))
        assert [name for name in names if name not in text] == [], heading
    removed = "\n".join(blocks("Remove"))
    assert [name for name in names if name.removeprefix("systemd/") not in removed] == []


def test_no_command_stands_outside_of_a_block_that_the_long_test_follows():
    fences = re.findall(r"^```(\w*)$", PAGE, re.MULTILINE)[::2]

    assert set(fences) == {"sh", "ini"}
