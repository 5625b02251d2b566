"""Finding, loading and running fixers; what is reported; what stops a publish."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from thaw_runtime import fixers
from thaw_runtime import registry as registry_module
from thaw_runtime.draw import Draw
from thaw_runtime.registry import Absent, Context, Entry, Fixer, Registry, ThawFailed, Unsupported

ENTROPY = bytes(64)
ROOT = Path(__file__).parents[2]

A_FIXER = """
from thaw_runtime.registry import Fixer
class F(Fixer):
    essential = {essential}
    rehearsed = {rehearsed}
    versions = ("1.0", "1.4")
    def tap(self, module): self.log = ["tap " + module.__name__]
    def untap(self): self.log.append("untap")
    def freeze(self, context): self.log.append("freeze"); {freeze}
    def thaw(self, draw): self.log.append("thaw"); {thaw}; return "done"
fixer = F()
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library `somelib` on sys.path and a folder of fixers with one for it; returns a function that writes both."""
    folder = tmp_path / "fixers"
    folder.mkdir()
    monkeypatch.setattr(registry_module, "_FOLDER", str(folder))
    monkeypatch.setattr(fixers, "__path__", [str(folder)])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry_module.provenance, "start", lambda: None)

    def write(*, version="1.2", essential=False, freeze="pass", thaw="pass", rehearsed=True):
        (tmp_path / "somelib.py").write_text(f"__version__ = {version!r}")
        (folder / "somelib.py").write_text(
            A_FIXER.format(essential=essential, rehearsed=rehearsed, freeze=freeze, thaw=thaw)
        )

    yield write
    for name in ("somelib", "thaw_runtime.fixers.somelib"):
        sys.modules.pop(name, None)


@pytest.fixture
def started():
    registries = []

    def start(**options):
        registry = Registry(**options)
        registry.start()
        registries.append(registry)
        return registry

    yield start
    for registry in registries:
        registry._finder.remove()


def test_a_file_in_the_folder_is_all_a_new_library_takes(library, started):
    """Named as the library is imported, loaded when it is, tapped after its code ran, frozen, thawed, reported."""
    library()
    registry = started()
    assert "thaw_runtime.fixers.somelib" not in sys.modules

    __import__("somelib")

    registry.freeze()
    registry.thaw(Draw(ENTROPY))

    log = sys.modules["thaw_runtime.fixers.somelib"].fixer.log
    assert log == ["tap somelib", "freeze", "untap", "thaw", "thaw"]  # the first is the rehearsal
    (report,) = registry.report()
    assert tuple(report[k] for k in ("name", "version", "result", "detail")) == (
        "somelib",
        "1.2",
        "ok",
        "done",
    )


def test_a_library_that_is_not_imported_costs_nothing(library, started):
    """No fixer is loaded for it, and nothing is reported."""
    library()
    registry = started()

    registry.freeze()

    assert registry.report() == []
    assert "thaw_runtime.fixers.somelib" not in sys.modules


def test_an_untested_version_is_tried_and_reported(library, started):
    """Outside of the tested range the structure decides, and a note says so."""
    library(version="2.0")
    registry = started()
    __import__("somelib")

    registry.freeze()

    assert any("somelib 2.0 is outside" in note for note in registry.notes)
    assert registry.report()[0]["result"] == "ok"


def test_what_cannot_be_renewed_fails_before_the_snapshot(library, started):
    """thaw() is rehearsed: the publish fails, and not every restore."""
    library(essential=True, thaw="raise OSError('gone')")
    registry = started()
    __import__("somelib")

    with pytest.raises(ThawFailed, match="somelib: OSError: gone"):
        registry.freeze()


def test_what_others_would_see_is_not_rehearsed(library, started):
    """A fixer that opens or closes connections does so in clones only."""
    library(essential=True, thaw="raise OSError('gone')", rehearsed=False)
    registry = started()
    __import__("somelib")
    registry.freeze()

    with pytest.raises(ThawFailed, match="somelib: OSError: gone"):
        registry.thaw(Draw(ENTROPY))


@pytest.mark.parametrize("when", ["freeze", "thaw"])
def test_a_failed_essential_fixer_stops_everything(library, started, when):
    """The error names the fixer, its cause and the way out."""
    library(essential=True, **{when: "raise OSError('gone')"})
    registry = started()
    __import__("somelib")

    def both():
        registry.freeze()
        registry.thaw(Draw(ENTROPY))

    with pytest.raises(ThawFailed, match=r"somelib: OSError: gone.*THAW_SKIP_FIXERS"):
        both()


@pytest.mark.parametrize("when", ["freeze", "thaw"])
def test_a_stand_in_for_a_library_is_no_fault(library, started, monkeypatch, when):
    """Functions stub heavy imports: what the stub lacks there is not to renew."""
    library(essential=True, **{when: "import sys; sys.modules['somelib'].generator"})
    registry = started()
    monkeypatch.setitem(sys.modules, "somelib", ModuleType("somelib"))

    registry.freeze()
    registry.thaw(Draw(ENTROPY))

    assert [entry["result"] for entry in registry.report()] == ["absent"]
    assert registry.notes == ["somelib is a stand-in that no import made: nothing of it is renewed"]


def test_a_stand_in_that_ends_the_process_when_it_is_touched_ends_nothing(
    library, started, monkeypatch
):
    class Trap(ModuleType):
        def __getattribute__(self, name):
            raise SystemExit(name)

    library(essential=True, freeze="import sys; sys.modules['somelib'].generator")
    registry = started()
    monkeypatch.setitem(sys.modules, "somelib", Trap("somelib"))

    registry.freeze()

    assert registry.report()[0]["result"] == "absent"


def test_another_failed_fixer_is_only_reported(library, started):
    """The function goes on; the report says what was not renewed."""
    library(thaw="raise OSError('gone')")
    registry = started()
    __import__("somelib")

    registry.freeze()
    registry.thaw(Draw(ENTROPY))

    (report,) = registry.report()
    assert (report["result"], report["detail"]) == ("failed", "OSError: gone")


def test_a_fixer_that_cannot_be_loaded_counts_as_essential(library, started, tmp_path):
    """Nobody can tell what it would have renewed."""
    library()
    (tmp_path / "fixers" / "somelib.py").write_text("import no_such_module")
    registry = started()
    __import__("somelib")

    with pytest.raises(ThawFailed, match="no_such_module"):
        registry.freeze()


@pytest.mark.parametrize("skip", ["*", "somelib"])
def test_opting_out_loads_nothing(library, started, skip):
    """A skipped fixer's code is not even imported."""
    library(essential=True, freeze="raise OSError")
    registry = started(skip=[skip])
    __import__("somelib")

    registry.freeze()
    registry.thaw(Draw(ENTROPY))

    assert [entry["result"] for entry in registry.report()] == ["skipped"]
    assert "thaw_runtime.fixers.somelib" not in sys.modules


