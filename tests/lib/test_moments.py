"""Moments come back unchanged from the database."""

from datetime import UTC, datetime

import pytest
from django.db import DataError, connection

from snapshots.models import Snapshot
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "taken_at",
    [
        datetime(2026, 11, 26, 2, 9, 58, 123_457, UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(2099, 1, 1, 0, 0, 0, 1, UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ],
)
def test_a_moment_comes_back_to_the_microsecond(taken_at: datetime) -> None:
    factories.make_snapshot(factories.make_project_row(), taken_at=taken_at)
    found = Snapshot.objects.get().taken_at
    assert (found, found.tzinfo) == (taken_at, UTC)


def read(expression: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expression}")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("moment", ["infinity", "0044-03-15 12:00+00 BC"])
def test_what_is_no_datetime_is_told(moment: str) -> None:
    with pytest.raises(DataError):
        read(f"timestamptz '{moment}'")
