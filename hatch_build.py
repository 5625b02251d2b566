"""What goes into the wheel besides Python packages: the languages' folders, and the files that make it a service.

`runtimes/` becomes `thawd/_runtimes/` (image recipes, examples, whatever else a language has; what git ignores stays
out), `systemd/` becomes `share/thawd/systemd/` below the environment. A hook and not `force-include`, because an editable
install would copy what is forced in, and the copies would grow old beside the source tree that is in use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DataFiles(BuildHookInterface):
    """Adds them to a wheel, not to an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if version == "editable":
            return
        root = Path(self.root)
        # thaw_runtime lies in a language's folder and is a package of its own in the wheel.
        packages = [root / package for package in self.build_config.packages]
        for path in sorted((root / "runtimes").rglob("*")):
            if not path.is_file() or any(path.is_relative_to(package) for package in packages):
                continue
            name = path.relative_to(root / "runtimes").as_posix()
            if "__pycache__" in path.parts or self.build_config.path_is_excluded(
                f"runtimes/{name}"
            ):
                continue
            build_data["force_include"][str(path)] = f"thawd/_runtimes/{name}"
        build_data["shared_data"][str(root / "systemd")] = "share/thawd/systemd"
