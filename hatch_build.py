"""What goes into the wheel besides Python packages: the languages' folders, and the files that make it a service.

`runtimes/` becomes `thawd/_runtimes/` (image recipes, examples, what an image build copies; what git ignores stays out),
`systemd/` becomes `share/thawd/systemd/` below the environment. A hook and not `force-include`, because an editable
install would copy what is forced in, and the copies would grow old beside the source tree that is in use.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DataFiles(BuildHookInterface):
    """Adds them to a wheel, not to an editable install."""

    _copies: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if version == "editable":
            return
        root = Path(self.root)
        # Hatchling puts a file of the tree into a wheel once; thaw_runtime is a language's file and a package as well.
        self._copies = tempfile.TemporaryDirectory()
        for path in sorted((root / "runtimes").rglob("*")):
            name = path.relative_to(root).as_posix()
            ignored = "__pycache__" in path.parts or self.build_config.path_is_excluded(name)
            if path.is_file() and not ignored:
                copy = Path(self._copies.name, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        build_data["force_include"][f"{self._copies.name}/runtimes"] = "thawd/_runtimes"
        build_data["shared_data"][str(root / "systemd")] = "share/thawd/systemd"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Called by hatchling when the wheel is written."""
        if self._copies is not None:
            self._copies.cleanup()
