"""The linter of `thaw check`: what a function's init leaves in the snapshot, read from its source.

`linter.lint_path` is the way in. `source` parses a file, `ignores` reads its comments; `interpreter`, `expressions` and
`foreign` follow what importing it does; `catalogue` knows the libraries; `kept` turns what is left at the end into
findings by `rules`.
"""

from .linter import accepted, lint_files, lint_path, lint_source
from .rules import RULES

__all__ = ["RULES", "accepted", "lint_files", "lint_path", "lint_source"]
