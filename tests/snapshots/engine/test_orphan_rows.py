"""Rows without a series are left out of backups, counted, and never joined to another series."""

import pytest

from restores.index_build import LAST_SERIES
from snapshots.engine import segment_plan
from snapshots.engine.contents_index import read_excluded
from snapshots.engine.diff_inputs import find_difference, live_state, stored_state
from snapshots.engine.manifest import Manifest
from tests.projectdatabases import (
    DEVICE,
    START,
    Backups,
    Connection,
    add_rows,
    contents,
    open_database,
    quiet,
)

OTHER = "e" * 24


def orphans(backups: Backups, manifest: Manifest) -> int:
    """Return the backup's count of omitted rows, on its page and in its totals."""
    told = [x for x in read_excluded(backups.storage, manifest.contents) if x.kind == "orphan"]
    total = manifest.excluded.get("orphan")
    assert sum(item.count for item in told) == (total.count if total else 0)
    return sum(item.count for item in told)


def add_other_device(connection: Connection) -> int:
    """Add a device with one series; return the number that the sequence gives the series."""
    connection.execute("INSERT INTO device (id, name, type) VALUES (%s, 'Van', 'mutable')", [OTHER])
    row = connection.execute(
        "INSERT INTO series (device_id, variable, type) VALUES (%s, 'speed', 'number')"
        " RETURNING id",
        [OTHER],
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM device WHERE id = '{DEVICE}'",
        "DELETE FROM series WHERE id = 3",
        "UPDATE series SET id = 77 WHERE id = 3",
        "TRUNCATE device CASCADE",
        "TRUNCATE series CASCADE",
    ],
)
@pytest.mark.parametrize("when", ["before the first backup", "between two backups"])
def test_rows_left_behind_are_left_out(
    backups: Backups, source: Connection, statement: str, when: str
) -> None:
    add_rows(source, 0, 5, series=3)
    add_rows(source, 40, 7, series=3)
    if when == "between two backups":
        assert orphans(backups, backups.take()) == 0
    source.execute(statement)
    manifest = backups.take()
    assert orphans(backups, manifest) == 12
    assert backups.contents_of(manifest) == contents(backups.source) == []
    # However many segments the next backup reuses, it reports the same count.
    assert orphans(backups, backups.take()) == 12
    again = backups.take(full=True)
    assert (orphans(backups, again), again.untracked) == (12, ())
    assert Manifest.from_json(again.to_json()) == again


def test_only_the_days_of_orphans_are_read_again(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 5)
    for day in range(6):
        add_rows(source, day, 5, series=1 + day % 2)
    backups.take()
    source.execute(
        "DELETE FROM variable WHERE series_id = 1 AND time >= %s", [START.replace(day=3)]
    )
    source.execute("DELETE FROM series WHERE id = 1")
    manifest = backups.take()
    assert not manifest.is_full
    assert orphans(backups, manifest) == 5
    assert len({s.key for s in manifest.of("variable")} - manifest.new_keys) == 3


def test_rows_that_get_a_series_again_are_back(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 5, series=3)
    source.execute("DELETE FROM series WHERE id = 3")
    assert orphans(backups, backups.take()) == 5
    source.execute(
        "INSERT INTO series (id, device_id, variable, type) VALUES (3, %s, 'v', 'number')", [DEVICE]
    )
    manifest = backups.take()
    assert orphans(backups, manifest) == 0
    assert len(contents(backups.source)) == 5
    assert backups.contents_of(manifest) == contents(backups.source)


def test_the_database_now_compares_equal_to_a_backup_of_it(
    backups: Backups, source: Connection
) -> None:
    add_rows(source, 0, 5, series=3)
    first = backups.take()
    source.execute("DELETE FROM series WHERE id = 3")
    for base in (first, backups.take()):
        live, _ = live_state(
            backups.source.dsn,
            backups.storage,
            find_base=lambda _, base=base: base,
            most_rows=None,
            readers=2,
            on_progress=quiet,
        )
        newest = backups.newest
        assert newest is not None
        stored = stored_state(backups.storage, newest)
        difference = find_difference(backups.storage, stored, live)
        assert bool(difference.devices) == (newest is first)


def test_a_new_series_of_a_restored_project_gets_no_rows_of_old_ones(
    backups: Backups, source: Connection
) -> None:
    add_rows(source, 0, 5, series=3)
    source.execute("DELETE FROM series WHERE id = 3")
    with backups.restored(backups.take()) as target, open_database(target) as restored:
        add_other_device(restored)
        assert contents(target) == []


def test_nor_where_an_older_version_took_the_backup(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It contains its orphans, and a proof compares them."""
    monkeypatch.setattr(
        "snapshots.engine.snapshot_writer.drop_orphans", lambda table, devices: (table, {})
    )
    add_rows(source, 0, 5, series=3)
    source.execute("DELETE FROM series WHERE id = 3")
    with backups.restored(backups.take()) as target, open_database(target) as restored:
        assert add_other_device(restored) == 4
        assert contents(target) == []


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([LAST_SERIES], 4),
        ([LAST_SERIES, 4, 5], 6),
        ([LAST_SERIES - 1], 4),
        ([LAST_SERIES // 2 - 5, LAST_SERIES], LAST_SERIES // 2 - 4),
        ([9], 10),
    ],
)
def test_numbers_of_series_that_end_their_sequence(
    backups: Backups, source: Connection, taken: list[int], expected: int
) -> None:
    for number in taken:
        source.execute(
            "INSERT INTO series (id, device_id, variable, type) VALUES (%s, %s, %s, 'number')",
            [number, DEVICE, f"v{number}"],
        )
        add_rows(source, 0, 2, series=number)
    manifest = backups.take()
    with backups.restored(manifest) as target, open_database(target) as restored:
        assert contents(target) == contents(backups.source)
        assert add_other_device(restored) == expected
        row = restored.execute("SELECT nextval('variable_id_seq')").fetchone()
        assert row == (2 * len(taken) + 1,)
