"""The store: an image is there wholly or not at all, and never changes under those who use it."""

import json
import os
import stat

import pytest
import trio
from attrs import evolve

from thawd import runtimes
from thawd.errors import ImageError
from thawd.images import store as module
from thawd.images.build import Versions
from thawd.images.hook import Found
from thawd.images.recipe import Base, Recipe
from thawd.images.store import ImageStore

RUNTIME = "python3.13"
BASE = Base(
    suite="trixie",
    python="3.13",
    packages=(),
    kernel="linux",
    busybox="busybox",
    modules=(),
    remove=(),
)


class Builder:
    """In the place of the building: writes small files, and does what a test wants in between."""

    def __init__(self, monkeypatch):
        self.sources = "agent 1"
        self.debian = "packages of May"
        self.systems = 0
        self.images = 0
        self.in_system = trio.lowlevel.checkpoint
        self.in_image = trio.lowlevel.checkpoint
        monkeypatch.setattr(module, "build_system", self.build_system)
        monkeypatch.setattr(module, "build_image", self.build_image)
        monkeypatch.setattr(module, "load", self.load)

    def load(self, runtime):
        of = evolve(runtimes.find(RUNTIME), id=runtime)
        return Recipe(base=BASE, runtime=of, digest=self.sources)

    async def build_system(self, _recipe, target, progress):
        self.systems += 1
        progress("Debian", 0.1)
        (target / "debian").write_text(self.debian)
        await self.in_system()

    async def build_image(self, _recipe, system, target, _progress):
        self.images += 1
        (target / "root.erofs").write_text(f"{(system / 'debian').read_text()} {self.sources}")
        (target / "initrd").write_text("initrd")
        await self.in_image()
        (target / "vmlinux").write_text("vmlinux")
        return Versions(
            kernel="6.12", language=Found(version="3.13.5", packages={"boto3": "1.44.5"})
        )


@pytest.fixture
def builder(monkeypatch):
    return Builder(monkeypatch)


@pytest.fixture
def store(tmp_path, builder):
    return ImageStore(tmp_path / "images")


def visible(store):
    return sorted(path.name for path in store.directory.iterdir() if path.name[0] != ".")


def leftovers(store):
    return [path.name for path in store.directory.glob(".new-*")]


async def test_a_built_image_is_found_with_all_that_is_known_of_it(store):
    image = await store.build(RUNTIME)

    assert image == ImageStore(store.directory).find(RUNTIME)
    assert [image.digest] == visible(store)
    assert (RUNTIME, "agent 1") == (image.runtime, image.sources)
    assert ("python:3.13", "thaw_runtime") == (image.log_name, image.must_report)
    assert ("6.12", "3.13.5", {"boto3": "1.44.5"}) == (
        image.kernel_version,
        image.language_version,
        image.packages,
    )
    assert ("vmlinux", "initrd", "packages of May agent 1") == (
        image.kernel.read_text(),
        image.initrd.read_text(),
        image.root.read_text(),
    )
    assert len("vmlinux" + "initrd" + "packages of May agent 1") == image.size_bytes
    assert not leftovers(store)


def test_a_missing_image_comes_with_the_command_that_builds_it(store):
    with pytest.raises(ImageError, match=f"no image for runtime {RUNTIME}") as caught:
        store.find(RUNTIME)

    assert f"Build one: thaw image build {RUNTIME}" == caught.value.hint


async def test_one_image_serves_until_our_sources_change(store, builder):
    first = await store.ensure(RUNTIME)
    assert first == await store.ensure(RUNTIME)
    assert (1, 1) == (builder.systems, builder.images)

    builder.sources = "agent 2"
    second = await store.ensure(RUNTIME)

    assert first.digest != second.digest
    assert (1, 2) == (builder.systems, builder.images), "Debian was not fetched again"
    assert second == ImageStore(store.directory).find(RUNTIME)


async def test_sources_as_they_were_find_their_image_again(store, builder):
    first = await store.ensure(RUNTIME)
    builder.sources = "agent 2"
    await store.ensure(RUNTIME)

    builder.sources = "agent 1"
    assert first == await store.ensure(RUNTIME)
    assert 2 == builder.images


async def test_without_an_image_of_todays_sources_the_newest_serves(store, builder):
    for number in (2, 1, 3):
        builder.sources = f"agent {number}"
        image = await store.ensure(RUNTIME)
        os.utime(image.root.parent / "manifest.json", (number, number))
    builder.sources = "agent 4"

    assert "agent 3" == ImageStore(store.directory).find(RUNTIME).sources
    assert [3, 2, 1] == [image.built_at for image in store.list()]


async def test_a_running_daemon_keeps_its_image_whatever_is_built_beside_it(store, builder):
    daemon = ImageStore(store.directory)
    await store.build(RUNTIME)
    before = daemon.find(RUNTIME)
    builder.sources = "agent 2"
    await store.ensure(RUNTIME)

    assert before == daemon.find(RUNTIME)


async def test_fresh_takes_debian_as_it_is_now_and_leaves_the_image_from_before(store, builder):
    before = await store.ensure(RUNTIME)
    builder.debian = "packages of June"
    assert before == await store.ensure(RUNTIME)

    fresh = await store.ensure(RUNTIME, fresh=True)

    assert "packages of June agent 1" == fresh.root.read_text()
    assert "packages of May agent 1" == before.root.read_text()
    assert before.digest != fresh.digest
    os.utime(before.root.parent / "manifest.json", (1, 1))
    assert fresh == await ImageStore(store.directory).ensure(RUNTIME)
    assert (len(store.list()), store.built()) == (2, (RUNTIME,))


