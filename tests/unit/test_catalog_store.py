from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from attrs import evolve

from thawd.catalog import schema
from thawd.catalog.errors import CodeMismatch, FunctionNotFound, StaleRevision
from thawd.catalog.models import (
    LATEST,
    ApplyOn,
    Code,
    Function,
    FunctionVersion,
    State,
    UpdateStatus,
)
from thawd.catalog.store import Catalog
from thawd.errors import CatalogError


def draft(name="f", **changes):
    version = FunctionVersion(
        function_name=name,
        version=LATEST,
        runtime="python3.13",
        handler="app.handler",
        role="arn:aws:iam::000000000000:role/r",
        code=Code(sha256="digest", size=10),
        environment={"KEY": "välue"},
        snap_start=ApplyOn.PUBLISHED_VERSIONS,
    )
    return evolve(version, **changes)


@pytest.fixture
def catalog(tmp_path):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with Catalog.open(tmp_path / "catalog.db", now=lambda: now) as catalog:
        yield catalog


def test_what_was_written_is_read_back_after_a_restart(tmp_path):
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.create_function(draft(), tags={"team": "ü"})
        published, _ = catalog.publish_version("f", description="first")

    with Catalog.open(tmp_path / "c.db") as catalog:
        assert published == catalog.version("f", "1")
        assert Function(name="f", tags={"team": "ü"}) == catalog.function("f")


def test_last_modified_has_lambdas_form(catalog):
    assert catalog.create_function(draft()).last_modified == "2026-01-01T00:00:00.000+0000"


def test_version_numbers_are_not_reused_by_a_function_created_again(catalog):
    catalog.create_function(draft())
    catalog.publish_version("f")
    catalog.delete_function("f")
    catalog.create_function(draft())

    version, new = catalog.publish_version("f")

    assert (version.version, new) == ("2", True)


def test_publishing_twice_without_a_change_gives_the_same_version(catalog):
    catalog.create_function(draft())
    first, _ = catalog.publish_version("f", description="mine")

    again, new = catalog.publish_version("f", description="other")

    assert (first, False) == (again, new)


def test_a_change_and_its_reversal_publish_nothing_new(catalog):
    catalog.create_function(draft())
    first, _ = catalog.publish_version("f")
    catalog.update_latest("f", lambda version: evolve(version, timeout_s=9))
    catalog.update_latest("f", lambda version: evolve(version, timeout_s=3))

    assert (first, False) == catalog.publish_version("f")


def test_a_failed_version_can_be_published_again(catalog):
    catalog.create_function(draft())
    catalog.publish_version("f")
    catalog.set_state("f", "1", State.FAILED, reason="boom", reason_code="FunctionError")

    version, new = catalog.publish_version("f")

    assert (version.version, new, version.state) == ("2", True, State.PENDING)


def test_a_version_has_no_update_status_while_pending_and_success_when_active(catalog):
    catalog.create_function(draft())
    pending, _ = catalog.publish_version("f")
    active = catalog.set_state("f", "1", State.ACTIVE)

    assert (pending.last_update_status, pending.state_reason_code) == (None, "Creating")
    assert (active.last_update_status, active.state_reason) == (UpdateStatus.SUCCESSFUL, None)


def test_a_failed_version_says_why_in_both_statuses(catalog):
    catalog.create_function(draft())
    catalog.publish_version("f")
    failed = catalog.set_state("f", "1", State.FAILED, reason="boom", reason_code="FunctionError")

    assert (failed.state_reason, failed.state_reason_code) == ("boom", "FunctionError")
    assert UpdateStatus.FAILED is failed.last_update_status
    assert failed.last_update_status_reason == "boom"


def test_without_snapstart_a_version_is_active_at_once(catalog):
    catalog.create_function(draft(snap_start=ApplyOn.NONE))

    assert State.ACTIVE is catalog.publish_version("f")[0].state


def test_a_stale_revision_changes_nothing(catalog):
    created = catalog.create_function(draft())
    catalog.update_latest("f", lambda version: evolve(version, timeout_s=9))

    with pytest.raises(StaleRevision):
        catalog.update_latest(
            "f", lambda version: evolve(version, timeout_s=1), revision_id=created.revision_id
        )
    with pytest.raises(StaleRevision):
        catalog.publish_version("f", revision_id=created.revision_id)

    assert catalog.version("f").timeout_s == 9
    assert len(catalog.versions("f")) == 1


def test_publishing_other_code_than_expected_is_refused(catalog):
    catalog.create_function(draft())

    with pytest.raises(CodeMismatch, match="other"):
        catalog.publish_version("f", code_sha256="other")


