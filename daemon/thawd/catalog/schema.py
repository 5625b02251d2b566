"""The catalog's tables, and how older ones become these.

A released step never changes. A change of the tables is a new step at the end.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from thawd.errors import CatalogError

if TYPE_CHECKING:
    from pathlib import Path

STEPS: Final = (
    # 1. Numbers outlive their function: Lambda never gives a version number twice, not even to a function that was
    # deleted and created again. `number` 0 is $LATEST. `reserved_concurrency` is not used.
    """
    CREATE TABLE numbering (
        function_name TEXT PRIMARY KEY,
        last_number INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE functions (
        name TEXT PRIMARY KEY REFERENCES numbering (function_name),
        tags TEXT NOT NULL,
        reserved_concurrency INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE versions (
        function_name TEXT NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        state TEXT NOT NULL,
        code_sha256 TEXT NOT NULL,
        code_size INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (function_name, number)
    ) STRICT, WITHOUT ROWID;
    """,
    # 2. The zips that some version has had, until they are freed: only those are the collector's. An empty digest says
    # that the catalog is older than this record (`Catalog.unknown_code`).
    """
    CREATE TABLE known_code (
        sha256 TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
    INSERT INTO known_code SELECT DISTINCT code_sha256 FROM versions;
    INSERT INTO known_code SELECT '' WHERE EXISTS (SELECT 1 FROM numbering);
    """,
)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the catalog's file, alone, and bring its tables up to date.

    A commit is on disk when it returns (synchronous=FULL). Raises `CatalogError` if another process has the file open,
    a newer thawd wrote it, or it is not a database.
    """
    try:
        database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    except sqlite3.Error as error:
        raise CatalogError(f"The catalog {path} cannot be opened: {error}") from error
    try:
        _set_up(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _set_up(database: sqlite3.Connection, path: Path) -> None:
    try:
        # Exclusive for as long as we run: two daemons on one state directory would fight over its machines too.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("BEGIN EXCLUSIVE")
        try:
            _migrate(database, path)
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise CatalogError(
                f"The catalog {path} is in use",
                hint="Another thawd runs on this state directory: stop it",
            ) from error
        raise CatalogError(f"The catalog {path} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> CatalogError:
    """What to say of a catalog that does not hold what thawd wrote."""
    return CatalogError(
        f"The catalog {path} is damaged: {error}",
        hint=f"Restore it from a backup. To start afresh, move it, `snapshots` and `code` in {path.parent} away",
    )


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    database.execute(
        "CREATE TABLE IF NOT EXISTS migrations (step INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT"
    )
    (done,) = database.execute("SELECT coalesce(max(step), 0) FROM migrations").fetchone()
    if done > len(STEPS):
        raise CatalogError(
            f"The catalog {path} was written by a newer thawd (schema {done}, this one knows {len(STEPS)})",
            hint="Upgrade thawd",
        )
    for step, script in enumerate(STEPS[done:], start=done + 1):
        for statement in script.split(";"):  # executescript would commit
            database.execute(statement)
        database.execute(
            "INSERT INTO migrations VALUES (?, ?)",
            (step, datetime.now(UTC).isoformat(timespec="seconds")),
        )
