"""Pages say so when no worker lives, and when the queue is gone."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.lib import pulse
from tests import factories

pytestmark = pytest.mark.django_db
OFFLINE = "The workers are offline"
NO_QUEUE = "The queue does not answer"


@pytest.fixture
def page(client: Client, settings: Settings) -> Iterator[Client]:
    settings.WORKERS_SILENT_AFTER = timedelta(minutes=2)
    client.force_login(factories.make_account())
    pulse._redis().delete(pulse.KEY)
    pulse.seen.at = pulse.NEVER
    yield client
    pulse.seen.at = pulse.NEVER
    pulse._redis().delete(pulse.KEY)


def test_a_worker_that_lives_is_no_news(page: Client) -> None:
    pulse.note_life()
    shown = page.get("/").content.decode()
    assert OFFLINE not in shown
    assert NO_QUEUE not in shown


def test_silence_is_said_and_ends_by_itself(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    pulse.note_life()
    later = timezone.now() + timedelta(minutes=3)
    with monkeypatch.context() as patch:
        patch.setattr(pulse.timezone, "now", lambda: later)
        assert pulse.trouble() == "silent"
        pulse.note_life()
        assert pulse.trouble() == ""
    pulse._redis().set(pulse.KEY, (timezone.now() - timedelta(hours=1)).isoformat())
    assert OFFLINE in page.get("/").content.decode()


def test_redis_is_asked_no_more_often_than_workers_write(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulse.note_life()
    assert pulse.trouble() == ""
    pulse._redis().set(pulse.KEY, (timezone.now() - timedelta(hours=1)).isoformat())
    assert pulse.trouble() == ""
    soon = timezone.now() + timedelta(seconds=pulse.EVERY_SECONDS)
    monkeypatch.setattr(pulse.timezone, "now", lambda: soon)
    assert pulse.trouble() == "silent"


def test_just_started_nobody_is_missed_yet(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "STARTED", pulse.time.monotonic() - 60)
    assert pulse.trouble() == ""
    monkeypatch.setattr(pulse, "STARTED", pulse.time.monotonic() - 180)
    assert pulse.trouble() == "silent"


def test_without_redis_the_pages_are_still_read(page: Client, settings: Settings) -> None:
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    pulse._redis.cache_clear()
    try:
        answer = page.get("/")
        assert answer.status_code == 200
        assert NO_QUEUE in answer.content.decode()
        pulse.note_life()
    finally:
        settings.REDIS_URL = url
        pulse._redis.cache_clear()
