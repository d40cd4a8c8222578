"""Backups that failed while a server or the storage was away are taken once it is back."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.exceptions import ConnectionError as RedisAwayError

from backups_portal.audit.models import AuditEvent
from backups_portal.lib import liveness
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.redis_client import redis_client
from backups_portal.ops import storage_state
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.run.recovered_outages import queue_after_outages
from snapshots.schedule.schedule_tick import heal
from snapshots.storages.storage_signs import back_sign, copies_sign, storage_sign
from snapshots.tasks import run_schedule, take_snapshot
from tests.at_once import at_once
from tests.factories import make_project_row, make_snapshot

pytestmark = pytest.mark.django_db
# A fixed time keeps the tests independent of the hour.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
State = Snapshot.State


@pytest.fixture(autouse=True)
def _signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "KEY", f"test:{uuid4()}")


def failed(cause: Cause, pk: UUID | None = None, **fields: Any) -> Snapshot:
    """Make a new project's snapshot, which failed finally two hours before noon."""
    project = make_project_row(pk=pk or uuid4())
    return make_snapshot(
        project, taken_at=NOON - 2 * HOUR, state="failed", cause=cause, failures=3, **fields
    )


def server_back(at: datetime = NOON - HOUR) -> None:
    AuditEvent.objects.create(action="server.back", subject="factory", at=at)


def storage_back(monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    """Record a failed probe of a storage, then a successful one an hour before noon."""
    monkeypatch.setattr(liveness.timezone, "now", lambda: NOON - HOUR)
    for works in (False, True):
        storage_state.probe(sign, lambda works=works: works)  # type: ignore[misc]


def test_a_server_that_is_back_has_its_backups_queued_once() -> None:
    snapshot = failed(Cause.DATABASE_UNREACHABLE)
    assert queue_after_outages(NOON) == []
    server_back()
    assert queue_after_outages(NOON) == [snapshot.pk]
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.failures, snapshot.cause) == (State.QUEUED, 0, "")
    assert (snapshot.reason, snapshot.finished_at, snapshot.retry_at) == ("", None, NOON)
    # Pages, evidence and the API say for when it was planned.
    assert snapshot.scheduled_for == NOON - 2 * HOUR
    assert queue_after_outages(NOON) == []
    # A failure that began after the outage has another reason.
    Snapshot.objects.update(
        state=State.FAILED,
        reason="x",
        cause=Cause.DATABASE_UNREACHABLE,
        started_at=NOON,
        finished_at=NOON,
    )
    assert queue_after_outages(NOON + HOUR) == []


def test_after_an_outage_backups_are_spread_as_on_any_day(settings: Any) -> None:
    settings.SNAPSHOT_SPREAD = timedelta(minutes=30)
    ids = [UUID(int=1800 * number + second) for number, second in enumerate([0, 0, 900, 1799], 1)]
    snapshots = [failed(Cause.DATABASE_UNREACHABLE, pk=pk) for pk in ids]
    server_back()
    assert {*queue_after_outages(NOON)} == {row.pk for row in snapshots[:2]}
    turns = Snapshot.objects.order_by("project_id").values_list("retry_at", flat=True)
    assert [at - NOON for at in turns if at] == [timedelta(seconds=pk.int % 1800) for pk in ids]
    # Those sent at once are sent again, too: no worker took them.
    sent = {row.pk for row in snapshots[:2]}
    assert {*heal(NOON + timedelta(minutes=14))} == sent
    assert {*heal(NOON + timedelta(minutes=16))} - sent == {snapshots[2].pk}


def test_an_attempt_that_began_in_an_outage_may_fail_after_it() -> None:
    """Calls to a storage or server that is away hang for minutes before they fail."""
    snapshot = failed(Cause.DATABASE_UNREACHABLE)
    Snapshot.objects.update(finished_at=NOON - HOUR / 2)
    server_back()
    assert queue_after_outages(NOON) == [snapshot.pk]


