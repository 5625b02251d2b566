"""pysqlite3: the SQLite that is linked into its extension module. See fixers/sqlite3.py."""

from __future__ import annotations

from thaw_runtime.fixers.sqlite3 import SqliteFixer

fixer = SqliteFixer()
