"""Runs in the booted Debian, as root, once it is up: what the service promises, one JSON line a step on a port.

A step that fails has "error"; the steps after it are tried all the same.
"""

import glob
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

SOCKET = "/run/thawd/thawd.sock"
STEPS = []


def step(function):
    STEPS.append(function)
    return function


def call(*command, check=True):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def shown(unit, *names):
    lines = call("systemctl", "show", unit, f"--property={','.join(names)}").splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def until(condition, within_s=180):
    """What a condition says once it says something; emulated processors are slow."""
    end = time.monotonic() + within_s
    while not (said := condition()):
        if time.monotonic() > end:
            raise RuntimeError(
                "it did not happen: " + call("systemctl", "status", "thawd", check=False)
            )
        time.sleep(0.5)
    return said


def ask(address, path="/thaw/v1/health"):
    """The status line of one request."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(180)
        connection.connect(address)
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        with connection.makefile("rb") as answer:
            return answer.readline().decode().strip()


def main_pid():
    return int(shown("thawd", "MainPID")["MainPID"])


def serving(other_than=0):
    state = shown("thawd", "ActiveState", "MainPID")
    pid = int(state["MainPID"])
    return pid if state["ActiveState"] == "active" and pid not in (0, other_than) else 0


def journal(*options):
    text = call("journalctl", "--no-pager", "-o", "json", "-u", "thawd", *options)
    return [json.loads(line) for line in text.splitlines()]


@step
def boot_brings_it_up():
    """Both units are enabled: they are up without a hand."""
    until(serving)
    early = [line["MESSAGE"] for line in journal() if "cannot be opened" in str(line["MESSAGE"])]
    return {
        "early": early if os.path.exists("/dev/kvm") else [],
        "answer": ask(SOCKET),
        "version": call("systemctl", "--version").split()[1],
    }


@step
def stop_is_clean():
    """Within TimeoutStopSec, by its own exit, with nothing left in its control group; the socket stays."""
    began = time.monotonic()
    call("systemctl", "stop", "thawd.service")
    took_s = time.monotonic() - began
    state = shown("thawd", "Result", "ExecMainStatus", "ExecMainCode", "ActiveState")
    group = pathlib.Path("/sys/fs/cgroup/system.slice/thawd.service/cgroup.procs")
    return {
        "took_s": round(took_s, 1),
        **state,
        "left": group.read_text().split() if group.exists() else [],
        "socket": shown("thawd.socket", "ActiveState")["ActiveState"],
    }


@step
def first_connection_starts_it():
    before = shown("thawd", "ActiveState")["ActiveState"]
    answer = ask(SOCKET)
    return {
        "before": before,
        "answer": answer,
        "after": shown("thawd", "ActiveState")["ActiveState"],
    }


@step
def start_starts_it():
    call("systemctl", "stop", "thawd.service")
    call("systemctl", "start", "thawd")
    return {"answer": ask(SOCKET), "status": shown("thawd", "StatusText")["StatusText"]}


@step
def killed_is_started_again():
    """Whoever connects meanwhile waits in the socket's queue."""
    pid = until(serving)
    os.kill(pid, signal.SIGKILL)
    answer = ask(SOCKET)
    return {"answer": answer, "other": until(lambda: serving(pid)) != pid}


@step
def hung_is_started_again():
    """A process that stands still feeds no watchdog."""
    pid = until(serving)
    restarts = int(shown("thawd", "NRestarts")["NRestarts"])
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: serving(pid))
    said = [line["MESSAGE"] for line in journal() if "atchdog" in str(line["MESSAGE"])]
    return {
        "took_s": round(time.monotonic() - began, 1),
        "restarts": int(shown("thawd", "NRestarts")["NRestarts"]) - restarts,
        "journal": said,
        "answer": ask(SOCKET),
    }


@step
def starts_without_an_image():
    """There is nothing to boot, and it says so."""
    call("systemctl", "stop", "thawd.service")
    images = pathlib.Path("/var/lib/thawd/images")
    images.rename("/var/lib/thawd-images")
    try:
        began = time.time()
        call("systemctl", "start", "thawd.service")
        lines = [str(line["MESSAGE"]) for line in journal(f"--since=@{began:.0f}")]
        return {"answer": ask(SOCKET), "journal": lines}
    finally:
        call("systemctl", "stop", "thawd.service")
        if images.exists():
            call("rm", "-r", str(images))
        pathlib.Path("/var/lib/thawd-images").rename(images)
        call("systemctl", "start", "thawd.service")


