"""An unresponsive receiver delays no other message."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.core.mail import send_mail
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.accounts.password_reset import send_link
from backups_portal.lib import circuit_breaker
from backups_portal.lib.redis_client import redis_client
from backups_portal.notifications import webhook_request
from backups_portal.notifications.delivery import deliver
from backups_portal.notifications.models import Delivery
from backups_portal.notifications.notification_settings import Choice, change_notifications
from backups_portal.projects.models import Project
from tests import factories
from tests.notifications.conftest import DEFAULTS, Choose, happen, tell
from tests.notifications.receivers import Mailbox, Receiver

pytestmark = pytest.mark.django_db
State = Delivery.State
MESSAGES = 5
SILENT = str(circuit_breaker.SilentError())


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Use timeouts too short for a busy machine; tests that expect an answer are `patient`."""
    monkeypatch.setattr(webhook_request, "SECONDS", 0.2)
    monkeypatch.setattr(circuit_breaker, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(circuit_breaker, "KEY", f"test:{timezone.now()}")
    settings.EMAIL_TIMEOUT = 0.2
    settings.NOTIFICATION_RETRY_MINUTES = [1, 19]


def fail(project: Project, times: int = 1) -> None:
    for _ in range(times):
        happen("snapshot.failed", project, reason="The main database did not answer.")


def test_one_message_waits_for_it_and_the_others_are_sent_later(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    choose(webhook=hook.url)
    hook.hang = 30
    fail(project, MESSAGES)
    first, *others = tell()
    assert len(hook.asked) <= 1
    assert first.reason == "There was no answer within 0.2 seconds."
    for delivery in others:
        assert (delivery.state, delivery.reason) == (State.QUEUED, SILENT)
        assert delivery.retry_at is not None
        assert delivery.retry_at > timezone.now() + circuit_breaker.PAUSE - timedelta(seconds=5)


class TestOneThatWaits:
    @pytest.fixture
    def waiting(self, project: Project, choose: Choose, hook: Receiver) -> Delivery:
        """An unsent message, paused because an earlier one timed out."""
        choose(webhook=hook.url)
        hook.hang = 30
        fail(project, 2)
        tried, waiting = tell()
        assert (tried.attempts, waiting.reason) == (1, SILENT)
        Delivery.objects.filter(pk=tried.pk).delete()
        return waiting

    def again(self, waiting: Delivery) -> Delivery:
        Delivery.objects.update(retry_at=timezone.now(), lease_until=timezone.now())
        deliver(waiting.pk)
        return Delivery.objects.get()

    def test_has_used_up_no_attempt(self, waiting: Delivery) -> None:
        for _ in range(3):
            waiting = self.again(waiting)
        assert (waiting.state, waiting.attempts) == (State.QUEUED, 0)
        assert waiting.retry_at is not None
        assert waiting.retry_at < timezone.now() + circuit_breaker.PAUSE

    def test_does_so_once_all_attempts_would_be_over(self, waiting: Delivery) -> None:
        Delivery.objects.update(created_at=timezone.now() - timedelta(minutes=21))
        waiting = self.again(waiting)
        assert (waiting.state, waiting.attempts) == (State.QUEUED, 1)
        assert self.again(waiting).state == State.QUEUED
        assert self.again(waiting).state == State.FAILED


class TestWithoutFurtherAttempts:
    @pytest.fixture
    def waiting(self, project: Project, choose: Choose, hook: Receiver, settings: Any) -> Delivery:
        """An unsent message, paused because an earlier one timed out and has failed."""
        settings.NOTIFICATION_RETRY_MINUTES = []
        choose(webhook=hook.url)
        hook.hang = 30
        fail(project, 2)
        tried, waiting = tell()
        assert (tried.state, waiting.state) == (State.FAILED, State.QUEUED)
        Delivery.objects.filter(pk=tried.pk).delete()
        return waiting

    def again(self, waiting: Delivery) -> Delivery:
        """End the pause."""
        for key in redis_client().scan_iter(f"{circuit_breaker.KEY}:*:turn"):
            redis_client().delete(key)
        Delivery.objects.update(retry_at=timezone.now(), lease_until=timezone.now())
        deliver(waiting.pk)
        return Delivery.objects.get()

    def test_it_is_sent_when_the_pause_ends(
        self, waiting: Delivery, hook: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hook.hang = 0
        monkeypatch.setattr(webhook_request, "SECONDS", 10.0)
        assert self.again(waiting).state == State.SENT

    def test_or_it_has_failed_as_the_receiver_did(self, waiting: Delivery) -> None:
        waiting = self.again(waiting)
        assert waiting.state == State.FAILED
        assert waiting.reason == "There was no answer within 0.2 seconds."


def test_a_webhook_that_stays_silent_is_tried_less_and_less(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    """However many projects send there, they occupy few workers."""
    choose(webhook=hook.url)
    hook.hang = 30
    fail(project)
    tell()
    pauses = []
    for _ in range(6):
        (turn,) = redis_client().scan_iter(f"{circuit_breaker.KEY}:*:turn")
        pauses.append(round(redis_client().ttl(turn) / 60))
        redis_client().delete(turn)
        Delivery.objects.update(state=State.QUEUED, attempts=0, lease_until=None, retry_at=None)
        deliver(Delivery.objects.get().pk)
    assert pauses == [1, 2, 4, 8, 8, 8]
    assert webhook_request.MAX_PAUSE < circuit_breaker.FORGOTTEN_AFTER


def test_those_of_another_project_are_sent_to_the_same_host_meanwhile(
    project: Project,
    owner: Account,
    choose: Choose,
    hook: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose(webhook=hook.url)
    hook.hang = 30
    fail(project)
    tell()
    hook.hang = 0
    monkeypatch.setattr(webhook_request, "SECONDS", 10.0)
    other = factories.make_project_row(owner=owner)
    change_notifications(
        project=other, actor=owner, choice=Choice(**{**DEFAULTS, "webhook": hook.url})
    )
    fail(project)
    fail(other)
    here, there = tell()
    assert (here.reason, there.state) == (SILENT, State.SENT)


@pytest.fixture
def silence() -> Iterator[socket.socket]:
    """A mail server that accepts connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_silent_webhook_stops_no_mail(
    project: Project,
    choose: Choose,
    letters: Mailbox,
    settings: Any,
    silence: socket.socket,
) -> None:
    """Its address may be that of the mail server."""
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    settings.EMAIL_PORT = silence.getsockname()[1]
    choose(webhook=f"http://127.0.0.1:{settings.EMAIL_PORT}/", by_email=False)
    fail(project)
    (waiting,) = tell()
    assert waiting.reason == "There was no answer within 0.2 seconds."
    choose(by_email=True)
    fail(project)
    (letter,) = tell()
    assert letter.reason == "The mail server refused it."


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Every answer comes in time, though it takes longer than `PATIENCE_SECONDS`."""
    monkeypatch.setattr(webhook_request, "SECONDS", 10.0)
    settings.EMAIL_TIMEOUT = 10.0


@pytest.mark.usefixtures("patient")
def test_one_that_refuses_is_asked_each_time(
    project: Project, choose: Choose, hook: Receiver
) -> None:
    choose(webhook=hook.url)
    hook.answers = [500]
    fail(project, MESSAGES)
    tell()
    assert len(hook.asked) == MESSAGES


@pytest.mark.usefixtures("patient")
def test_a_mail_server_that_refuses_somebody_is_asked_for_the_next(letters: Mailbox) -> None:
    letters.unknown = "nobody@example.com"
    with pytest.raises(SMTPRecipientsRefused):
        send_mail("Hello", "", None, [letters.unknown])
    send_mail("Hello", "", None, ["ada@example.com"])
    assert len(letters.messages) == 1


def test_a_mail_server_that_says_nothing(
    project: Project, letters: Mailbox, settings: Any, silence: socket.socket
) -> None:
    settings.EMAIL_PORT = silence.getsockname()[1]
    fail(project, MESSAGES)
    first, *others = tell()
    assert first.reason == "The mail server refused it."
    assert {delivery.reason for delivery in others} == {SILENT}


def test_links_for_new_passwords_do_not_wait_for_it_in_turn(
    owner: Account, letters: Mailbox, settings: Any, silence: socket.socket
) -> None:
    """They are sent by the worker that also runs the minute's tick."""
    settings.EMAIL_PORT = silence.getsockname()[1]
    with pytest.raises(OSError, match="timed out"):
        send_link(owner.email)
    with pytest.raises(circuit_breaker.SilentError):
        send_link(owner.email)
