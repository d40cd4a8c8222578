"""Pages report when no worker is alive, when the schedule stops, and when the queue is gone."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.lib import liveness
from backups_portal.lib.limits import Limit
from backups_portal.lib.redis_client import redis_client
from tests import factories

pytestmark = pytest.mark.django_db
OFFLINE = "The workers are offline"
NO_SCHEDULE = "The schedule is not running"
NO_QUEUE = "The queue is not responding"
KEYS = [liveness._key(sign) for sign in liveness.PROCESSES]


def all_live() -> None:
    liveness.note_process(*liveness.PROCESSES)


@pytest.fixture
def page(client: Client, settings: Settings) -> Iterator[Client]:
    settings.WORKERS_SILENT_AFTER = timedelta(minutes=2)
    client.force_login(factories.make_account())
    signs = redis_client()
    signs.delete(*KEYS)
    liveness.seen.at = liveness.NEVER
    yield client
    liveness.seen.at = liveness.NEVER
    signs.delete(*KEYS)


def test_a_worker_that_lives_is_no_news(page: Client) -> None:
    all_live()
    shown = page.get("/").content.decode()
    assert OFFLINE not in shown
    assert NO_SCHEDULE not in shown
    assert NO_QUEUE not in shown


def test_silence_is_said_and_ends_by_itself(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    all_live()
    later = timezone.now() + timedelta(minutes=3)
    with monkeypatch.context() as patch:
        patch.setattr(liveness.timezone, "now", lambda: later)
        assert liveness.trouble() == "silent"
        all_live()
        assert liveness.trouble() == ""
    redis_client().set(liveness.KEY, (timezone.now() - timedelta(hours=1)).isoformat())
    assert OFFLINE in page.get("/").content.decode()


@pytest.mark.parametrize("lost", [liveness.SYSTEM, liveness.BEAT])
def test_a_lost_schedule_is_not_called_a_lost_worker(page: Client, lost: str) -> None:
    all_live()
    long_ago = (timezone.now() - timedelta(hours=1)).isoformat()
    redis_client().set(liveness._key(lost), long_ago)
    shown = page.get("/").content.decode()
    assert NO_SCHEDULE in shown
    assert OFFLINE not in shown


def test_a_process_touches_its_file(page: Client, settings: Settings, tmp_path: Path) -> None:
    settings.LIVENESS_PATH = str(tmp_path / "alive")
    # The process is alive even without Redis.
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    liveness.note_process(liveness.SYSTEM)
    assert (tmp_path / "alive").exists()


def test_a_process_whose_file_cannot_be_touched_goes_on(
    page: Client, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LIVENESS_PATH = str(tmp_path / "gone" / "alive")
    liveness.note_process(liveness.SYSTEM)
    assert liveness.last_sign(liveness.SYSTEM) is not None
    assert "gone/alive cannot be touched: No such file or directory" in caplog.text


def test_redis_is_asked_no_more_often_than_workers_write(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_live()
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
    all_live()


def test_a_redis_that_is_away_is_a_line_without_a_traceback(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Each process logs it every 20 seconds, and each page once."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    liveness.note_process(*liveness.PROCESSES)
    liveness.forget(liveness.BEAT)
    assert liveness.claim(liveness.BEAT, timedelta(minutes=1))
    liveness.seen.at = liveness.NEVER
    assert liveness.trouble() == "queue"
    Limit(str(uuid4()), tries=1, seconds=60).take("ada")
    assert len(caplog.records) == 7
    assert {one.exc_info for one in caplog.records} == {None}
    assert all("Connection refused" in one.message for one in caplog.records)
