"""Moments come back from the database as they were."""

from datetime import UTC, datetime

import pytest
from django.db import DataError, connection

from backups_portal.lib.timestamps import MomentLoader
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


def test_django_leaves_the_loader_in_its_place() -> None:
    with connection.cursor() as cursor:
        assert cursor.cursor.adapters.get_loader(1184, 0) is MomentLoader


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_another_zone_of_a_session_is_the_same_moment(zone: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('timezone', %s, true)", [zone])
    found = read("timestamptz '2026-03-29 01:30:00.5+00'")
    assert (found, found.tzinfo) == (datetime(2026, 3, 29, 1, 30, 0, 500_000, UTC), UTC)


@pytest.mark.parametrize("moment", ["infinity", "0044-03-15 12:00+00 BC"])
def test_what_is_no_datetime_is_told(moment: str) -> None:
    with pytest.raises(DataError):
        read(f"timestamptz '{moment}'")
