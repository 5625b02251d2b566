"""The catalog on disk: functions and versions in SQLite, each change durable when its call returns."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

import cattrs
from attrs import define, evolve, field, frozen

from thawd.errors import CatalogError
from thawd.files import Damaged, reading_ours
from thawd.reserve import CATALOG_BYTES, Reserve

from . import states
from .errors import CodeMismatch, FunctionExists, FunctionNotFound, StaleRevision
from .models import LATEST, Function, FunctionVersion, State
from .schema import damaged, open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_converter: Final = cattrs.Converter()

_ALL: Final = -1
"""No limit (SQLite, LIMIT)."""

_NOT_CONFIGURATION: Final = frozenset(
    {
        "function_name",
        "version",
        "revision_id",
        "last_modified",
        "state",
        "state_reason",
        "state_reason_code",
        "last_update_status",
        "last_update_status_reason",
        "last_update_status_reason_code",
    }
)
"""Members that may differ between two versions which are the same to PublishVersion."""


@frozen(kw_only=True)
class CatalogStatistics:
    """How much the catalog holds."""

    functions: int
    versions: int
    """Published ones."""
    pending: int
    code_bytes: int
    """Zip sizes of all versions, `$LATEST` included (Lambda API, `AccountUsage.TotalCodeSize`)."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@define(eq=False)