@step
def journal_has_priorities():
    """Of the daemon's own lines: the number that its severity is, and no `<6>` left in the text."""
    lines = [line for line in journal() if line.get("_COMM", "").startswith(("thaw", "python"))]
    return {
        "ready": [line["PRIORITY"] for line in lines if line["MESSAGE"].startswith("daemon.ready")],
        "priorities": sorted({line["PRIORITY"] for line in lines}),
        "prefixed": [line["MESSAGE"] for line in lines if line["MESSAGE"].startswith("<")],
        "user": sorted({line["_UID"] for line in lines}),
    }


@step
def confined():
    """As it runs: its own network, no rights, files that others cannot read."""
    pid = until(serving)
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.partition(":\t")[::2] for line in status)
    return {
        "uid": fields["Uid"].split()[0],
        "capabilities": [fields[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")],
        "no_new_privs": fields["NoNewPrivs"],
        "seccomp": fields["Seccomp"],
        "own_network": os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/1/ns/net"),
        "socket": oct(os.stat(SOCKET).st_mode & 0o7777),
        "directory": oct(os.stat("/run/thawd").st_mode & 0o7777),
        "state": oct(os.stat("/var/lib/thawd").st_mode & 0o7777),
    }


@step
def only_the_group_gets_in():
    ask_as = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/thawd/thawd.sock'); print('in')"
    member = call("runuser", "-u", "alex", "--", "python3", "-c", ask_as, check=False)
    stranger = call("runuser", "-u", "nobody", "--", "python3", "-c", ask_as, check=False)
    return {"member": member.strip(), "stranger": stranger.strip().splitlines()[-1]}


@step
def the_pages_lines_for_a_person():
    """The end of "Install", as somebody of the group after logging in again."""
    script = pathlib.Path("/check/person.sh").read_text()
    done = subprocess.run(
        ["runuser", "-l", "alex", "-c", script],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return {"status": done.returncode, "said": done.stdout[-3000:]}


@step
def tcp_as_the_page_says():
    """What `systemctl edit` would write, then the page's commands."""
    drop_in = pathlib.Path("/etc/systemd/system/thawd.socket.d/override.conf")
    drop_in.parent.mkdir()
    drop_in.write_text(pathlib.Path("/check/tcp.ini").read_text())
    call("systemctl", "daemon-reload")
    call("bash", "-euc", pathlib.Path("/check/tcp.sh").read_text())
    return {"tcp": ask(("127.0.0.1", 9000)), "unix": ask(SOCKET)}


@step
def a_function_runs_under_the_confinement():
    """On KVM, where this machine has it. Emulation in emulation would take an hour.

    The daemon starts without images, because a boot in here takes longer than a probe is given.
    """
    if not os.path.exists("/dev/kvm"):
        return {"kvm": False}
    call("systemctl", "stop", "thawd.service")
    images = pathlib.Path("/var/lib/thawd/images")
    aside = pathlib.Path("/var/lib/thawd-images")
    images.rename(aside)
    settings = pathlib.Path("/etc/thawd/thawd.toml")
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(
        'engine = "qemu-kvm"\n[pool]\nready = 0\n[limits]\nboot_deadline_s = 600\nrestore_limit_s = 300\n'
    )
    call("systemctl", "start", "thawd.service")
    if images.exists():
        call("rm", "-r", str(images))
    aside.rename(images)
    (example,) = glob.glob(
        "/opt/thawd/lib/python3*/site-packages/thawd/_runtimes/python/examples/hello"
    )
    began = time.monotonic()
    call(
        "thaw",
        "function",
        "create",
        "hello",
        "--code",
        example,
        "--handler",
        "app.handler",
        "--timeout",
        "300",
    )
    try:
        published = call("thaw", "publish", "hello")
        took_s = time.monotonic() - began
        answer = call("thaw", "invoke", "hello:1", "--payload", '{"order": ["tea"]}')
    finally:
        log = call("thaw", "logs", "hello", check=False)[-2000:]
    return {
        "kvm": True,
        "published": published,
        "publish_s": round(took_s),
        "answer": answer,
        "log": log,
    }


def main():
    for name in glob.glob("/sys/class/virtio-ports/*/name"):
        if pathlib.Path(name).read_text().strip() == "result":
            port = "/dev/" + name.split("/")[-2]
    with open(port, "w", buffering=1) as result:
        for function in STEPS:
            try:
                said = function()
            except Exception as error:
                said = {"error": f"{type(error).__name__}: {error}"}
            result.write(json.dumps({"step": function.__name__, **said}) + "\n")
        result.write(
            json.dumps(
                {
                    "step": "end",
                    "journal": call("journalctl", "--no-pager", "-u", "thawd*")[-20000:],
                }
            )
            + "\n"
        )


main()
