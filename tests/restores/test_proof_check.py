"""Rows are compared in the table's physical order, and distinguished by their range."""

from collections.abc import Iterator

import pytest

from restores import proof_check
from restores.proof_check import ProofError
from snapshots.engine import segment_plan
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from tests.projectdatabases import (
    Backups,
    Target,
    add_device,
    add_rows,
    main_database,
    open_database,
    quiet,
)
from tests.restore_parts import compare_with_manifest

DAYS = 24


@pytest.fixture
def manifest_and_restored(
    storage_url: str, project_server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Manifest, Target]]:
    """Make a backup in which every day is a range, and its restore of several blocks."""
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 1)
    monkeypatch.setattr(proof_check, "BLOCKS_TOGETHER", 2)
    with main_database() as source:
        with open_database(source) as connection:
            add_device(connection)
            for day in range(DAYS):
                add_rows(connection, day, 30)
        backups = Backups(source, open_storage(storage_url))
        manifest = backups.take()
        with backups.restored(manifest) as restored:
            yield manifest, restored


def compare(manifest: Manifest, restored: Target) -> None:
    compare_with_manifest(manifest, restored, readers=2, on_progress=quiet)


@pytest.mark.parametrize("few", [0, 100], ids=["searched", "compared"])
def test_a_row_is_found_in_its_range_wherever_it_lies(
    manifest_and_restored: tuple[Manifest, Target], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(proof_check, "FEW", few)
    manifest, restored = manifest_and_restored
    assert len(manifest.of("variable")) == DAYS
    with open_database(restored) as connection:
        # The updated row version is the last one in the table.
        connection.execute("UPDATE variable SET group_key = group_key WHERE time < '2026-03-02'")
        compare(manifest, restored)
        connection.execute("UPDATE variable SET number_value = 5 WHERE time = '2026-03-04 00:03Z'")
    with pytest.raises(
        ProofError, match=r"among the 30 rows of .* from 2026-03-04 until 2026-03-05"
    ):
        compare(manifest, restored)


def test_a_row_in_another_range_is_missing_in_the_first(
    manifest_and_restored: tuple[Manifest, Target],
) -> None:
    manifest, restored = manifest_and_restored
    with open_database(restored) as connection:
        connection.execute(
            """UPDATE variable SET time = time + interval '1 day'
               WHERE time = '2026-03-04 00:03Z'"""
        )
    with pytest.raises(ProofError, match="from 2026-03-04 until 2026-03-05 has 29 rows"):
        compare(manifest, restored)


def test_rows_behind_the_table_that_was_counted_are_found(
    manifest_and_restored: tuple[Manifest, Target],
) -> None:
    manifest, restored = manifest_and_restored
    with open_database(restored) as connection:
        add_rows(connection, 400, 1)
    with pytest.raises(ProofError, match="has 31 rows, but the backup recorded 30"):
        compare(manifest, restored)
