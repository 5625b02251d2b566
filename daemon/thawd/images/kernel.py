"""The kernel: the ELF file in a bzImage, and modules.

As ELF the kernel starts through PVH and needs no decompressor of its own, which takes 1.2 s on an emulated processor.
"""

from __future__ import annotations

import lzma
import struct
from typing import TYPE_CHECKING, Final

from thawd.errors import ImageError

from .tools import run

if TYPE_CHECKING:
    from pathlib import Path

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PAYLOAD: Final = 0x248
_HEADER_END: Final = _PAYLOAD + 8
_ELF: Final = b"\x7fELF"


def payload(image: bytes) -> bytes:
    """The compressed kernel in a bzImage (Linux, Documentation/arch/x86/boot.rst: payload_offset, payload_length).

    Raises `ImageError` for anything but zstd, which Debian 13 uses.
    """
    if image[0x202:0x206] != b"HdrS" or len(image) < _HEADER_END:
        raise ImageError("the kernel package does not hold a bzImage")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = (setup_sectors + 1) * 512 + offset
    data = image[start : start + length]
    if not data.startswith(_ZSTD):
        raise ImageError(f"the kernel is compressed in a way not known here ({data[:4].hex()})")
    return data[:-4]  # the uncompressed length follows the compressed data


async def extract_kernel(image: Path, target: Path) -> None:
    """Write the ELF kernel of a bzImage. Raises `ImageError`."""
    compressed = target.with_suffix(".zst")
    compressed.write_bytes(payload(image.read_bytes()))
    elf = await run(["zstd", "-dc", compressed])
    compressed.unlink()
    if not elf.startswith(_ELF):
        raise ImageError("the kernel package does not hold an ELF kernel")
    target.write_bytes(elf)


def extract_module(tree: Path, name: str) -> bytes:
    """A module's object file, from a tree of (compressed) modules. Raises `ImageError`."""
    for path in sorted(tree.rglob(f"{name}.ko*")):
        data = path.read_bytes()
        if path.suffix != ".xz":
            return data
        try:
            return lzma.decompress(data)
        except lzma.LZMAError as error:
            raise ImageError(f"the kernel package's {path.name} is damaged: {error}") from error
    raise ImageError(f"the kernel package has no module {name}")
