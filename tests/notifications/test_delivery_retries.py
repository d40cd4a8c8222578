"""Failed deliveries are retried while that may help, and the reason is kept."""

from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from backups_portal.lib.mail_backend import NOT_ACCEPTED
from backups_portal.notifications.delivery import MAX_ATTEMPTS, deliver, send_again
from backups_portal.notifications.message_queue import plan_deliveries
from backups_portal.notifications.models import Delivery
from backups_portal.projects.models import Project
from tests.notifications.conftest import Choose, happen, tell
from tests.notifications.receivers import Mailbox, Receiver

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_second_try")]
State = Delivery.State
REASON = "The main database did not answer."


class TestAgain:
    @pytest.fixture(autouse=True)
    def _waits(self, no_second_try: None, settings: Any) -> None:
        settings.NOTIFICATION_RETRY_MINUTES = [1, 30]

    def again(self, delivery: Delivery) -> Delivery:
        """Make the retry due, and run it."""
        Delivery.objects.update(retry_at=timezone.now(), lease_until=timezone.now())
        assert send_again(timezone.now() + timedelta(seconds=1)) == [delivery.pk]
        deliver(delivery.pk)
        delivery.refresh_from_db()
        return delivery

    def test_first_500_then_200(self, project: Project, choose: Choose, hook: Receiver) -> None:
        secret = choose(webhook=hook.url)
        hook.answers = [500, 200]
        happen("snapshot.failed", project, reason=REASON)
        (delivery,) = tell()
        assert (delivery.state, delivery.reason) == (State.QUEUED, "It answered 500.")
        assert delivery.retry_at is not None
        wait = delivery.retry_at - timezone.now()
        assert timedelta(seconds=50) < wait <= timedelta(minutes=1)
        deliver(delivery.pk)
        assert len(hook.asked) == 1, "not before its time"

        assert self.again(delivery).state == State.SENT
        assert delivery.reason == ""
        first, second = hook.asked
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body
        assert Webhook(secret).verify(second.body, second.headers)
        assert send_again(timezone.now() + timedelta(days=1)) == []

    def test_a_wait_of_days_is_no_clock_that_ran_ahead(
        self, project: Project, choose: Choose, hook: Receiver, settings: Any
    ) -> None:
        settings.NOTIFICATION_RETRY_MINUTES = [3 * 24 * 60]
        choose(webhook=hook.url)
        hook.answers = [503, 200]
        happen("snapshot.failed", project, reason=REASON)
        (delivery,) = tell()
        assert send_again(timezone.now() + timedelta(hours=1)) == []
        deliver(delivery.pk)
        assert len(hook.asked) == 1
        assert send_again(timezone.now() + timedelta(days=3, minutes=1)) == [delivery.pk]

    def test_after_all_tries_it_failed(
        self, project: Project, choose: Choose, hook: Receiver
    ) -> None:
        choose(webhook=hook.url)
        hook.answers = [503]
        happen("snapshot.failed", project, reason=REASON)
        (delivery,) = tell()
        self.again(delivery)
        assert self.again(delivery).state == State.FAILED
        assert (delivery.reason, delivery.attempts) == ("It answered 503.", 3)
        assert send_again(timezone.now() + timedelta(days=1)) == []

    @pytest.mark.parametrize(
        ("answer", "retry_after", "minutes"),
        [
            (503, "600", 10),
            (429, "600", 10),
            (503, lambda now: format_datetime(now + timedelta(minutes=10), usegmt=True), 10),
            # Retry-After never makes it sooner than the default, nor later than the last retry.
            (503, "1", 1),
            (503, "Sun, 06 Nov 1994 08:49:37 GMT", 1),
            (429, "999999999", 31),
            (429, "Fri, 31 Dec 9999 23:59:59 GMT", 31),
            (500, "600", 1),
            (503, "9" * 30, 1),
            (503, "soon", 1),
            (503, f"Fri, 31 Dec {'9' * 20} 23:59:59 GMT", 1),
            (503, "-5", 1),
        ],
    )
    def test_a_receiver_says_when(
        self,
        project: Project,
        choose: Choose,
        hook: Receiver,
        answer: int,
        retry_after: str | Callable[[datetime], str],
        minutes: int,
    ) -> None:
        choose(webhook=hook.url)
        now = timezone.now()
        said = retry_after if isinstance(retry_after, str) else retry_after(now)
        hook.answers, hook.retry_after = [answer], said
        happen("snapshot.failed", project, reason=REASON)
        (delivery,) = tell()
        assert delivery.retry_at is not None
        wait = (delivery.retry_at - now) / timedelta(minutes=1)
        assert wait == pytest.approx(minutes, abs=0.2)
        # The retries end after this many.
        self.again(delivery)
        assert self.again(delivery).state == State.FAILED

    def test_one_that_ends_its_worker_each_time_is_given_up(
        self, project: Project, choose: Choose, hook: Receiver
    ) -> None:
        """It may have been sent each time, if the portal's database refused the result."""
        choose(webhook=hook.url)
        happen("snapshot.failed", project, reason=REASON)
        (delivery_id,) = plan_deliveries(timezone.now())
        lost = {"state": State.RUNNING, "lease": uuid4(), "lease_until": timezone.now()}
        Delivery.objects.update(**lost, attempts=MAX_ATTEMPTS + 2)
        deliver(delivery_id)
        delivery = Delivery.objects.get()
        assert (delivery.state, hook.asked) == (State.FAILED, [])
        assert "It may have arrived." in delivery.reason

    def test_a_mail_server_that_is_busy(
        self, project: Project, choose: Choose, letters: Mailbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        letters.refuses = True
        happen("snapshot.failed", project, reason=REASON)
        (delivery,) = tell()
        assert delivery.state == State.QUEUED
        assert "mail server" in delivery.reason
        # The manual names this line.
        assert NOT_ACCEPTED in caplog.text
        letters.refuses = False
        assert self.again(delivery).state == State.SENT
        (letter,) = letters.messages
        assert letter["Message-ID"] == f"<{delivery.pk}@localhost>"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(302, "It answered 302: redirects are not followed."), (404, "It answered 404.")],
)
def test_other_answers_are_no_arrival(
    project: Project, choose: Choose, hook: Receiver, answer: int, reason: str
) -> None:
    choose(webhook=hook.url)
    hook.answers, hook.location = [answer], f"{hook.url}/elsewhere"
    happen("snapshot.failed", project, reason=REASON)
    (delivery,) = tell()
    assert (delivery.state, delivery.reason) == (State.FAILED, reason)
    assert len(hook.asked) == 1


def test_who_hangs_is_left(
    project: Project, choose: Choose, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backups_portal.notifications.webhook_request.SECONDS", 1.0)
    choose(webhook=hook.url)
    hook.hang = 30
    happen("snapshot.failed", project, reason=REASON)
    (delivery,) = tell()
    assert delivery.reason == "There was no answer within 1 seconds."


def test_the_portals_own_network_is_not_asked(
    project: Project, choose: Choose, hook: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    choose(webhook=hook.url, heartbeat=hook.url)
    happen("snapshot.failed", project, reason=REASON)
    happen("snapshot.completed", project)
    reasons = {delivery.reason for delivery in tell()}
    assert reasons == {"Its host is in a private network, which is not allowed."}
    assert hook.asked == []
