"""Alerts about running projects without a backup, proof or copy."""

from datetime import datetime, timedelta
from math import isnan
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from backups_portal.lib import liveness
from backups_portal.ops import liveness_metrics
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot, SnapshotCopy
from tests import factories
from tests.ops.test_metrics import figures, firing

pytestmark = [pytest.mark.django_db, pytest.mark.server_version]


class TestNone:
    """Alerts about a running project that has none of something."""

    @pytest.fixture
    def now(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> datetime:
        settings.SNAPSHOT_COPY_STORAGE = "file:///nowhere"
        monkeypatch.setattr(liveness, "last_signs", lambda *signs: [timezone.now()] * len(signs))
        monkeypatch.setattr(liveness_metrics, "storage_state", lambda sign: "ok")
        return timezone.now()

    def project(self, age_days: float, **fields: Any) -> Project:
        project = factories.make_project_row(**fields)
        created_at = timezone.now() - timedelta(days=age_days)
        Project.objects.filter(pk=project.pk).update(created_at=created_at)
        return project

    def backed_up(self, project: Project, **fields: Any) -> Snapshot:
        """Give it a backup of this morning that is copied and proven."""
        moment = timezone.now() - timedelta(hours=5)
        proven = {"verdict": "passed", "proven_at": moment}
        snapshot = factories.make_snapshot(project, taken_at=moment, **{**proven, **fields})
        SnapshotCopy.objects.create(snapshot=snapshot, state="copied", copied_at=moment, place="x")
        return snapshot

    def test_no_project(self, now: datetime) -> None:
        assert firing() == set()

    def test_everything_as_it_should_be(self, now: datetime) -> None:
        self.backed_up(self.project(400))
        assert firing() == set()

    def test_a_project_of_this_hour(self, now: datetime) -> None:
        self.project(0)
        assert firing() == set()

    def test_never_backed_up(self, now: datetime) -> None:
        self.backed_up(self.project(400))
        self.project(20)
        found = figures()
        assert found["newest_backup_age_seconds", "active", "no"] == pytest.approx(
            20 * 86400, abs=60
        )
        assert firing() == {"BackupMissing", "NothingProven"}

    @pytest.mark.parametrize(
        ("hours", "planned", "following", "alerts"),
        [
            (30, 10, None, set()),
            (51, 10, None, {"BackupMissing"}),
            (30, -1, None, {"BackupMissing"}),
            # Another alert reports failures of the last day.
            (30, 10, ("failed", 48), {"BackupMissing"}),
            (36, 23, ("queued", 0), set()),
            (36, 23, ("running", 1), set()),
            (36, 23, ("running", 3), {"BackupMissing"}),
            (51, 23, ("running", 1), {"BackupMissing"}),
        ],
        ids=[
            *("time moved", "for too long", "not taken", "failed"),
            *("waits", "under way", "under way for too long", "under way too late"),
        ],
    )
    def test_a_time_of_day_that_was_moved(
        self,
        now: datetime,
        hours: int,
        planned: int,
        following: tuple[str, int] | None,
        alerts: set[str],
    ) -> None:
        project = self.project(400)
        snapshot = self.backed_up(project)
        then = now - timedelta(hours=hours)
        Snapshot.objects.filter(pk=snapshot.pk).update(taken_at=then, local_date=then.date())
        MainDatabase.objects.update(next_snapshot_at=now + timedelta(hours=planned))
        if following:
            state, ago = following
            day, due = then.date() + timedelta(days=1), now - timedelta(hours=ago)
            factories.make_snapshot(project, state=state, local_date=day, taken_at=due)
        assert firing() == alerts

    def test_never_proven(self, now: datetime) -> None:
        self.backed_up(self.project(400))
        self.backed_up(self.project(20), verdict="unproven", proven_at=None)
        assert figures()["newest_backup_age_seconds", "active", "yes"] == pytest.approx(
            20 * 86400, abs=60
        )
        assert firing() == {"NothingProven"}

    def test_never_proven_and_young(self, now: datetime) -> None:
        self.backed_up(self.project(14), verdict="unproven", proven_at=None)
        assert firing() == set()

    def test_never_proven_because_the_owner_wants_no_proofs(self, now: datetime) -> None:
        project = self.project(400)
        self.backed_up(project, verdict="unproven", proven_at=None)
        MainDatabase.objects.filter(project=project).update(proof_policy="off")
        assert isnan(figures()["newest_backup_age_seconds", "active", "yes"])
        assert firing() == set()

    def test_never_copied(self, now: datetime) -> None:
        snapshot = self.backed_up(self.project(400))
        SnapshotCopy.objects.all().delete()
        assert firing() == {"BackupNotCopied"}
        # A backup whose end was never recorded.
        Snapshot.objects.filter(pk=snapshot.pk).update(finished_at=None)
        assert firing() == {"BackupNotCopied"}

    def test_nothing_was_ever_seen_to_work(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(liveness, "last_signs", lambda *signs: [None] * len(signs))
        assert isnan(figures()["projects_in_doubt",])
        assert firing() == {"NothingRuns", "SweepSilent"}
