"""Finding the kernel in a bzImage, and its modules."""

import lzma
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thawd.errors import ImageError
from thawd.images.kernel import extract_module, payload

ZSTD = b"\x28\xb5\x2f\xfd"


def bz_image(data, *, sectors=3, offset=32):
    """A bzImage around compressed data, as arch/x86/boot/header.S lays it out."""
    head = bytearray((sectors + 1) * 512)
    head[0x1F1] = sectors
    head[0x202:0x206] = b"HdrS"
    stored = data + struct.pack("<I", 12345)
    struct.pack_into("<II", head, 0x248, offset, len(stored))
    return bytes(head) + bytes(offset) + stored + b"what follows the payload"


@given(st.binary(), st.integers(1, 40), st.integers(0, 2000))
def test_the_payload_is_found_without_the_length_after_it(data, sectors, offset):
    image = bz_image(ZSTD + data, sectors=sectors, offset=offset)

    assert ZSTD + data == payload(image)


def test_no_sector_count_means_four():
    image = bytearray(bz_image(ZSTD + b"kernel", sectors=4))
    image[0x1F1] = 0

    assert ZSTD + b"kernel" == payload(bytes(image))


def test_another_compression_is_named():
    with pytest.raises(ImageError, match="1f8b0800"):
        payload(bz_image(b"\x1f\x8b\x08\x00gzip"))


@given(st.binary(max_size=64).map(lambda data: bz_image(ZSTD)[: 0x202 + len(data)]) | st.binary())
def test_what_is_no_kernel_is_refused_whatever_it_holds(data):
    with pytest.raises(ImageError, match="bzImage"):
        payload(data)


def test_a_module_is_found_whatever_its_directory(tmp_path):
    folder = tmp_path / "6.12/kernel/fs"
    folder.mkdir(parents=True)
    (folder / "erofs.ko").write_bytes(b"module")

    assert b"module" == extract_module(tmp_path, "erofs")


def test_a_compressed_module_is_unpacked(tmp_path):
    (tmp_path / "erofs.ko.xz").write_bytes(lzma.compress(b"module", check=lzma.CHECK_CRC32))

    assert b"module" == extract_module(tmp_path, "erofs")


def test_a_module_that_is_not_there_is_named(tmp_path):
    (tmp_path / "erofs_other.ko").touch()

    with pytest.raises(ImageError, match="no module erofs"):
        extract_module(tmp_path, "erofs")


def test_a_damaged_module_is_named(tmp_path):
    (tmp_path / "erofs.ko.xz").write_bytes(lzma.compress(b"module" * 1000)[:-30])

    with pytest.raises(ImageError, match=r"erofs\.ko\.xz is damaged"):
        extract_module(tmp_path, "erofs")