class Catalog:
    """Functions and their versions. Calls are synchronous and short; each is one transaction.

    Writes are on disk when they return; reads of one version come from memory once it was read. Every method that names
    a function raises `FunctionNotFound` when there is none.
    """

    path: Path
    _database: sqlite3.Connection
    _reserve: Reserve
    _now: Callable[[], datetime] = _utc_now
    _read: dict[tuple[str, int], FunctionVersion] = field(factory=dict)

    @classmethod
    def open(cls, path: Path, *, now: Callable[[], datetime] = _utc_now) -> Catalog:
        """Open or create the catalog at `path`, for this process alone. Raises `CatalogError`."""
        return cls(
            path, open_database(path), Reserve(path.with_suffix(".reserve"), CATALOG_BYTES), now
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -----------------------------------------------------------------------------------------------------------------
    # Functions

    def create_function(
        self, latest: FunctionVersion, *, tags: Mapping[str, str] | None = None
    ) -> FunctionVersion:
        """Add a function with its `$LATEST`, which is Active at once. Raises `FunctionExists`."""
        if latest.version != LATEST:
            raise CatalogError(
                f"A function begins with {LATEST}, not with version {latest.version}"
            )
        latest = states.born(self._changed(latest))
        name = latest.function_name
        with self._transaction() as database:
            if database.execute("SELECT 1 FROM functions WHERE name = ?", (name,)).fetchone():
                raise FunctionExists(name)
            database.execute("INSERT OR IGNORE INTO numbering VALUES (?, 0)", (name,))
            database.execute(
                "INSERT INTO functions VALUES (?, ?, NULL)", (name, json.dumps(dict(tags or {})))
            )
            self._write(latest)
        return latest

    def has_function(self, name: str) -> bool:
        """Whether there is a function of this name."""
        return (name, 0) in self._read or bool(
            self._select("function_name = ? AND number = 0", name)
        )

    def function(self, name: str) -> Function:
        """A function's own settings, which are not versioned."""
        rows = self._rows("SELECT tags FROM functions WHERE name = ?", (name,))
        if not rows:
            raise FunctionNotFound(name)
        ((tags,),) = rows
        try:
            with reading_ours():
                return Function(name=name, tags=dict(json.loads(tags)))
        except Damaged as error:
            raise damaged(self.path, error) from error

    def set_tags(self, name: str, tags: Mapping[str, str]) -> Function:
        """Replace a function's tags."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE functions SET tags = ? WHERE name = ?", (json.dumps(dict(tags)), name)
            ).rowcount
            if not changed:
                raise FunctionNotFound(name)
        return self.function(name)

    def functions(self, *, after: str = "", limit: int = _ALL) -> list[FunctionVersion]:
        """`$LATEST` of each function by name, those after the name `after`."""
        return self._select(
            "number = 0 AND function_name > ? ORDER BY function_name LIMIT ?", after, limit
        )

    def delete_function(self, name: str) -> None:
        """Remove a function with all its versions. Their numbers stay used."""
        with self._transaction() as database:
            if not database.execute("DELETE FROM functions WHERE name = ?", (name,)).rowcount:
                raise FunctionNotFound(name)
        self._read = {key: version for key, version in self._read.items() if key[0] != name}

    # -----------------------------------------------------------------------------------------------------------------
    # Versions

    def version(self, name: str, version: str = LATEST) -> FunctionVersion:
        """One version. Raises `FunctionNotFound`, with `version` set when the function exists without it."""
        number = _number(version)
        known = self._read.get((name, number))
        if known is not None:
            return known
        found = self._select("function_name = ? AND number = ?", name, number)
        if not found:
            self.function(name)
            raise FunctionNotFound(name, version)
        return self._read.setdefault((name, number), found[0])

    def versions(
        self, name: str, *, after: str | None = None, limit: int = _ALL
    ) -> list[FunctionVersion]:
        """A function's versions, `$LATEST` first, then oldest first; those after the version `after`."""
        self.function(name)
        number = -1 if after is None else _number(after)
        return self._select(
            "function_name = ? AND number > ? ORDER BY number LIMIT ?", name, number, limit
        )

    def all_versions(
        self, *, after: tuple[str, str] | None = None, limit: int = _ALL
    ) -> list[FunctionVersion]:
        """Every version of every function, ordered by name, then as `versions`; those after (name, version)."""
        name, number = ("", -1) if after is None else (after[0], _number(after[1]))
        return self._select(
            "(function_name, number) > (?, ?) ORDER BY function_name, number LIMIT ?",
            name,
            number,
            limit,
        )

    def update_latest(
        self,
        name: str,
        change: Callable[[FunctionVersion], FunctionVersion],
        *,
        revision_id: str | None = None,
    ) -> FunctionVersion:
        """Change `$LATEST`; it gets a new RevisionId. Raises `StaleRevision`, and whatever `change` raises."""
        with self._transaction():
            current = self._current(name, revision_id)
            changed = change(current)
            if (changed.function_name, changed.version) != (name, LATEST):
                raise CatalogError("A change to $LATEST cannot make it another version")
            changed = states.born(self._changed(changed))
            self._write(changed)
        return changed

    def publish_version(
        self,
        name: str,
        *,
        description: str | None = None,
        code_sha256: str | None = None,
        revision_id: str | None = None,
    ) -> tuple[FunctionVersion, bool]:
        """Make a version of `$LATEST` as it is, Pending if it needs a snapshot, else Active.

        Returns it and whether it is new: with no change since the last version there is none, unless that one Failed
        (else a failed publish could never be repeated). Raises `StaleRevision`, `CodeMismatch`.
        """
        with self._transaction() as database:
            latest = self._current(name, revision_id)
            if code_sha256 is not None and code_sha256 != latest.code.sha256:
                raise CodeMismatch(code_sha256, latest.code.sha256)
            last = database.execute(
                "SELECT number, state, fingerprint FROM versions WHERE function_name = ? AND number > 0"
                " ORDER BY number DESC LIMIT 1",
                (name,),
            ).fetchone()
            fingerprint = _fingerprint(latest)
            if last is not None and last[1] != State.FAILED and last[2] == fingerprint:
                return self.version(name, str(last[0])), False
            (number,) = database.execute(
                "UPDATE numbering SET last_number = last_number + 1 WHERE function_name = ? RETURNING last_number",
                (name,),
            ).fetchone()
            published = states.born(
                evolve(
                    latest,
                    version=str(number),
                    description=latest.description if description is None else description,
                    revision_id=str(uuid.uuid4()),
                )
            )
            self._write(published, fingerprint=fingerprint)
        return published, True

    def set_state(
        self,
        function_name: str,
        version: str,
        state: State,
        *,
        reason: str | None = None,
        reason_code: str | None = None,
    ) -> FunctionVersion:
        """Move a version to another state. Raises `StateConflict` for a step the state machine has not."""
        with self._transaction():
            current = self.version(function_name, version)
            changed = states.moved(current, state, reason=reason, reason_code=reason_code)
            self._write(changed)
        return changed

    def delete_version(self, name: str, version: str) -> bool:
        """Remove a published version; False if there was none. Raises `CatalogError` for `$LATEST`."""
        number = _number(version)
        if number == 0:
            raise CatalogError("$LATEST lives as long as its function", hint="Delete the function")
        with self._transaction() as database:
            self.function(name)
            deleted = database.execute(
                "DELETE FROM versions WHERE function_name = ? AND number = ?", (name, number)
            ).rowcount
        self._read.pop((name, number), None)
        return bool(deleted)

    # -----------------------------------------------------------------------------------------------------------------
    # The whole

    def gave_number(self, name: str, version: str) -> bool:
        """Whether this catalog has ever given a version of this name that number, deleted ones included."""
        rows = self._rows(
            "SELECT 1 FROM numbering WHERE function_name = ? AND last_number >= ?",
            (name, max(1, _number(version))),
        )
        return bool(rows)

    def deleted_functions(self) -> set[str]:
        """The names of functions that there have been, and are not now."""
        rows = self._rows(
            "SELECT function_name FROM numbering WHERE function_name NOT IN (SELECT name FROM functions)"
        )
        return {name for (name,) in rows}

    def is_new(self) -> bool:
        """Whether nothing was ever written to it."""
        return not self._rows("SELECT 1 FROM numbering LIMIT 1")

    def code_digests(self) -> set[str]:
        """The digest (base64, as `Code.sha256`) of every zip that some version needs."""
        return {digest for (digest,) in self._rows("SELECT DISTINCT code_sha256 FROM versions")}

    def unknown_code(self, found: set[str]) -> set[str]:
        """Which of these zips, found at a start, no version of this catalog has ever had. Raises `CatalogError`.

        A catalog of 0.1.0 did not write down what its versions had. If it needs one of them, it is taken to have had all.
        """
        known = self._known_code()
        if "" in known:
            with self._transaction() as database:
                if known & found:
                    database.executemany(
                        "INSERT OR IGNORE INTO known_code VALUES (?)", [(one,) for one in found]
                    )
                database.execute("DELETE FROM known_code WHERE sha256 = ''")
            known = self._known_code()
        return found - known

    def forget_code(self, digest: str) -> None:
        """A zip that no version needs any more was removed from disk."""
        with self._transaction() as database:
            database.execute(
                "DELETE FROM known_code WHERE sha256 = ? AND sha256 NOT IN (SELECT code_sha256 FROM versions)",
                (digest,),
            )

    def statistics(self) -> CatalogStatistics:
        """Figures of this moment."""
        ((functions, versions, pending, size),) = self._rows(
            "SELECT total(number = 0), total(number > 0), total(state = ?), total(code_size) FROM versions",
            (State.PENDING,),
        )
        return CatalogStatistics(
            functions=int(functions),
            versions=int(versions),
            pending=int(pending),
            code_bytes=int(size),
        )

    # -----------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One change, whole or not at all. After a failed change every row is read again.

        Raises `CatalogError` for an error of SQLite at any statement.
        """
        with self._sqlite("written"):
            try:
                if self._database.in_transaction:
                    # The disk took neither the last change nor its end. It has to be given up before another one can begin.
                    self._read.clear()
                    self._database.execute("ROLLBACK")
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                self._read.clear()
                # After a full disk SQLite has rolled back by itself, and says so if asked again.
                if self._database.in_transaction:
                    with suppress(sqlite3.Error):
                        self._database.execute("ROLLBACK")
                raise
        self._reserve.lay_in()

    @contextmanager
    def _sqlite(self, verb: str) -> Iterator[None]:
        """Turn SQLite's errors into `CatalogError`."""
        try:
            yield
        except sqlite3.Error as error:
            self._reserve.give_up()
            raise CatalogError(
                f"The catalog {self.path} cannot be {verb}: {error}",
                hint=f"Is there room on its disk, and may it be written? See `df {self.path.parent}`",
            ) from error

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._sqlite("read"):
            return self._database.execute(statement, values).fetchall()

    def _known_code(self) -> set[str]:
        return {digest for (digest,) in self._rows("SELECT sha256 FROM known_code")}

    def _current(self, name: str, revision_id: str | None) -> FunctionVersion:
        latest = self.version(name)
        if revision_id is not None and revision_id != latest.revision_id:
            raise StaleRevision(name)
        return latest

    def _changed(self, version: FunctionVersion) -> FunctionVersion:
        now = (
            self._now()
            .astimezone(UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "+0000")
        )
        return evolve(version, revision_id=str(uuid.uuid4()), last_modified=now)

    def _write(self, version: FunctionVersion, *, fingerprint: str | None = None) -> None:
        """Insert or replace a row; `fingerprint` None keeps that of the row there is."""
        number = _number(version.version)
        self._database.execute(
            "INSERT INTO versions VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, ''), ?7)"
            " ON CONFLICT DO UPDATE SET state = ?3, code_sha256 = ?4, code_size = ?5,"
            " fingerprint = coalesce(?6, fingerprint), document = ?7",
            (
                version.function_name,
                number,
                version.state,
                version.code.sha256,
                version.code.size,
                fingerprint,
                json.dumps(_converter.unstructure(version)),
            ),
        )
        self._database.execute(
            "INSERT OR IGNORE INTO known_code VALUES (?)", (version.code.sha256,)
        )
        self._read[version.function_name, number] = version

    def _select(self, where: str, *values: Any) -> list[FunctionVersion]:
        rows = self._rows(f"SELECT document FROM versions WHERE {where}", values)  # noqa: S608
        try:
            with reading_ours():
                return [
                    _converter.structure(json.loads(document), FunctionVersion)
                    for (document,) in rows
                ]
        except Damaged as error:
            raise damaged(self.path, error) from error


def _number(version: str) -> int:
    """A version's number, 0 for `$LATEST`; -1, which no version has, for a text that is not a number."""
    if version == LATEST:
        return 0
    if (
        version.isascii()
        and version.isdigit()
        and not version.startswith("0")
        and len(version) < 18
    ):
        return int(version)
    return -1


def _fingerprint(version: FunctionVersion) -> str:
    """Equal for versions that are the same to PublishVersion: of code and configuration, not of names, dates, states."""
    document = _converter.unstructure(version)
    configuration = {
        name: value for name, value in document.items() if name not in _NOT_CONFIGURATION
    }
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()
