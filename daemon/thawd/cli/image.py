"""Build, list and remove guest images: the kernel and root file system that machines of a runtime boot.

This works on the image store itself; no daemon is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from thawd import runtimes
from thawd.errors import ImageError
from thawd.images.store import Image, ImageStore

from .arguments import add_common
from .exits import Exit
from .session import settings

if TYPE_CHECKING:
    import argparse

    from .terminal import Terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="build the image of a runtime, if it is not there")
    build.add_argument("runtime", nargs="?", metavar="RUNTIME", help="default: the usual one")
    build.add_argument(
        "--fresh", action="store_true", help="build anew, of Debian's packages as they are now"
    )
    build.set_defaults(act=_build)
    listing = actions.add_parser("list", help="list images")
    listing.set_defaults(act=_list)
    remove = actions.add_parser("remove", help="remove an image")
    remove.add_argument("image", metavar="DIGEST", help="its digest, or the beginning of it")
    remove.set_defaults(act=_remove)
    for action in (build, listing, remove):
        add_common(action)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action that was chosen."""
    status: int = arguments.act(
        arguments, ImageStore(settings(arguments).images_directory), terminal
    )
    return status


def _build(arguments: argparse.Namespace, store: ImageStore, terminal: Terminal) -> int:
    runtime = arguments.runtime or runtimes.default().id
    with terminal.progress(f"Building the image of {runtime}") as progress:

        async def build() -> Image:
            return await store.ensure(runtime, progress=progress.update, fresh=arguments.fresh)

        image = trio.run(build)
        elapsed_s = progress.elapsed_s
    if terminal.json:
        terminal.value(_as_json(image))
    else:
        terminal.line(f"{runtime}: image {image.digest[:12]} is ready ({elapsed_s:.1f} s)")
        if image.origin:
            terminal.line(f"{image.language_version} is from {image.origin}")
    return Exit.OK


def _list(_: argparse.Namespace, store: ImageStore, terminal: Terminal) -> int:
    images = store.list()
    if terminal.json:
        terminal.value([_as_json(image) for image in images])
    elif images:
        terminal.table(
            ("DIGEST", "RUNTIME", "MB"),
            [(image.digest[:12], image.runtime, f"{_size(image) / 1e6:.0f}") for image in images],
        )
    else:
        terminal.note("No images. Build one: thaw image build")
    return Exit.OK


def _remove(arguments: argparse.Namespace, store: ImageStore, terminal: Terminal) -> int:
    wanted = [image for image in store.list() if image.digest.startswith(arguments.image)]
    if len(wanted) != 1:
        which = "more than one image" if wanted else "no image"
        raise ImageError(f"There is {which} {arguments.image}", hint="See: thaw image list")
    store.remove(wanted[0])
    if terminal.json:
        terminal.value({"Removed": wanted[0].digest})
    else:
        terminal.line(f"Removed {wanted[0].digest[:12]} ({wanted[0].runtime})")
    return Exit.OK


def _size(image: Image) -> int:
    return sum(path.stat().st_size for path in (image.kernel, image.initrd, image.root))


def _as_json(image: Image) -> dict[str, Any]:
    return {
        "Digest": image.digest,
        "Runtime": image.runtime,
        "Bytes": _size(image),
        "Kernel": str(image.kernel),
        "Initrd": str(image.initrd),
        "Root": str(image.root),
        "LanguageVersion": image.language_version,
        "Origin": image.origin,
    }
