"""A bed for engines: a guest whose /init counts, prints and reads its disks, and every engine this host can run.

The guest is a real image's kernel and modules with `guest/init` in the place of the agent. Environment variables:

- `THAWD_TEST_ENGINES`: the engines to test (`qemu-tcg,qemu-kvm`), which must work here. Without it, all that work are
  tested, and the reason is said for each that does not.
- `THAWD_TEST_QEMU`: look for VMMs in this directory alone, such as an unpacked newer package.
- `THAWD_TEST_KERNEL`, `THAWD_TEST_INITRD`: take these instead of the image in `.cache/state/images`.
"""

import os
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import rmtree
from unittest.mock import patch

import pytest
import trio

from thawd.engines.machine import CODE_DISK_BYTES, MachineSpec
from thawd.engines.registry import names, offers
from thawd.errors import EngineError

BOOT_S = 60.0
"""Until the guest's first word: 3 s under emulation on an idle host, 9 s under nested virtualisation."""
PROBE_S = 15.0
MEMORY_MIB = 128
HERE = Path(__file__).parent
WANTED = [name for name in os.environ.get("THAWD_TEST_ENGINES", "").split(",") if name]


def cpio_file(name, data, mode):
    """One member of an initramfs (Linux, early-userspace/buffer-format: "newc")."""
    head = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    member = (
        ("070701" + "".join(f"{number:08x}" for number in head)).encode() + name.encode() + b"\0"
    )
    member += b"\0" * (-len(member) % 4) + data
    return member + b"\0" * (-len(member) % 4)


def conformance_initrd(image_initrd):
    """An image's initramfs with our /init: of two archives in a row, the later one's files win.

    In whole pages: with some other lengths each guest on nested KVM hung before its first word.
    """
    init = cpio_file("init", (HERE / "guest" / "init").read_bytes(), 0o100755)
    end = cpio_file("TRAILER!!!", b"", 0)
    whole = image_initrd + b"\0" * (-len(image_initrd) % 4) + init + end
    return whole + b"\0" * (-len(whole) % 4096)


def image_files():
    """Kernel and initramfs to test with; the image is built if it is not there."""
    kernel, initrd = os.environ.get("THAWD_TEST_KERNEL"), os.environ.get("THAWD_TEST_INITRD")
    if kernel and initrd:
        return Path(kernel), Path(initrd)
    from thawd.images.store import ImageStore

    directory = HERE.parents[1] / ".cache" / "state" / "images"
    image = trio.run(ImageStore(directory).ensure, "python3.13")
    return image.kernel, image.initrd


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    directory = tmp_path_factory.mktemp("guest")
    kernel, initrd = image_files()
    (directory / "initrd").write_bytes(conformance_initrd(initrd.read_bytes()))
    for name, size in (("root", 1 << 20), ("code-a", CODE_DISK_BYTES), ("code-b", CODE_DISK_BYTES)):
        with (directory / name).open("wb") as disk:
            disk.write(b"this is %s\n" % name.encode())
            disk.truncate(size)
    return MachineSpec(
        kernel=kernel,
        initrd=directory / "initrd",
        root=directory / "root",
        memory_mib=MEMORY_MIB,
    )


class Guest:
    """The other end of the channel."""

    def __init__(self, machine):
        self.machine = machine
        self.unread = bytearray()

    async def line(self):
        while b"\n" not in self.unread:
            data = await self.machine.channel().receive_some()
            if not data:
                raise EOFError
            self.unread += data
        line, _, rest = bytes(self.unread).partition(b"\n")
        self.unread = bytearray(rest)
        return line.decode()

    async def ask(self, command):
        with trio.fail_after(BOOT_S):
            await self.machine.channel().send_all(command.encode() + b"\n")
            return await self.line()

    async def ready(self):
        with trio.fail_after(BOOT_S):
            assert await self.line() == "ready"


def code_disk(spec, name="code-a"):
    """One of the two code disks, which lie beside the root disk."""
    return spec.root.with_name(name)


def boot(engine, spec, scratch):
    return engine.boot(spec, code=code_disk(spec), scratch=scratch)


def restore(engine, snapshot, *, code=None, **options):
    """A clone, with the code disk of its template unless told otherwise."""
    return engine.restore(snapshot, code=code or code_disk(snapshot.spec), **options)


def find_engine(name, runtime_directory):
    (offer,) = (offer for offer in offers() if offer.name == name)
    with patch.dict(os.environ, PATH=os.environ.get("THAWD_TEST_QEMU") or os.environ["PATH"]):
        return trio.run(offer.find, runtime_directory)


async def boots(engine, spec, scratch, deadline_s):
    try:
        with trio.fail_after(deadline_s):
            async with boot(engine, spec, scratch) as machine:
                await Guest(machine).ready()
    except trio.TooSlowError:
        return f"no word from the guest within {deadline_s:g} s"
    except (EngineError, EOFError, trio.BrokenResourceError) as error:
        return str(error) or "the guest ended"
    return ""


@pytest.fixture(scope="session")
def runtime_directory(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="session", params=WANTED or names())
def engine(request, spec, runtime_directory, tmp_path_factory):
    if WANTED:
        return find_engine(request.param, runtime_directory)
    try:
        engine = find_engine(request.param, runtime_directory)
    except EngineError as error:
        pytest.skip(str(error))
    if not engine.emulated:
        scratch = tmp_path_factory.mktemp("probe")
        if reason := trio.run(boots, engine, spec, scratch, PROBE_S):
            pytest.skip(f"{engine.name} is there, but no guest runs on it: {reason}")
    return engine


@pytest.fixture(scope="session")
def template(engine, spec, tmp_path_factory):
    """A snapshot of a guest that has counted to 1 and never looked at its disks. Made once an engine."""
    scratch = tmp_path_factory.mktemp("template")

    async def make():
        (scratch / "snapshot").mkdir()
        for attempt in range(3):
            try:
                async with boot(engine, spec, scratch) as machine:
                    guest = Guest(machine)
                    await guest.ready()
                    assert await guest.ask("count") == "1"
                    return await machine.snapshot(scratch / "snapshot")
            except (trio.TooSlowError, EOFError) as error:
                # Emulation is not perfect: guests have hung and panicked in their boot, one in some dozens.
                print(f"boot {attempt} failed: {error!r}; console: {machine.console_tail()}")
        raise AssertionError("the guest did not boot in three attempts")

    snapshot = trio.run(make)
    yield snapshot
    rmtree(scratch)


def children():
    """Processes of ours, zombies included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


@pytest.fixture
def scratch(engine, runtime_directory, tmp_path):
    """A directory for machines, and the promise that nothing of any machine is left after the test."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    before = children(), len(os.listdir("/proc/self/fd"))
    yield directory

    assert (children(), len(os.listdir("/proc/self/fd"))) == before
    assert list(directory.iterdir()) == []
    assert list((runtime_directory / "machines").iterdir()) == []


@asynccontextmanager
async def clone(engine, snapshot, **options):
    async with restore(engine, snapshot, **options) as machine:
        await machine.resume()
        yield Guest(machine)