async def test_the_same_again_leaves_files_in_use_alone(store):
    before = await store.ensure(RUNTIME)
    inode = before.root.stat().st_ino

    again = await store.ensure(RUNTIME, fresh=True)

    assert before.digest == again.digest
    assert inode == again.root.stat().st_ino
    assert not leftovers(store)


@pytest.mark.parametrize("place", ["in_system", "in_image"])
async def test_a_failed_build_leaves_nothing_and_the_next_succeeds(store, builder, place):
    async def fails():
        raise ImageError("no mirror")

    setattr(builder, place, fails)
    with pytest.raises(ImageError, match="no mirror"):
        await store.build(RUNTIME)
    assert ([], []) == (visible(store), leftovers(store))

    setattr(builder, place, trio.lowlevel.checkpoint)
    assert RUNTIME == (await store.build(RUNTIME)).runtime


@pytest.mark.parametrize("place", ["in_system", "in_image"])
async def test_a_cancelled_build_leaves_nothing(store, builder, place):
    building = trio.Event()

    async def forever():
        building.set()
        await trio.sleep_forever()

    setattr(builder, place, forever)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.build, RUNTIME)
        await building.wait()
        assert leftovers(store)
        nursery.cancel_scope.cancel()

    assert (visible(store), leftovers(store)) == ([], [])


async def test_what_a_killed_build_left_is_no_image_and_goes_with_the_next(store):
    left = store.directory / ".new-killed" / "new"
    left.mkdir(parents=True)
    (left / "root.erofs").write_text("half")
    assert [] == store.list()

    await store.build(RUNTIME)

    assert not leftovers(store)


async def test_sources_that_change_while_debian_is_fetched_are_what_goes_in(store, builder):
    async def edit():
        builder.sources = "agent 2"

    builder.in_system = edit
    image = await store.build(RUNTIME)

    assert (image.sources, image.root.read_text()) == ("agent 2", "packages of May agent 2")


async def test_of_two_builders_one_waits_and_takes_what_the_other_built(store, builder):
    other = ImageStore(store.directory)
    building, waiting = trio.Event(), trio.Event()
    said = set()

    async def until_the_other_waits():
        building.set()
        await waiting.wait()

    def progress(step, _):
        said.add(step)
        waiting.set()

    builder.in_system = until_the_other_waits
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.ensure, RUNTIME)
        await building.wait()
        await other.ensure(RUNTIME, progress=progress)

    assert said == {"waiting for another build"}
    assert (builder.systems, builder.images) == (1, 1)
    assert store.find(RUNTIME) == other.find(RUNTIME)


@pytest.mark.parametrize("name", ["vmlinux", "initrd", "root.erofs"])
async def test_a_damaged_file_is_found_before_anything_runs_on_it(store, name):
    image = await store.build(RUNTIME)
    (image.root.parent / name).write_text("damaged")

    with pytest.raises(ImageError, match=f"{name} is not what was built") as caught:
        ImageStore(store.directory).find(RUNTIME)

    assert f"thaw image remove {image.digest[:12]}" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"runtime": "python3.13"}'])
async def test_a_damaged_manifest_is_an_error_with_its_path(store, text):
    image = await store.build(RUNTIME)
    manifest = image.root.parent / "manifest.json"
    manifest.write_text(text)

    with pytest.raises(ImageError, match=r"manifest\.json cannot be read") as caught:
        store.list()

    assert str(manifest) in caught.value.message


async def test_a_removed_image_is_gone_and_the_last_one_takes_the_packages_along(store, builder):
    first = await store.ensure(RUNTIME)
    builder.sources = "agent 2"
    second = await store.ensure(RUNTIME)

    store.remove(second)
    assert [first.digest] == visible(store)
    assert first == store.find(RUNTIME)
    assert (store.directory / ".system").exists()

    store.remove(first)
    assert [] == visible(store)
    assert not (store.directory / ".system").exists()
    with pytest.raises(ImageError):
        store.find(RUNTIME)


async def test_an_image_another_process_removed_is_looked_for_again(store, builder):
    image = await store.ensure(RUNTIME)
    ImageStore(store.directory).remove(image)

    with pytest.raises(ImageError, match="no image"):
        store.find(RUNTIME)


async def test_a_private_umask_stays_out_of_the_guest_and_comes_back(store, builder):
    modes = []

    async def look():
        new = next(store.directory.glob(".new-*/new"))
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in new.iterdir())

    builder.in_image = look
    before = os.umask(0o077)
    try:
        await store.build(RUNTIME)
        assert 0o077 == os.umask(0o077)
    finally:
        os.umask(before)

    assert [0o644, 0o644] == modes


async def test_the_manifest_names_every_file_with_its_digest(store):
    image = await store.build(RUNTIME)
    manifest = json.loads((image.root.parent / "manifest.json").read_text())

    assert {"vmlinux", "initrd", "root.erofs"} == set(manifest["files"])
    assert {64} == {len(digest) for digest in manifest["files"].values()}
    assert image.root.parent.name == image.digest == manifest["digest"]


async def test_an_image_of_thawd_0_1_is_listed_and_serves_until_another_is_built(store, builder):
    """Its manifest knows one language and says nothing of it but a version."""
    image = await store.build(RUNTIME)
    manifest = image.root.parent / "manifest.json"
    about = json.loads(manifest.read_text())
    for name in ("log_name", "must_report"):
        del about[name]
    about["python_version"] = about.pop("language_version")
    manifest.write_text(json.dumps(about))
    builder.sources = "agent 2"

    assert [image] == [evolve(one, built_at=image.built_at) for one in store.list()]
    assert image.digest == ImageStore(store.directory).find(RUNTIME).digest
    assert image.digest != (await store.ensure(RUNTIME)).digest
