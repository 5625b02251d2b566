"""systemd/README.md followed to the letter: in a chroot, then booted."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import boot
import debian
import pytest
from page import PAGE, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

SUITES = ("trixie", "bookworm")


@pytest.fixture(scope="session", params=SUITES)
def system(request) -> Iterator[debian.Debian]:
    """A Debian where the first block of the page was followed."""
    root = debian.cache("work") / request.param
    shutil.rmtree(root, ignore_errors=True)
    try:
        made = debian.make(request.param, root)
    except debian.MissingError as missing:
        pytest.skip(str(missing))
    try:
        said = made.call(blocks("Install")[0])
        assert "command 'start'" in said, "systemctl took the chroot for a running system"
        yield made
    finally:
        shutil.rmtree(root)


def test_the_page_installs_a_service_that_systemd_accepts(system, proven):
    """The units as they lie there: nothing unknown to this systemd, and confined as far as the page says."""
    said = system.call("sudo systemd-analyze verify --man=no thawd.service thawd.socket")
    assert [line for line in said.splitlines() if "thawd" in line and line[0] != "+"] == []
    exposure = system.call("sudo systemd-analyze security --no-pager --offline=yes thawd.service")
    (found,) = re.findall(r"Overall exposure level for thawd.service: ([\d.]+)", exposure)
    assert f"an exposure of {found} (of 10)" in PAGE

    enabled = {path.name for path in (system.root / "etc/systemd/system").glob("*.wants/thawd.*")}
    assert enabled == {"thawd.service", "thawd.socket"}
    images = list((system.root / "var/lib/thawd/images").glob("*"))
    assert images
    owners = {path.stat().st_uid for path in images}
    assert 0 not in owners
    proven("the page's commands", f"installed, image built, exposure {found}")


def test_the_page_lets_a_person_in(system):
    system.call(blocks("Install")[1])

    assert re.search(
        rf"^thawd:.*{debian.ADMINISTRATOR}$", (system.root / "etc/group").read_text(), re.MULTILINE
    )


def test_the_service_under_systemd(system, tmp_path, proven):
    """Booted: started, activated, killed, hung, stopped; and a function runs confined, where QEMU can give KVM."""
    try:
        said = boot.boot(system, tmp_path)
    except debian.MissingError as missing:
        pytest.skip(str(missing))
    everything = json.dumps(said, indent=1)
    ok = "HTTP/1.1 200 OK"
    assert [report for report in said.values() if "error" in report] == [], everything

    assert said["boot_brings_it_up"]["answer"] == ok
    assert said["boot_brings_it_up"]["early"] == [], "the daemon looked before udev had loaded KVM"
    stop = said["stop_is_clean"]
    assert (stop["ActiveState"], stop["Result"], stop["ExecMainStatus"]) == (
        "inactive",
        "success",
        "0",
    )
    assert (stop["left"], stop["socket"]) == ([], "active")
    assert said["first_connection_starts_it"] == {
        "step": "first_connection_starts_it",
        "before": "inactive",
        "answer": ok,
        "after": "active",
    }
    assert said["start_starts_it"]["answer"] == ok
    assert said["start_starts_it"]["status"].startswith("Serving on ")
    assert said["killed_is_started_again"]["answer"] == ok
    assert said["killed_is_started_again"]["other"] is True
    hung = said["hung_is_started_again"]
    assert (hung["restarts"], hung["answer"]) == (1, ok)
    assert any("Watchdog timeout" in line for line in hung["journal"])
    bare = said["starts_without_an_image"]
    assert bare["answer"] == ok
    assert any("image" in line for line in bare["journal"]), everything
    lines = said["journal_has_priorities"]
    assert set(lines["ready"]) == {"6"}
    assert "4" in lines["priorities"]
    assert lines["prefixed"] == []
    inside = said["confined"]
    assert inside["uid"] != "0"
    assert set(inside["capabilities"]) == {"0" * 16}
    assert (inside["no_new_privs"], inside["seccomp"], inside["own_network"]) == ("1", "2", True)
    assert (inside["socket"], inside["directory"], inside["state"]) == ("0o660", "0o750", "0o700")
    assert said["only_the_group_gets_in"]["member"] == "in"
    assert "PermissionError" in said["only_the_group_gets_in"]["stranger"]
    assert said["the_pages_lines_for_a_person"]["status"] == 0, everything
    assert said["tcp_as_the_page_says"] == {"step": "tcp_as_the_page_says", "tcp": ok, "unix": ok}
    ours = said["a_function_runs_under_the_confinement"]
    if ours["kvm"]:
        assert "hello:1 is Active, snapshotted" in ours["published"], everything
        assert json.loads(ours["answer"].splitlines()[-1])["restores"] == 1, everything
    proven(
        f"{len(said) - 1} steps",
        f"systemd {said['boot_brings_it_up']['version']}: all as promised; stopped in {stop['took_s']} s, hung and "
        f"serving again after {hung['took_s']} s; a function {'ran on nested KVM' if ours['kvm'] else 'was not tried'}",
    )


def test_the_page_upgrades_in_place(system):
    system.call(blocks("Upgrade")[0])


def test_the_page_leaves_nothing_when_it_removes(system):
    system.call(blocks("Remove")[0])
    etc = system.root / "etc"

    assert [path for path in etc.rglob("*thawd*") if "sudoers" not in path.as_posix()] == []
    assert not (system.root / "opt/thawd").exists()
    assert not (system.root / "var/lib/thawd").exists()
    assert "thawd" not in (etc / "passwd").read_text() + (etc / "group").read_text()
