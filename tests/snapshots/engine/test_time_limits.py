"""A soft time limit stops the reading of resources within the current job."""

from typing import Any

import pytest

from backups_portal.projectdb.catalogue import BY_NAME
from snapshots.engine import diff_inputs, instant_reader, row_reader, snapshot_writer
from snapshots.engine.diff_inputs import live_state
from snapshots.engine.run_progress import Progress
from tests.projectdatabases import Backups, quiet
from tests.softlimit import soft_limit


@pytest.fixture(autouse=True)
def _every_row_is_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_reader, "PART_ROWS", 1)


@pytest.mark.usefixtures("source")
def test_a_snapshot_ends_after_the_part_at_hand(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_writer, "FEW_ROWS", -1)
    monkeypatch.setattr(instant_reader, "TOGETHER_BYTES", 0)
    parts: list[Progress] = []
    with soft_limit() as limit:

        def read(progress: Progress) -> None:
            if progress.step == "reading":
                parts.append(progress)
                if progress.rows_done == 3:
                    limit.reach()

        backups.take(readers=1, on_progress=read)
    assert len(parts) == 3, "the last part of a table of three rows is not read"


@pytest.mark.usefixtures("source")
def test_a_comparison_with_now_ends_after_the_part_at_hand(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, parts = diff_inputs.table_digest, []
    with soft_limit() as limit:

        def reading(part: Any, columns: tuple[str, ...]) -> Any:
            if "variable" in columns:
                assert part.num_rows == 1
                parts.append(columns)
                limit.reach()
            return digest(part, columns)

        monkeypatch.setattr(diff_inputs, "table_digest", reading)
        live_state(
            backups.source.dsn,
            backups.storage,
            find_base=lambda _: None,
            most_rows=None,
            readers=1,
            on_progress=quiet,
        )
    assert parts == [BY_NAME["series"].columns]