def test_absent_is_an_answer():
    """A fixer with nothing to renew is reported as absent, and is not run again."""

    def nothing_here():
        raise Absent

    entry = Entry("x", Fixer())
    entry.run(nothing_here)

    assert entry.result == "absent"


def test_unsupported_is_a_failure():
    """A library that is built otherwise than the fixer expects was not renewed."""

    def built_otherwise():
        raise Unsupported("no _inst")

    entry = Entry("x", Fixer())
    entry.run(built_otherwise)

    assert (entry.result, entry.detail) == ("failed", "Unsupported: no _inst")


@pytest.mark.parametrize(
    ("version", "inside"),
    [
        ("1.0", True),
        ("1.0.7", True),
        ("1.4.9", True),
        ("1.5", False),
        ("0.9", False),
        ("1.4rc1", True),
    ],
)
def test_a_tested_range_includes_the_last_versions_patches(version, inside):
    """("1.0", "1.4") covers all of 1.4."""
    assert registry_module._within(version, ("1.0", "1.4")) is inside


def test_live_objects_come_with_their_subclasses():
    """One pass over the heap; an object that gc.freeze() hid is found too."""

    class Base:
        pass

    class Derived(Base):
        pass

    wanted = [Base(), Derived()]

    found = registry_module._live_objects([Base])

    assert {id(thing) for thing in wanted} == {id(thing) for thing in found[Base]}


