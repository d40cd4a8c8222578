"""The weekly digest: off by default, once a week, through the same path as other e-mail."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.audit.audit_log import details_in_words
from backups_portal.audit.hash_chain import seal_events
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.notifications import digest_schedule
from backups_portal.notifications.delivery import deliver, send_again
from backups_portal.notifications.digest_contents import digest_of, next_digest, week_before
from backups_portal.notifications.digest_schedule import due_digests, queue_digest
from backups_portal.notifications.message_queue import plan_deliveries
from backups_portal.notifications.models import Delivery, NotificationSettings
from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.models import MainDatabase, Membership, Project
from restores.models import Proof
from tests import factories
from tests.evidence.conftest import happen
from tests.notifications.conftest import DUE, MONDAY, Choose, tell
from tests.notifications.receivers import Mailbox

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("berlin")]
State = Delivery.State
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def pass_time(*moments: datetime) -> list[Delivery]:
    """Run a scan, a tick and the workers at these moments."""
    sent: list[Delivery] = []
    for moment in moments:
        for project_id in due_digests(moment):
            queue_digest(project_id, moment)
        seal_events()
        sent += tell()
    return sent


def parts(letter: EmailMessage) -> tuple[str, str]:
    """Return the plain text and the HTML of an e-mail."""
    plain, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain
    assert page
    return plain.get_content(), page.get_content()


class TestWhen:
    @pytest.mark.parametrize(
        ("now", "zone", "due"),
        [
            (MONDAY, "Europe/Berlin", DUE),
            (DUE, "Europe/Berlin", DUE + 7 * DAY),
            (MONDAY + 3 * DAY, "Europe/Berlin", DUE + 7 * DAY),
            (MONDAY, "America/New_York", datetime(2026, 11, 23, 12, tzinfo=UTC)),
            # Clocks in Berlin are set back in the week before 26 October.
            (
                datetime(2026, 10, 20, tzinfo=UTC),
                "Europe/Berlin",
                datetime(2026, 10, 26, 6, tzinfo=UTC),
            ),
        ],
    )
    def test_on_monday_at_seven_in_the_projects_zone(
        self, now: datetime, zone: str, due: datetime
    ) -> None:
        assert next_digest(now, zone) == due

    def test_it_is_about_the_week_before(self) -> None:
        for now in (DUE, DUE + 3 * DAY):
            week = week_before(now, "Europe/Berlin")
            assert (week.first, week.last) == (date(2026, 11, 16), date(2026, 11, 22))
            assert week.begins_at == datetime(2026, 11, 15, 23, tzinfo=UTC)

    def test_off_by_default(self, project: Project, choose: Choose, letters: Mailbox) -> None:
        choose()
        assert pass_time(DUE, DUE + 7 * DAY) == []
        assert NotificationSettings.objects.get().next_digest_at is None

    def test_the_activity_says_which_week(
        self, digest: NotificationSettings, letters: Mailbox
    ) -> None:
        (delivery,) = pass_time(DUE)
        event = AuditEvent.objects.get(action="notifications.digest")
        assert event.subject == delivery.subject == "16 Nov 2026 to 22 Nov 2026"
        assert details_in_words(event.details) == []

    def test_once_and_again_a_week_later(
        self, digest: NotificationSettings, letters: Mailbox
    ) -> None:
        moments = (DUE - MINUTE, DUE, DUE + 15 * MINUTE, DUE + DAY, DUE + 7 * DAY - MINUTE)
        assert len(pass_time(*moments)) == 1
        assert len(pass_time(DUE + 7 * DAY, DUE + 8 * DAY)) == 1
        assert len(letters.messages) == 2

    def test_late_but_once_if_nothing_ran_on_monday(
        self, digest: NotificationSettings, letters: Mailbox
    ) -> None:
        assert len(pass_time(DUE + 2 * DAY, DUE + 2 * DAY + MINUTE)) == 1
        digest.refresh_from_db()
        assert digest.next_digest_at == DUE + 7 * DAY
        # A clock that was ahead costs no digest, either.
        NotificationSettings.objects.update(next_digest_at=DUE + 365 * DAY)
        assert len(pass_time(DUE + 6 * DAY, DUE + 7 * DAY)) == 1
        # After weeks without a scan there is one digest, not one per week.
        assert len(pass_time(DUE + 30 * DAY, DUE + 30 * DAY + MINUTE)) == 1

    def test_no_week_twice_after_a_change_of_the_time_zone(
        self, project: Project, digest: NotificationSettings, letters: Mailbox
    ) -> None:
        assert len(pass_time(DUE)) == 1
        # In Los Angeles it is still Sunday when the next one is due in Berlin.
        MainDatabase.objects.filter(pk=project.pk).update(backup_time_zone="America/Los_Angeles")
        assert pass_time(DUE + 7 * DAY) == []
        assert len(pass_time(DUE + 7 * DAY + 9 * HOUR)) == 1
        subjects = AuditEvent.objects.filter(action="notifications.digest").order_by("pk")
        assert list(subjects.values_list("subject", flat=True)) == [
            "16 Nov 2026 to 22 Nov 2026",
            "23 Nov 2026 to 29 Nov 2026",
        ]

    def test_turning_it_on_waits_for_the_next_monday(
        self, project: Project, choose: Choose
    ) -> None:
        choose(weekly_digest=True)
        due = NotificationSettings.objects.get().next_digest_at
        assert due == next_digest(timezone.now(), "Europe/Berlin")
        choose(weekly_digest=True, reminder_days=3)
        assert NotificationSettings.objects.get().next_digest_at == due


class TestKilled:
    def test_while_it_is_made(
        self, digest: NotificationSettings, letters: Mailbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(*_: Any, **__: Any) -> None:
            raise SystemExit(137)

        with monkeypatch.context() as patch:
            patch.setattr(digest_schedule, "record", killed)
            with pytest.raises(SystemExit):
                queue_digest(digest.pk, DUE)
        digest.refresh_from_db()
        assert digest.next_digest_at == DUE, "it is still due"
        assert len(pass_time(DUE + MINUTE, DUE + 2 * MINUTE)) == 1
        assert len(letters.messages) == 1

    def test_before_it_is_sent(self, digest: NotificationSettings, letters: Mailbox) -> None:
        assert [queue_digest(digest.pk, DUE) for _ in range(2)] == [True, False]
        seal_events()
        (made,) = plan_deliveries(timezone.now())
        later = timezone.now() + HOUR
        assert Delivery.objects.all().claim(made, lease=MINUTE)
        Delivery.objects.update(lease_until=timezone.now() - MINUTE)
        assert send_again(later) == [made]
        deliver(made)
        deliver(made)
        assert len(letters.messages) == 1

    def test_a_mail_server_that_is_busy(
        self, digest: NotificationSettings, letters: Mailbox, settings: Any
    ) -> None:
        settings.NOTIFICATION_RETRY_MINUTES = [1]
        letters.refuses = True
        (delivery,) = pass_time(DUE)
        assert delivery.state == State.QUEUED
        letters.refuses = False
        Delivery.objects.update(retry_at=timezone.now(), lease_until=timezone.now())
        deliver(delivery.pk)
        (letter,) = letters.messages
        assert letter["Message-ID"] == f"<{delivery.pk}@localhost>"


class TestWho:
    def test_owners_and_nobody_else(
        self, digest: NotificationSettings, project: Project, letters: Mailbox, choose: Choose
    ) -> None:
        factories.make_membership(project, factories.make_account("omar@example.com"), "owner")
        factories.make_membership(project, factories.make_account("colin@example.com"))
        # E-mail about single events is a separate choice.
        NotificationSettings.objects.update(by_email=False)
        pass_time(DUE)
        told = sorted(letter["To"] for letter in letters.messages)
        assert told == ["olivia@example.com", "omar@example.com"]

    def queue(self) -> Any:
        assert queue_digest(NotificationSettings.objects.get().pk, DUE)
        seal_events()
        (made,) = plan_deliveries(timezone.now())
        return made

    def outcome(self, made: Any) -> tuple[str, str]:
        deliver(made)
        delivery = Delivery.objects.get()
        return delivery.state, delivery.reason

    def test_not_who_lost_the_right_meanwhile(
        self, digest: NotificationSettings, letters: Mailbox
    ) -> None:
        made = self.queue()
        Membership.objects.update(role="collaborator")
        assert self.outcome(made) == (
            State.DROPPED,
            "The account no longer owns this project, or is closed.",
        )
        assert letters.messages == []

    def test_not_who_turned_it_off_meanwhile(
        self, digest: NotificationSettings, letters: Mailbox, choose: Choose
    ) -> None:
        made = self.queue()
        choose()
        assert self.outcome(made) == (State.DROPPED, "The weekly digest was turned off.")
        assert letters.messages == []

    def test_not_of_a_project_that_was_shut_down_meanwhile(
        self, digest: NotificationSettings, letters: Mailbox
    ) -> None:
        made = self.queue()
        Project.objects.update(state="shut_down")
        assert self.outcome(made) == (State.DROPPED, "The project was shut down.")

    def test_not_of_a_project_that_is_shut_down(
        self, digest: NotificationSettings, letters: Mailbox
    ) -> None:
        Project.objects.update(state="shut_down")
        assert pass_time(DUE, DUE + MINUTE) == []
        assert not AuditEvent.objects.filter(action="notifications.digest").exists()
        Project.objects.update(state="active")
        assert pass_time(DUE + DAY) == [], "that week is over"
        assert len(pass_time(DUE + 7 * DAY)) == 1

    def test_no_webhook(
        self, digest: NotificationSettings, choose: Choose, letters: Mailbox, hook: Any
    ) -> None:
        choose(weekly_digest=True, webhook=hook.url)
        NotificationSettings.objects.update(next_digest_at=DUE)
        assert [one.channel for one in pass_time(DUE)] == ["email"]
        assert hook.asked == []


class TestContents:
    def fill(self, project: Project) -> None:
        """A week with six backups, one of which failed, and one day without."""
        for days, size in ((9, 1_000_000), (6, 1_100_000), (5, 1_200_000), (2, 1_500_000)):
            taken_at = MONDAY - days * DAY
            factories.make_snapshot(project, taken_at=taken_at, logical_bytes=size * 1000)
        factories.make_snapshot(project, taken_at=MONDAY - 4 * DAY, state="failed")
        newest = factories.make_snapshot(
            project, taken_at=MONDAY - DAY, logical_bytes=1_600_000_000, size_note="It shrank."
        )
        for state, at in (("passed", 2), ("passed", 1), ("failed", 3), ("passed", 12)):
            reason = "A row differs." if state == "failed" else ""
            ended = MONDAY - at * DAY
            Proof.objects.create(snapshot=newest, state=state, finished_at=ended, reason=reason)
        Charge.objects.create(
            project_id=project.pk,
            project_name=project.name,
            kind="running",
            unit_price=Decimal("0.10"),
            currency="USD",
            starts_at=MONDAY - 60 * DAY,
        )

    def test_figures_of_the_week(self, project: Project) -> None:
        self.fill(project)
        said = digest_of(project, DUE)
        assert said["period"] == "16 Nov 2026 to 22 Nov 2026"
        facts = {name: value.replace("\N{NO-BREAK SPACE}", " ") for name, value in said["facts"]}
        assert facts == {
            "Backups": "4 taken, 1 failed, 2 missed",
            "Proofs": "2 passed, 1 failed",
            "Size of the rows": "1.5 GiB, 572.2 MiB more than a week before",
            "Cost": "16.80 USD",
        }

    def test_days_of_a_project_that_was_shut_down(self, project: Project) -> None:
        for days in (7, 6, 5, 1):
            factories.make_snapshot(project, taken_at=MONDAY - days * DAY)
        happen(project, "project.shut_down", MONDAY - 5 * DAY + HOUR)
        happen(project, "project.started_again", MONDAY - 2 * DAY + HOUR)
        assert dict(digest_of(project, DUE)["facts"])["Backups"] == "4 taken, none missed"

    def test_a_new_project(self, project: Project) -> None:
        Project.objects.update(created_at=MONDAY - DAY)
        MainDatabase.objects.update(proof_policy="off")
        project = Project.objects.select_related("main_database").get()
        assert dict(digest_of(project, DUE)["facts"]) == {
            "Backups": "0 taken, none missed",
            "Proofs": "none; proofs are off",
            "Size of the rows": "not measured yet",
            "Cost": "nothing",
        }
        assert digest_of(project, DUE)["attention"] == []

    def test_days_without_a_backup_are_counted_beyond_three(self, project: Project) -> None:
        factories.make_snapshot(project, taken_at=MONDAY - 6 * DAY)
        (title, text), *_ = digest_of(project, DUE)["attention"]
        days = int(title.split()[4])
        assert days > 3
        assert text.endswith(f" and {days - 3} more.")

    def test_both_parts_say_the_same(
        self, digest: NotificationSettings, project: Project, letters: Mailbox
    ) -> None:
        Project.objects.update(name="Cold <Chain>")
        self.fill(project)
        objective = Objective.objects.create(
            project=project,
            kind="point",
            target=26,
            began_at=MONDAY - 20 * DAY,
            checked_at=MONDAY - 20 * DAY + HOUR,
        )
        Breach.objects.create(
            objective=objective, began_at=MONDAY - 20 * DAY + MINUTE, worst_seconds=1
        )
        NotificationSettings.objects.update(next_digest_at=DUE)
        pass_time(DUE + 2 * DAY)
        (letter,) = letters.messages
        assert letter["Subject"] == "Weekly digest, 16 Nov 2026 to 22 Nov 2026: Cold <Chain>"
        plain, page = parts(letter)
        for said in (
            "4 taken, 1 failed, 2 missed",
            "2 passed, 1 failed",
            "Recovery point",
            "missed (at most 26 hours) since",
            "CET",
            "Recovery point objective missed",
            "It shrank.",
            "https://portal.example.com/projects/cold-chain/",
            "https://portal.example.com/digest/off/",
        ):
            assert said in plain
            assert said in page
        assert "Cold <Chain>" in plain
        assert "Cold &lt;Chain&gt;" in page
        assert "<Chain>" not in page