def test_a_storage_that_is_back_has_its_backups_queued(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = "file:///copies"
    snapshot = failed(Cause.STORAGE)
    storage_back(monkeypatch, copies_sign())
    assert queue_after_outages(NOON) == []
    storage_back(monkeypatch, storage_sign())
    assert queue_after_outages(NOON) == [snapshot.pk]


@pytest.mark.parametrize(
    ("minutes", "is_queued"),
    # The only probe that is known comes after the failure: Redis was emptied, or beat was down.
    [((60,), True), ((-70, 60), True), ((-2, 2), False)],
)
def test_a_storage_that_works_is_back_unless_it_was_known_to_work(
    monkeypatch: pytest.MonkeyPatch, minutes: tuple[int, ...], is_queued: bool
) -> None:
    snapshot = failed(Cause.STORAGE)
    for after in minutes:
        now = NOON - 2 * HOUR + timedelta(minutes=after)
        monkeypatch.setattr(liveness.timezone, "now", lambda now=now: now)
        storage_state.probe(storage_sign(), lambda: True)
    assert queue_after_outages(NOON) == ([snapshot.pk] if is_queued else [])


def test_beats_in_step_take_no_probe_for_an_outage() -> None:
    sign = storage_sign()
    storage_state.probe(sign, lambda: True)
    first = liveness.last_sign(back_sign(sign))
    probes = []

    def works() -> bool:
        probes.append("begun")
        if len(probes) == 1:
            storage_state.probe(sign, works)
        return True

    storage_state.probe(sign, works)
    assert liveness.last_sign(back_sign(sign)) == first
    # The next one is not kept from probing.
    storage_state.probe(sign, works)
    assert len(probes) == 2


def test_a_probe_that_was_killed_keeps_the_next_ones_for_less_than_a_minute() -> None:
    assert liveness.claim("probe", storage_state.PROBE_COUNTS_FOR)
    assert not liveness.claim("probe", storage_state.PROBE_COUNTS_FOR)
    assert 50 < redis_client().ttl(f"{liveness.KEY}:probe") < 60  # type: ignore[operator]


def test_each_waits_for_what_it_lacked(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, read = failed(Cause.STORAGE), failed(Cause.DATABASE_UNREACHABLE)
    # Its server was back before it failed.
    server_back(NOON - 3 * HOUR)
    storage_back(monkeypatch, storage_sign())
    sent: list[str] = []
    monkeypatch.setattr(take_snapshot, "apply_async", lambda ids, **_: sent.extend(ids))
    assert run_schedule(NOON).queued == [stored.pk]
    assert sent == [str(stored.pk)]
    read.refresh_from_db()
    assert read.state == State.FAILED


def unchanged(snapshot: Snapshot) -> None:
    pass


def shut_down(snapshot: Snapshot) -> None:
    Project.objects.update(state=Project.State.SHUT_DOWN)


def next_run(snapshot: Snapshot) -> None:
    """If the date has changed by then, that day's backup is due or taken."""
    MainDatabase.objects.update(backup_time=time(1), backup_time_zone="Pacific/Kiritimati")


@pytest.mark.parametrize(
    ("cause", "change"),
    [
        (Cause.STORAGE, unchanged),
        (Cause.UNEXPECTED, unchanged),
        (Cause.DATABASE_UNREACHABLE, shut_down),
        (Cause.DATABASE_UNREACHABLE, next_run),
    ],
)
def test_nothing_else_is_queued(cause: Cause, change: Callable[[Snapshot], None]) -> None:
    snapshot = failed(cause)
    change(snapshot)
    server_back()
    assert queue_after_outages(NOON) == []


def test_without_redis_servers_count_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = failed(Cause.DATABASE_UNREACHABLE)
    server_back()

    def away(*_: object) -> None:
        raise RedisAwayError

    monkeypatch.setattr(liveness, "last_signs", away)
    assert queue_after_outages(NOON) == [snapshot.pk]


@pytest.mark.django_db(transaction=True)
def test_ticks_at_once_queue_each_snapshot_once() -> None:
    wanted = {failed(Cause.DATABASE_UNREACHABLE).pk for _ in range(20)}
    server_back()
    queued: list[UUID] = []
    at_once(*[lambda: queued.extend(queue_after_outages(NOON))] * 4)
    # The next minute finds what one tick had locked while another looked.
    queued += queue_after_outages(NOON)
    assert (len(queued), set(queued)) == (len(wanted), wanted)


@pytest.mark.parametrize(
    ("hour", "is_queued"),
    # 23:00 is to come, so that the newest run is that of the day before; 01:00 was today's.
    [(23, True), (1, False)],
)
def test_an_outage_over_midnight_is_made_up_for_until_the_next_run(
    hour: int, is_queued: bool
) -> None:
    yesterday = (NOON - 24 * HOUR).date()
    snapshot = failed(Cause.DATABASE_UNREACHABLE, local_date=yesterday)
    MainDatabase.objects.update(backup_time=time(hour), backup_time_zone="UTC")
    server_back()
    assert queue_after_outages(NOON) == ([snapshot.pk] if is_queued else [])
    snapshot.refresh_from_db()
    assert snapshot.local_date == yesterday


def test_an_outage_beyond_the_next_run_locks_nothing(
    django_assert_max_num_queries: Any,
) -> None:
    """The tick looks for it once a minute for a day."""
    for _ in range(3):
        next_run(failed(Cause.DATABASE_UNREACHABLE))
    server_back()
    with django_assert_max_num_queries(6) as asked:
        assert queue_after_outages(NOON) == []
    assert not [one["sql"] for one in asked if "FOR UPDATE" in one["sql"]]