def test_every_fixer_keeps_the_interface():
    """Each module has a `fixer`, a docstring, and a thaw() of its own; libraries that are missing here are skipped."""
    checked = 0
    for name in registry_module.modules_in(registry_module._FOLDER):
        try:
            module = __import__(f"thaw_runtime.fixers.{name}", fromlist=["fixer"])
        except ImportError:
            continue  # imports its library at the top, which is not installed here
        assert isinstance(module.fixer, Fixer)
        assert type(module.fixer).thaw is not Fixer.thaw
        assert module.__doc__
        checked += 1
    assert checked >= 10


def test_thawing_imports_nothing():
    """After a restore every import would read files and run code in every clone."""
    code = """
import sys
from thaw_runtime.draw import Draw
from thaw_runtime.registry import Registry
r = Registry(); r.start()
import random, ssl, uuid, sqlite3, multiprocessing, mailbox, socket, tempfile
r.freeze()
before = set(sys.modules)
sys.meta_path.clear()
r.thaw(Draw(bytes(64)))
assert set(sys.modules) == before
assert [e for e in r.report() if e["result"] == "failed"] == []
"""
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={"PYTHONPATH": str(ROOT / "runtimes" / "python")},
    )


def test_draw_needs_both_sources_to_repeat(monkeypatch):
    """Host entropy alone, or the kernel's alone, makes the bytes differ; with neither they would repeat."""
    from thaw_runtime import draw

    monkeypatch.setattr(draw.os, "urandom", bytes)
    cloned_kernel = {Draw(bytes([i]) * 64)(100) for i in range(8)}
    monkeypatch.undo()
    cloned_host = {Draw(ENTROPY)(100) for _ in range(8)}

    assert (len(cloned_kernel), len(cloned_host)) == (8, 8)


def test_draw_never_repeats_itself():
    """Blocks of one draw, and of the next, are different bytes of the asked length."""
    draw = Draw(ENTROPY)
    blocks = [draw(200), draw(200), draw(1)]

    assert [len(block) for block in blocks] == [200, 200, 1]
    assert blocks[0] != blocks[1]
    assert blocks[0][:64] != blocks[0][64:128]


def test_draw_refuses_short_entropy():
    """63 bytes are not 64."""
    with pytest.raises(ValueError, match="64 are needed"):
        Draw(bytes(63))


def test_notes_are_for_what_nothing_renews():
    """A context hands out the instances it was made with, by class."""
    context = Context({int: [1, 2], str: ["a"]})
    context.note("kept")

    assert context.instances(int, str, bytes) == [1, 2, "a"]
    assert context.notes == ["kept"]


@pytest.mark.parametrize("essential", [True, False])
def test_what_a_thread_cannot_renew_matters_where_the_fixer_is_essential(
    library, started, tmp_path, essential
):
    """As with the process's own state: an essential failure is for the caller to end the process with."""
    library(essential=essential)
    path = tmp_path / "fixers" / "somelib.py"
    path.write_text(
        path.read_text().replace("fixer = F()", "    def thaw_thread(self, draw): raise OSError('gone')\nfixer = F()")
    )  # fmt: skip
    registry = started()
    assert not registry.per_thread
    __import__("somelib")
    registry.freeze()

    assert registry.per_thread
    if essential:
        with pytest.raises(ThawFailed, match=r"a thread .*somelib: OSError: gone"):
            registry.thaw_thread(Draw(ENTROPY))
    else:
        registry.thaw_thread(Draw(ENTROPY))


def test_a_fixer_without_anything_per_thread_asks_for_no_watch(library, started):
    """Threads go on without having been asked."""
    library()
    registry = started()
    __import__("somelib")
    registry.freeze()

    assert not registry.per_thread
    registry.thaw_thread(Draw(ENTROPY))


def test_what_is_registered_for_a_forked_child_is_known_and_forgotten(started):
    """The interpreter's own function is back after freeze, and was called all the while."""
    original = os.register_at_fork
    registry = started()
    registry_module.atfork.start()
    os.register_at_fork(after_in_child=print)
    os.register_at_fork(before=print)

    assert registry_module.atfork.handlers() == [print]
    registry.freeze()

    assert registry_module.atfork.handlers() == []
    assert os.register_at_fork is original