def test_a_change_that_raises_leaves_everything_as_it_was(catalog):
    before = catalog.create_function(draft())

    def change(version):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        catalog.update_latest("f", change)

    assert before == catalog.version("f")


@pytest.mark.parametrize("version", ["0", "01", "-1", "x", "", "1" * 30, "²", "$LATEST.PUBLISHED"])
def test_what_is_no_version_number_is_not_found(catalog, version):
    catalog.create_function(draft())

    with pytest.raises(FunctionNotFound) as caught:
        catalog.version("f", version)

    assert version == caught.value.version


def test_an_unknown_function_is_named_without_a_version(catalog):
    with pytest.raises(FunctionNotFound) as caught:
        catalog.version("nope", "3")

    assert None is caught.value.version


def test_latest_cannot_be_deleted_alone(catalog):
    catalog.create_function(draft())

    with pytest.raises(CatalogError):
        catalog.delete_version("f", LATEST)


def test_pages_join_to_the_whole(catalog):
    for name in "abc":
        catalog.create_function(draft(name, snap_start=ApplyOn.NONE))
        for timeout in range(1, 12):
            catalog.update_latest(name, lambda version, t=timeout: evolve(version, timeout_s=t))
            catalog.publish_version(name)
    whole = catalog.all_versions(limit=1000)
    paged, after = [], None
    while page := catalog.all_versions(after=after, limit=7):
        paged += page
        after = (page[-1].function_name, page[-1].version)

    assert whole == paged
    assert len(whole) == 36
    numbers = [int(v.version) for v in catalog.versions("b", limit=1000)[1:]]
    assert all(low < high for low, high in pairwise(numbers))


def test_code_stays_wanted_as_long_as_some_version_has_it(catalog):
    catalog.create_function(draft())
    catalog.publish_version("f")
    catalog.update_latest("f", lambda version: evolve(version, code=Code(sha256="new", size=5)))

    assert {"digest", "new"} == catalog.code_digests()

    catalog.delete_version("f", "1")

    assert {"new"} == catalog.code_digests()


def test_statistics_count_functions_versions_and_code(catalog):
    catalog.create_function(draft())
    catalog.publish_version("f")

    statistics = catalog.statistics()

    assert (
        statistics.functions,
        statistics.versions,
        statistics.pending,
        statistics.code_bytes,
    ) == (1, 1, 1, 20)


def test_a_second_daemon_on_the_same_catalog_is_refused(tmp_path, monkeypatch):
    real = sqlite3.connect
    monkeypatch.setattr(schema.sqlite3, "connect", lambda *a, **k: real(*a, **{**k, "timeout": 0}))
    with (
        Catalog.open(tmp_path / "c.db"),
        pytest.raises(CatalogError, match="Another thawd runs"),
    ):
        Catalog.open(tmp_path / "c.db")


def test_a_newer_schema_is_left_alone(tmp_path):
    Catalog.open(tmp_path / "c.db").close()
    with sqlite3.connect(tmp_path / "c.db") as database:
        database.execute("INSERT INTO migrations VALUES (99, 'later')")
    database.close()

    with pytest.raises(CatalogError, match="newer thawd"):
        Catalog.open(tmp_path / "c.db")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "c.db").write_bytes(b"not a database, certainly" * 100)

    with pytest.raises(CatalogError, match=r"c\.db is damaged"):
        Catalog.open(tmp_path / "c.db")


@pytest.mark.parametrize("document", ["{}", "[" * 100_000, "7", "", '{"timeout_s": 1e400}'])
def test_a_version_that_thawd_did_not_write_is_a_damaged_catalog(tmp_path, document):
    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.create_function(draft())
    with sqlite3.connect(tmp_path / "c.db") as database:
        database.execute("UPDATE versions SET document = ?", (document,))
    database.close()

    with Catalog.open(tmp_path / "c.db") as catalog, pytest.raises(CatalogError) as told:
        catalog.functions()
    assert "is damaged" in str(told.value)
    assert "`snapshots` and `code`" in told.value.hint


def test_a_step_that_fails_leaves_the_tables_as_they_were(tmp_path, monkeypatch):
    Catalog.open(tmp_path / "c.db").close()
    broken = (*schema.STEPS, "CREATE TABLE extra (x INTEGER); CREATE TABLE functions (x INTEGER)")
    monkeypatch.setattr(schema, "STEPS", broken)
    with pytest.raises(CatalogError):
        Catalog.open(tmp_path / "c.db")
    monkeypatch.undo()

    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.create_function(draft())
    database = sqlite3.connect(tmp_path / "c.db")
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_schema")}
    database.close()

    assert "extra" not in tables
