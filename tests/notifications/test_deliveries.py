"""Each event is delivered once over each chosen channel."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from backups_portal.accounts.models import Account
from backups_portal.audit.hash_chain import seal_events
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.notifications.delivery import deliver, forget_deliveries, send_again
from backups_portal.notifications.message_queue import plan_deliveries
from backups_portal.notifications.messages import KINDS
from backups_portal.notifications.models import Cursor, Delivery, NotificationSettings
from backups_portal.notifications.notification_settings import renew_secret
from backups_portal.projects.models import Membership, Project
from tests import factories
from tests.notifications.conftest import Choose, happen, tell
from tests.notifications.receivers import Mailbox, Receiver

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_second_try")]
State, Channel = Delivery.State, Delivery.Channel
SNAPSHOT = "11111111-2222-3333-4444-555555555555"
RESTORE = "99999999-2222-3333-4444-555555555555"
REASON = "The main database did not answer."


TOLD = [
    ("snapshot.failed", "Backup failed", "/projects/cold-chain/backups/"),
    ("snapshot.missed", "Backup missed", "/projects/cold-chain/backups/"),
    (
        "snapshot.size_anomaly",
        "Backup unusually small",
        f"/projects/cold-chain/backups/{SNAPSHOT}/",
    ),
    ("proof.failed", "Proof failed", f"/projects/cold-chain/backups/{SNAPSHOT}/"),
    ("check.failed", "Check could not be run", f"/projects/cold-chain/backups/{SNAPSHOT}/"),
    ("restore.completed", "Restore finished", f"/restores/{RESTORE}/"),
    ("restore.failed", "Restore failed", f"/restores/{RESTORE}/"),
    ("objective.missed", "Recovery objective missed", "/projects/cold-chain/objectives/"),
    ("objective.met", "Recovery objective met again", "/projects/cold-chain/objectives/"),
    ("project.still_running", "Restored project still running", "/projects/cold-chain/"),
]


@pytest.mark.parametrize(("action", "title", "path"), TOLD)
def test_every_kind_is_told_by_mail_and_webhook(
    project: Project,
    choose: Choose,
    hook: Receiver,
    letters: Mailbox,
    action: str,
    title: str,
    path: str,
) -> None:
    secret = choose(webhook=hook.url)
    happen(action, project, snapshot=SNAPSHOT, restore=RESTORE, reason=REASON)
    assert [delivery.state for delivery in tell()] == [State.SENT, State.SENT]

    (letter,) = letters.messages
    assert letter["Subject"] == f"{title}: Cold Chain"
    assert letter["To"] == "olivia@example.com"
    assert letter["Auto-Submitted"] == "auto-generated"
    body = " ".join(letter.get_content().split())
    assert f"https://portal.example.com{path}" in body
    assert "https://portal.example.com/projects/cold-chain/notifications/" in body
    # A restore names its project, whatever that is called.
    about = "Backup of 2026-11-23" if action.startswith("restore.") else "Backup of 23 Nov 2026"
    assert about in body or REASON in body

    (asked,) = hook.asked
    assert (asked.method, asked.headers["Content-Type"]) == ("POST", "application/json")
    said = Webhook(secret).verify(asked.body, asked.headers)
    assert said["type"] == action
    assert said["data"]["title"] == title
    assert said["data"]["url"] == f"https://portal.example.com{path}"
    assert said["data"]["project"] == {
        "id": str(project.pk),
        "slug": "cold-chain",
        "name": "Cold Chain",
    }
    assert said["data"]["details"]["reason"] == REASON


def test_every_action_that_is_told_has_words() -> None:
    assert {action for action, *_ in TOLD} == KINDS.keys() - {
        "snapshot.completed",
        "notifications.digest",
        "notifications.tested",
    }


def test_a_backup_that_fails_again_after_an_outage_is_told_once(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    choose(webhook=hook.url)
    for _ in range(2):
        happen("snapshot.failed", project, snapshot=SNAPSHOT, reason=REASON)
        happen("snapshot.failed", project, snapshot=SNAPSHOT, reason="Connection refused.")
        tell()
    assert len(hook.asked) == 1
    # Its owner has moved the schedule to later that day, and awaits the result.
    happen("settings.changed", project, backup_time={"old": "03:00", "new": "14:00"})
    happen("snapshot.failed", project, snapshot=SNAPSHOT, reason=REASON)
    # A backup of another day.
    happen("snapshot.failed", project, snapshot=RESTORE, reason=REASON)
    happen("snapshot.failed", factories.make_project_row(), snapshot=RESTORE, reason=REASON)
    tell()
    assert len(hook.asked) == 3


def test_a_failed_proof_promises_nothing_of_other_backups(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    """Other backups may share the damaged part."""
    choose(webhook=hook.url)
    happen("proof.failed", project, snapshot=SNAPSHOT, reason=REASON)
    tell()
    (asked,) = hook.asked
    text = json.loads(asked.body)["data"]["text"]
    assert text.endswith(" Tell your operator, and restore another backup if you need one.")


def test_what_was_changed_on_the_way_is_not_accepted(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    secret = choose(webhook=hook.url)
    happen("snapshot.failed", project, reason=REASON)
    tell()
    (asked,) = hook.asked
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(asked.body.replace(b"Cold", b"Warm"), asked.headers)
    other = {**asked.headers, "webhook-id": "msg_other"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(asked.body, other)


def test_a_new_secret_signs_from_the_next_message_on(
    project: Project, owner: Account, choose: Choose, hook: Receiver
) -> None:
    old = choose(webhook=hook.url)
    assert choose(webhook=hook.url) == "", "it is not shown again"
    new = renew_secret(project=project, actor=owner)
    happen("snapshot.failed", project, reason=REASON)
    tell()
    (asked,) = hook.asked
    assert Webhook(new).verify(asked.body, asked.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(asked.body, asked.headers)


class TestOnce:
    def test_an_event_is_told_once(self, project: Project, choose: Choose, hook: Receiver) -> None:
        choose(webhook=hook.url)
        happen("snapshot.failed", project, reason=REASON)
        (made,) = plan_deliveries(timezone.now())
        assert plan_deliveries(timezone.now()) == []
        deliver(made)
        deliver(made)
        assert len(hook.asked) == 1

    def test_also_when_the_cursor_was_set_back(
        self, project: Project, choose: Choose, hook: Receiver
    ) -> None:
        choose(webhook=hook.url)
        happen("snapshot.failed", project, reason=REASON)
        tell()
        Cursor.objects.update(position=0)
        tell()
        assert (Delivery.objects.count(), len(hook.asked)) == (1, 1)

    def test_what_is_not_sealed_yet_waits_and_is_not_passed_over(
        self, project: Project, choose: Choose, hook: Receiver
    ) -> None:
        choose(webhook=hook.url)
        record(action="snapshot.failed", actor=None, project=project, details={"reason": REASON})
        assert plan_deliveries(timezone.now()) == []
        seal_events()
        assert len(plan_deliveries(timezone.now())) == 1

    def test_a_lost_message_or_worker_is_made_up_for(
        self, project: Project, choose: Choose, hook: Receiver
    ) -> None:
        choose(webhook=hook.url)
        happen("snapshot.failed", project, reason=REASON)
        (made,) = plan_deliveries(timezone.now())
        assert send_again(timezone.now()) == [], "its message counts for a while"
        later = timezone.now() + timedelta(hours=1)
        assert send_again(later) == [made]
        ticket = Delivery.objects.all().claim(made, lease=timedelta(minutes=2))
        assert ticket
        deliver(made)
        assert hook.asked == [], "another worker is at it"
        Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        deliver(made)
        assert len(hook.asked) == 1

    def test_many_events_in_batches(
        self,
        project: Project,
        choose: Choose,
        hook: Receiver,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("backups_portal.notifications.message_queue.BATCH", 3)
        choose(webhook=hook.url)
        for _ in range(7):
            record(action="snapshot.failed", actor=None, project=project)
        seal_events()
        assert len(plan_deliveries(timezone.now(), limit=3)) == 2, "the change came first"
        assert len(plan_deliveries(timezone.now())) == 5


class TestWho:
    def test_every_owner_and_nobody_else(self, project: Project, letters: Mailbox) -> None:
        factories.make_membership(project, factories.make_account("omar@example.com"), "owner")
        factories.make_membership(project, factories.make_account("colin@example.com"))
        away = factories.make_account("gone@example.com", is_active=False)
        factories.make_membership(project, away, "owner")
        happen("snapshot.failed", project, reason=REASON)
        tell()
        told = sorted(letter["To"] for letter in letters.messages)
        assert told == ["olivia@example.com", "omar@example.com"]

    def test_not_who_left_meanwhile(self, project: Project, letters: Mailbox) -> None:
        happen("snapshot.failed", project, reason=REASON)
        (made,) = plan_deliveries(timezone.now())
        Membership.objects.update(role="collaborator")
        deliver(made)
        delivery = Delivery.objects.get()
        assert (delivery.state, letters.messages) == (State.DROPPED, [])
        assert "no longer owns this project" in delivery.reason

    def test_not_by_mail_where_it_is_off(
        self, project: Project, choose: Choose, letters: Mailbox
    ) -> None:
        choose(by_email=False)
        happen("snapshot.failed", project, reason=REASON)
        assert tell() == []

    def test_not_by_mail_without_a_mail_server(self, project: Project, settings: Any) -> None:
        settings.EMAIL_HOST = ""
        happen("snapshot.failed", project, reason=REASON)
        assert tell() == []

    def test_not_what_nobody_wants_to_hear(
        self, project: Project, choose: Choose, letters: Mailbox
    ) -> None:
        choose(wanted=["missed"])
        happen("snapshot.failed", project, reason=REASON)
        happen("snapshot.missed", project, reason=REASON)
        assert [delivery.kind for delivery in tell()] == ["missed"]

    def test_not_of_backups_of_a_project_that_is_shut_down(
        self, project: Project, letters: Mailbox
    ) -> None:
        Project.objects.update(state="shut_down")
        happen("snapshot.failed", project, reason=REASON)
        happen("proof.failed", project, reason=REASON, snapshot=SNAPSHOT)
        assert [delivery.kind for delivery in tell()] == ["proof"]

    @pytest.mark.parametrize("change", [{"by_email": False}, {"wanted": ["missed"]}])
    def test_not_by_mail_once_it_was_turned_off(
        self, project: Project, choose: Choose, letters: Mailbox, change: dict[str, Any]
    ) -> None:
        happen("snapshot.failed", project, reason=REASON)
        (made,) = plan_deliveries(timezone.now())
        choose(**change)
        deliver(made)
        delivery = Delivery.objects.get()
        assert (delivery.state, letters.messages) == (State.DROPPED, [])
        assert "turned off" in delivery.reason

    def test_no_webhook_of_what_nobody_wants_to_hear_any_more(
        self, project: Project, choose: Choose, hook: Receiver
    ) -> None:
        choose(webhook=hook.url, by_email=False)
        happen("snapshot.failed", project, reason=REASON)
        (made,) = plan_deliveries(timezone.now())
        choose(webhook=hook.url, by_email=False, wanted=["missed"])
        deliver(made)
        assert (Delivery.objects.get().state, hook.asked) == (State.DROPPED, [])

    def test_not_once_the_webhook_is_gone(
        self, project: Project, choose: Choose, hook: Receiver
    ) -> None:
        choose(webhook=hook.url)
        happen("snapshot.failed", project, reason=REASON)
        (made,) = plan_deliveries(timezone.now())
        choose()
        deliver(made)
        assert (Delivery.objects.get().state, hook.asked) == (State.DROPPED, [])


class TestHeartbeat:
    def test_it_is_asked_for_after_a_stored_backup_alone(
        self, project: Project, choose: Choose, hook: Receiver, letters: Mailbox
    ) -> None:
        choose(heartbeat=hook.url)
        happen("snapshot.completed", project)
        assert [delivery.channel for delivery in tell()] == [Channel.HEARTBEAT]
        assert [(asked.method, asked.body) for asked in hook.asked] == [("GET", b"")]
        for action, *_ in TOLD:
            happen(action, project, snapshot=SNAPSHOT, restore=RESTORE, reason=REASON)
        tell()
        assert len(hook.asked) == 1

    def test_a_project_without_one_is_not_told_of_each_backup(
        self, project: Project, choose: Choose, hook: Receiver, letters: Mailbox
    ) -> None:
        choose(webhook=hook.url)
        happen("snapshot.completed", project)
        assert tell() == []


def test_no_secret_is_in_the_log_or_the_audit_log(
    project: Project, choose: Choose, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = choose(webhook=hook.url, heartbeat=f"{hook.url}/beat")
    choose(webhook=f"{hook.url}/other", heartbeat=f"{hook.url}/beat")
    happen("snapshot.failed", project, reason=REASON)
    happen("snapshot.completed", project)
    tell()
    hook.answers = [500]
    happen("snapshot.failed", project, reason=REASON)
    tell()
    written = caplog.text + json.dumps(list(AuditEvent.objects.values_list("details", flat=True)))
    assert "127.0.0.1" in written
    assert "T0PSECRET" not in written
    assert secret not in written
    row = NotificationSettings.objects.get()
    stored = (row.sealed_webhook_url, row.sealed_heartbeat_url, row.sealed_webhook_secret)
    for sealed in stored:
        assert sealed
        assert b"T0PSECRET" not in bytes(sealed)
        assert secret.encode() not in bytes(sealed)


def test_old_ones_are_forgotten(project: Project, choose: Choose, hook: Receiver) -> None:
    choose(webhook=hook.url)
    happen("snapshot.failed", project, reason=REASON)
    tell()
    assert forget_deliveries(timezone.now() + timedelta(days=29)) == 0
    assert forget_deliveries(timezone.now() + timedelta(days=31)) == 1


class TestConstraints:
    def make(self, project: Project, **fields: Any) -> Delivery:
        values = {"event_id": 1, "kind": "failed", "channel": "webhook", **fields}
        return Delivery.objects.create(project=project, **values)

    def test_an_event_twice_over_a_channel(self, project: Project) -> None:
        self.make(project)
        with transaction.atomic(), pytest.raises(IntegrityError, match="delivery_once_per_event"):
            self.make(project)
        self.make(project, channel="heartbeat")

    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"channel": "email"}, "delivery_email_has_account"),
            ({"state": "failed", "finished_at": timezone.now()}, "delivery_failed_has_reason"),
            ({"state": "sent"}, "delivery_ended_has_moment"),
        ],
    )
    def test_what_a_delivery_cannot_be(
        self, project: Project, fields: dict[str, Any], name: str
    ) -> None:
        with pytest.raises(IntegrityError, match=name):
            self.make(project, **fields)

    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"reminder_days": 0}, "notification_reminder_1_to_365"),
            ({"sealed_webhook_url": b"x"}, "notification_webhook_has_secret"),
        ],
    )
    def test_what_settings_cannot_be(
        self, project: Project, fields: dict[str, Any], name: str
    ) -> None:
        with pytest.raises(IntegrityError, match=name):
            NotificationSettings.objects.create(project=project, **fields)

    def test_a_second_cursor(self) -> None:
        with pytest.raises(IntegrityError, match="notification_one_cursor"):
            Cursor.objects.create(pk=2)
