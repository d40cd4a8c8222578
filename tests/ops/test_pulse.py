"""Pages say so when no worker lives, and when the queue is gone."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.lib import liveness
from backups_portal.lib.redis_client import redis_client
from tests import factories

pytestmark = pytest.mark.django_db
OFFLINE = "The workers are offline"
NO_QUEUE = "The queue is not responding"


@pytest.fixture
def page(client: Client, settings: Settings) -> Iterator[Client]:
    settings.WORKERS_SILENT_AFTER = timedelta(minutes=2)
    client.force_login(factories.make_account())
    signs = redis_client()
    signs.delete(liveness.KEY)
    liveness.seen.at = liveness.NEVER
    yield client
    liveness.seen.at = liveness.NEVER
    signs.delete(liveness.KEY)


def test_a_worker_that_lives_is_no_news(page: Client) -> None:
    liveness.note_life()
    shown = page.get("/").content.decode()
    assert OFFLINE not in shown
    assert NO_QUEUE not in shown


def test_silence_is_said_and_ends_by_itself(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    liveness.note_life()
    later = timezone.now() + timedelta(minutes=3)
    with monkeypatch.context() as patch:
        patch.setattr(liveness.timezone, "now", lambda: later)
        assert liveness.trouble() == "silent"
        liveness.note_life()
        assert liveness.trouble() == ""
    redis_client().set(liveness.KEY, (timezone.now() - timedelta(hours=1)).isoformat())
    assert OFFLINE in page.get("/").content.decode()


def test_redis_is_asked_no_more_often_than_workers_write(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    liveness.note_life()
    assert liveness.trouble() == ""
    redis_client().set(liveness.KEY, (timezone.now() - timedelta(hours=1)).isoformat())
    assert liveness.trouble() == ""
    soon = timezone.now() + timedelta(seconds=liveness.EVERY_SECONDS)
    monkeypatch.setattr(liveness.timezone, "now", lambda: soon)
    assert liveness.trouble() == "silent"


def test_just_started_nobody_is_missed_yet(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "STARTED", liveness.time.monotonic() - 60)
    assert liveness.trouble() == ""
    monkeypatch.setattr(liveness, "STARTED", liveness.time.monotonic() - 180)
    assert liveness.trouble() == "silent"


def test_without_redis_the_pages_are_still_read(page: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = page.get("/")
    assert answer.status_code == 200
    assert NO_QUEUE in answer.content.decode()
    liveness.note_life()
