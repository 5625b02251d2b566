"""What goes into the wheel besides Python packages: the languages' folders, and the files that make it a service.

`runtimes/` becomes `thawd/_runtimes/` (image recipes, examples, what an image build copies; what git ignores stays out),
`systemd/` becomes `share/thawd/systemd/` below the environment. A hook and not `force-include`, because an editable
install would copy what is forced in, and the copies would grow old beside the source tree that is in use.

The assemblies of .NET's runtime are built for it, where there is a .NET SDK. `thaw image build` builds them otherwise.
"""

from __future__ import annotations

import importlib.util
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
        self._build_assemblies(Path(self._copies.name, "runtimes/dotnet"))
        build_data["force_include"][f"{self._copies.name}/runtimes"] = "thawd/_runtimes"
        build_data["shared_data"][str(root / "systemd")] = "share/thawd/systemd"

    def _build_assemblies(self, directory: Path) -> None:
        """Build what .NET functions need of ours into the folder that an image build looks for."""
        spec = importlib.util.spec_from_file_location(
            "thaw_dotnet_assemblies", directory / "thaw_dotnet_assemblies.py"
        )
        assert spec is not None
        assert spec.loader is not None
        assemblies = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(assemblies)
        try:
            assemblies.build(directory, directory / assemblies.BUILT, dotnet=assemblies.find_sdk())
        except assemblies.SdkMissing as missing:
            self.app.display_warning(
                f"{missing}: this wheel is without Thaw.Bootstrap.dll and Thaw.Runtime.dll. Images of .NET runtimes can be "
                "built from it only where there is a .NET SDK"
            )

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Called by hatchling when the wheel is written."""
        if self._copies is not None:
            self._copies.cleanup()
