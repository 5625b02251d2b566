"""The initramfs: what is put in comes out, in an order the kernel can unpack."""

import stat
from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from thawd.images.initramfs import archive


def members(data):
    """(name, mode, device, content) of each member, by the format's own description."""
    place = 0
    while True:
        assert place % 4 == 0
        assert data[place : place + 6] == b"070701"
        numbers = [int(data[place + 6 + 8 * n : place + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name = data[place + 110 : place + 110 + name_size]
        assert name[-1:] == b"\0"
        start = -(-(place + 110 + name_size) // 4) * 4
        place = -(-(start + size) // 4) * 4
        if name == b"TRAILER!!!\0":
            assert place == len(data)
            return
        yield name[:-1].decode(), mode, tuple(numbers[9:11]), data[start : start + size]


segments = st.text("abcxyz.-_é", min_size=1, max_size=6).filter(lambda name: name.strip("."))
# The first letter keeps a file from being where another file has its directory.
paths = st.lists(segments, min_size=1, max_size=4).map(
    lambda parts: "/".join([*(f"d{part}" for part in parts[:-1]), f"f{parts[-1]}"])
)


@given(st.dictionaries(paths, st.tuples(st.sampled_from((0o644, 0o755)), st.binary(max_size=9))))
def test_files_come_out_as_they_went_in(files):
    found = {
        name: (stat.S_IMODE(mode), data)
        for name, mode, _, data in members(archive(files))
        if stat.S_ISREG(mode)
    }

    assert found == files


@given(st.dictionaries(paths, st.just((0o644, b""))))
def test_every_directory_comes_before_what_is_in_it_and_once(files):
    made = []
    for name, mode, _, _ in members(archive(files)):
        parent = str(PurePosixPath(name).parent)
        assert parent == "." or parent in made
        if stat.S_ISDIR(mode):
            assert name not in made
            made.append(name)


def test_the_console_is_a_device_node_that_no_root_had_to_make():
    (console,) = [found for found in members(archive({})) if found[0] == "dev/console"]

    assert (stat.S_IFCHR | 0o600, (5, 1)) == console[1:3]
