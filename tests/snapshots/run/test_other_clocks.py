"""Even if a database server's clock is wrong, backups have the portal's time, as retention does."""

from datetime import timedelta

import pytest
from django.utils import timezone

from backups_portal.projects.models import Project
from snapshots.engine import source_database
from snapshots.models import Snapshot
from tests.takensnapshots import prune, taken

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("days", [-30, 400], ids=["behind", "ahead"])
def test_the_clock_of_a_database_server_decides_nothing(
    live_project: Project, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    wrong = source_database.INSTANCE.replace(
        "clock_timestamp()", f"clock_timestamp() + interval '{days} days'"
    )
    monkeypatch.setattr(source_database, "INSTANCE", wrong)
    begun = timezone.now()
    snapshots = [taken(live_project, 1), taken(live_project)]
    for snapshot in snapshots:
        assert snapshot.taken_at
        assert begun < snapshot.taken_at < begun + timedelta(minutes=1)
    assert [item for item in prune(timezone.now()) if item.goes] == []
    assert Snapshot.objects.newest_good() == snapshots[-1]
