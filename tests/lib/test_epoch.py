"""Moments come back from the database as they were, though as numbers."""

from datetime import UTC, datetime

import pytest

from backups_portal.lib.epoch import Epoch, moment
from snapshots.models import Snapshot
from tests import factories


@pytest.mark.django_db
@pytest.mark.parametrize(
    "taken_at",
    [
        datetime(2026, 11, 26, 2, 9, 58, 123_457, UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(2099, 1, 1, 0, 0, 0, 1, UTC),
    ],
)
def test_a_moment_comes_back_to_the_microsecond(taken_at: datetime) -> None:
    factories.make_snapshot(factories.make_project_row(), taken_at=taken_at)
    (seconds,) = Snapshot.objects.values_list(Epoch("taken_at"), flat=True)
    assert moment(seconds) == taken_at
