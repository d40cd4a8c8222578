"""Changing the daily backup schedule and the retention period."""

import logging
from datetime import UTC, datetime, time
from typing import Any

import pytest

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.client_address import asked_from
from backups_portal.projects.models import MainDatabase, Project
from snapshots.errors import SettingsRefusedError
from snapshots.models import Snapshot
from snapshots.schedule.backup_settings import change_backup_settings
from snapshots.schedule.schedule_tick import heal, queue_due
from tests.factories import make_project_row, make_snapshot

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def database() -> MainDatabase:
    row = make_project_row().main_database
    row.next_snapshot_at = utc("2026-11-24 03:00")
    row.save(update_fields=["next_snapshot_at"])
    return row


def change(database: MainDatabase, **fields: Any) -> MainDatabase:
    wanted = {"backup_time": "03:00", "backup_time_zone": "UTC", "retention_days": "7"}
    with asked_from("192.0.2.1"):
        return change_backup_settings(
            database=database,
            actor=database.project.created_by,
            now=NOW,
            wanted={**wanted, **fields},
        )


@pytest.mark.parametrize("days", ["1", "365", 30])
def test_a_retention_period_is_saved(database: MainDatabase, days: str | int) -> None:
    change(database, retention_days=days)
    database.refresh_from_db()
    assert database.retention_days == int(days)
    assert database.next_snapshot_at == utc("2026-11-24 03:00")


@pytest.mark.parametrize(
    "days", ["0", "366", "soon", "", "-1", "7.5", "1_0", "\u0667", "9" * 5000, "0" * 7 + "366"]
)
def test_a_retention_period_that_cannot_be_is_refused(database: MainDatabase, days: str) -> None:
    with pytest.raises(SettingsRefusedError) as refused:
        change(database, retention_days=days, backup_time="04:00")
    assert refused.value.field == "retention_days"
    assert "from 1 to 365" in refused.value.errors["retention_days"]
    database.refresh_from_db()
    assert (database.retention_days, database.backup_time) == (7, time(3))
    assert not AuditEvent.objects.exists()


def test_each_wrong_field_is_named(
    database: MainDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(SettingsRefusedError) as refused,
    ):
        change(database, backup_time="25:00", backup_time_zone="Mars/Base")
    assert set(refused.value.errors) == {"backup_time", "backup_time_zone"}
    assert "“Mars/Base” is not a time zone" in str(refused.value)
    assert str(database.pk) in caplog.text


def test_a_new_schedule_moves_the_next_run(database: MainDatabase) -> None:
    change(database, backup_time="12:30", backup_time_zone="Europe/Berlin")
    database.refresh_from_db()
    assert database.next_snapshot_at == utc("2026-11-23 11:30")


def test_a_later_time_on_a_day_that_has_its_snapshot_waits_for_the_next_day(
    database: MainDatabase,
) -> None:
    make_snapshot(database.project, taken_at=utc("2026-11-23 03:00"))
    assert change(database, backup_time="12:30").next_snapshot_at == utc("2026-11-24 12:30")


def test_a_second_change_leaves_no_day_out(database: MainDatabase) -> None:
    """The first one moved the run of the 22nd, which had its backup, to the end of the 23rd."""
    MainDatabase.objects.update(backup_time=time(12), next_snapshot_at=utc("2026-11-23 12:00"))
    make_snapshot(database.project, taken_at=utc("2026-11-22 03:00"))
    assert change(database, backup_time="09:00").next_snapshot_at == NOW
    (snapshot_id,) = queue_due(NOW)
    snapshot = Snapshot.objects.get(pk=snapshot_id)
    # It is not recorded as due at 9:00, since it has not waited from then.
    assert (snapshot.local_date, snapshot.scheduled_for) == (NOW.date(), NOW)
    assert not AuditEvent.objects.filter(action="snapshot.missed").exists()


@pytest.mark.parametrize(
    ("at", "run"), [("23:00", utc("2026-11-23 23:00")), ("09:00", NOW)], ids=["later", "earlier"]
)
def test_a_date_whose_backup_failed_has_another_run(
    database: MainDatabase, at: str, run: datetime
) -> None:
    """Otherwise the next one would come 68 or 54 hours after the last good backup."""
    make_snapshot(database.project, taken_at=utc("2026-11-22 03:00"))
    failed = make_snapshot(
        database.project, taken_at=utc("2026-11-23 03:00"), state="failed", failures=3, attempts=4
    )
    assert change(database, backup_time=at).next_snapshot_at == run
    assert queue_due(run) == [failed.pk]
    failed.refresh_from_db()
    assert (failed.state, failed.reason, failed.failures, failed.attempts) == ("queued", "", 0, 1)
    assert (failed.local_date, failed.scheduled_for) == (NOW.date(), run)
    assert queue_due(run) == []


