"""The modules of one bundle, and how its imports find them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from .values import Module


@define(eq=False)
class Project:
    """Modules by path."""

    _by_path: dict[str, Module] = field(factory=dict)

    def add(self, module: Module) -> None:
        """Make it findable."""
        self._by_path[module.path] = module

    def find(self, name: str, importer: Module) -> Module | None:
        """What `import name` in `importer` finds: beside it or in a folder above, the nearest first.

        A Lambda bundle has its root on sys.path; a folder that holds several functions has several roots.
        """
        tail = name.replace(".", "/")
        folder = importer.path.rpartition("/")[0]
        while True:
            base = f"{folder}/{tail}" if folder else tail
            for path in (f"{base}.py", f"{base}/__init__.py"):
                found = self._by_path.get(path)
                if found is not None and found is not importer:
                    return found
            if not folder:
                return None
            folder = folder.rpartition("/")[0]


def module_name(path: str) -> tuple[str, bool]:
    """The dotted name of a file relative to its root, and whether it is a package."""
    name = path.removesuffix(".py").replace("/", ".")
    if name == "__init__" or name.endswith(".__init__"):
        return name.removesuffix("__init__").removesuffix(".") or "__init__", True
    return name, False