def test_a_backup_that_fails_after_the_schedule_was_moved_has_another_run(
    database: MainDatabase,
) -> None:
    make_snapshot(database.project, taken_at=utc("2026-11-22 03:00"))
    last_try = make_snapshot(database.project, taken_at=utc("2026-11-23 03:00"), state="running")
    assert change(database, backup_time="23:00").next_snapshot_at == utc("2026-11-24 23:00")
    Snapshot.objects.filter(pk=last_try.pk).update(state="failed", reason="It did not answer.")
    heal(NOW)
    database.refresh_from_db()
    assert database.next_snapshot_at == utc("2026-11-23 23:00")


def test_a_backup_that_was_stored_and_lost_keeps_its_date(database: MainDatabase) -> None:
    make_snapshot(database.project, taken_at=utc("2026-11-23 03:00"))
    Snapshot.objects.update(state="failed", reason="Parts of it are missing.")
    assert change(database, backup_time="23:00").next_snapshot_at == utc("2026-11-24 23:00")


def test_a_zone_that_is_a_day_behind_skips_every_local_date_that_has_a_snapshot(
    database: MainDatabase,
) -> None:
    for day in ("2026-11-22", "2026-11-23"):
        make_snapshot(database.project, taken_at=utc(f"{day} 03:00"))
    changed = change(database, backup_time="23:30", backup_time_zone="Pacific/Pago_Pago")
    # It is 23 November there until 11:00 UTC of the 24th.
    assert changed.next_snapshot_at == utc("2026-11-25 10:30")


def test_an_overdue_run_survives_a_change_of_the_schedule(database: MainDatabase) -> None:
    MainDatabase.objects.update(next_snapshot_at=utc("2026-11-21 03:00"))
    make_snapshot(database.project, taken_at=utc("2026-11-20 03:00"))
    assert change(database, backup_time="12:00").next_snapshot_at == utc("2026-11-22 12:00")


def test_a_project_that_is_shut_down_stays_without_a_next_run(database: MainDatabase) -> None:
    Project.objects.update(state=Project.State.SHUT_DOWN)
    MainDatabase.objects.update(next_snapshot_at=None)
    assert change(database, backup_time="12:00").next_snapshot_at is None


def test_old_and_new_values_are_audited(database: MainDatabase) -> None:
    change(database, backup_time="12:30", retention_days=30)
    event = AuditEvent.objects.get()
    assert event.action == "settings.changed"
    assert event.account_id == database.project.created_by_id
    assert (event.project_id, event.address) == (database.pk, "192.0.2.1")
    assert event.details == {
        "backup_time": {"old": "03:00", "new": "12:30"},
        "retention_days": {"old": 7, "new": 30},
    }


def test_saving_the_same_settings_changes_nothing(database: MainDatabase) -> None:
    MainDatabase.objects.update(next_snapshot_at=utc("2026-11-23 09:59"))
    change(database)
    database.refresh_from_db()
    assert database.next_snapshot_at == utc("2026-11-23 09:59")
    assert not AuditEvent.objects.exists()


def test_only_the_fields_that_changed_are_saved(
    database: MainDatabase, django_assert_num_queries: Any
) -> None:
    stale = MainDatabase.objects.get(pk=database.pk)
    MainDatabase.objects.update(retention_days=90, backup_time=time(5))
    changed = change(stale, retention_days=90, backup_time="05:00", backup_time_zone="Asia/Tokyo")
    assert AuditEvent.objects.get().details.keys() == {"backup_time_zone"}
    assert changed.retention_days == 90


@pytest.mark.parametrize("policy", ["every", "off"])
def test_which_backups_are_proven_is_saved_and_recorded(
    database: MainDatabase, policy: str
) -> None:
    change(database, proof_policy=policy)
    database.refresh_from_db()
    assert database.proof_policy == policy
    assert AuditEvent.objects.get().details == {"proof_policy": {"old": "weekly", "new": policy}}


def test_a_form_that_does_not_name_the_proof_leaves_it(database: MainDatabase) -> None:
    change(database, proof_policy="every")
    change(database, retention_days="9")
    database.refresh_from_db()
    assert database.proof_policy == "every"


@pytest.mark.parametrize("policy", ["", "daily", "WEEKLY"])
def test_a_proof_policy_that_cannot_be_is_refused(database: MainDatabase, policy: str) -> None:
    with pytest.raises(SettingsRefusedError) as refused:
        change(database, proof_policy=policy)
    assert refused.value.field == "proof_policy"
    assert not AuditEvent.objects.exists()
