"""Figures for Prometheus, all out of the control database and Redis: any web process has the same.

Rates are of the last day, so that a scrape needs no memory of its own.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from redis.exceptions import RedisError

from backups_portal.lib import pulse
from backups_portal.lib.causes import Cause
from backups_portal.ops import rounds
from backups_portal.projects.models import DatabaseServer, Project
from snapshots.models import Snapshot
from snapshots.storages import has_copies

DAY = timedelta(days=1)
TIME_TO_COPY = timedelta(hours=3)
# For whom nobody is waiting: the age of everything there is.
NEVER = float("inf")

PROJECTS = "SELECT state, count(*) FROM projects_project GROUP BY state"
# The newest of each project, by the index of stored snapshots; of those that are removed for good
# there are none.
NEWEST = """
SELECT p.state,
       extract(epoch FROM %s - min(newest.taken_at)), extract(epoch FROM %s - min(proven.taken_at)),
       count(*) FILTER (WHERE newest.taken_at IS NULL OR newest.taken_at < %s - interval '26 hours')
FROM projects_project p
LEFT JOIN LATERAL (
    SELECT taken_at FROM snapshots_snapshot s WHERE s.project_id = p.id AND state = 'completed'
        AND verdict <> 'failed' ORDER BY taken_at DESC LIMIT 1) newest ON true
LEFT JOIN LATERAL (
    SELECT taken_at FROM snapshots_snapshot s WHERE s.project_id = p.id AND state = 'completed'
        AND verdict = 'passed' ORDER BY taken_at DESC LIMIT 1) proven ON true
WHERE p.state IN ('active', 'shut_down') AND p.created_at < %s - interval '26 hours'
GROUP BY p.state
"""
WITH_BACKUPS = (Project.State.ACTIVE, Project.State.SHUT_DOWN)
SNAPSHOTS = """
SELECT state, count(*), coalesce(sum(new_bytes), 0), coalesce(sum(rows), 0),
       coalesce(avg(extract(epoch FROM finished_at - started_at)), 0),
       coalesce(max(extract(epoch FROM finished_at - started_at)), 0)
FROM snapshots_snapshot WHERE scheduled_for > %s GROUP BY state
"""
WORK = """
SELECT kind, state, count(*), coalesce(max(extract(epoch FROM %s - since)), 0) FROM (
    SELECT 'snapshot' AS kind, state, scheduled_for AS since FROM snapshots_snapshot
        WHERE state IN ('queued', 'running')
    UNION ALL SELECT 'restore', state, created_at FROM restores_restore
        WHERE state IN ('queued', 'running')
    UNION ALL SELECT 'proof', state, created_at FROM restores_proof
        WHERE state IN ('queued', 'running')) work
GROUP BY kind, state
"""
# Some time is left for copying, and for the retries of it.
COPIES = """
SELECT count(*) FILTER (WHERE c.state IS DISTINCT FROM 'copied' AND s.finished_at < %s),
       count(*) FILTER (WHERE c.needed_at IS NOT NULL)
FROM snapshots_snapshot s LEFT JOIN snapshots_snapshotcopy c ON c.snapshot_id = s.id
WHERE s.state = 'completed' AND s.verdict <> 'failed'
"""
BUILDS = """
SELECT 'restore', state, count(*) FROM restores_restore WHERE finished_at > %s GROUP BY state
UNION ALL
SELECT 'proof', state, count(*) FROM restores_proof WHERE finished_at > %s GROUP BY state
"""
# What has failed, by the indexes of failures; and what waits for its next try, or is at it, by
# those of what is unfinished.
FAILURES = """
SELECT kind, cause, count(*) FROM (
    SELECT 'snapshot' AS kind, cause FROM snapshots_snapshot
        WHERE state = 'failed' AND finished_at > %(since)s
    UNION ALL SELECT 'snapshot', cause FROM snapshots_snapshot
        WHERE state IN ('queued', 'running') AND cause <> ''
    UNION ALL SELECT 'copy', cause FROM snapshots_snapshotcopy
        WHERE state = 'failed' AND finished_at > %(since)s
    UNION ALL SELECT 'copy', cause FROM snapshots_snapshotcopy
        WHERE state IN ('queued', 'running') AND cause <> ''
    UNION ALL SELECT 'restore', cause FROM restores_restore
        WHERE state = 'failed' AND finished_at > %(since)s
    UNION ALL SELECT 'restore', cause FROM restores_restore
        WHERE state IN ('queued', 'running') AND cause <> ''
    UNION ALL SELECT 'proof', cause FROM restores_proof
        WHERE state IN ('failed', 'given_up') AND finished_at > %(since)s) failure
GROUP BY kind, cause
"""
FAILING = ("snapshot", "copy", "restore", "proof")
# Of rows that failed before causes were recorded.
UNKNOWN = "unknown"
RESTORE_SECONDS = """
SELECT coalesce(avg(restore_seconds), 0), coalesce(max(restore_seconds), 0)
FROM restores_proof WHERE finished_at > %s AND state = 'passed'
"""

UNDELIVERED = """
SELECT channel, count(*) FROM notifications_delivery
WHERE state = 'failed' AND finished_at > %s GROUP BY channel
"""


def exposition() -> bytes:
    """All figures in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Collector())
    return generate_latest(registry)


class _Collector:
    """Asks once for each scrape."""

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        yield _labelled("projects", "Projects by state.", ["state"], _rows(PROJECTS))
        yield from _newest(now)
        yield from _snapshots(now)
        yield from _work(now)
        yield from _builds(now)
        yield _failures(now)
        yield _labelled(
            "notifications_failed_last_day",
            "Notifications of the last day that did not arrive, after all tries.",
            ["channel"],
            _rows(UNDELIVERED, now - DAY),
        )
        yield from _copies(now)
        yield from _damaged()
        down = DatabaseServer.objects.filter(unreachable_since__isnull=False).count()
        yield _gauge("database_servers_down", "Database servers that do not answer.", down)
        yield from _signs(now)


def _newest(now: datetime) -> Iterator[Metric]:
    found = {state: rest for state, *rest in _rows(NEWEST, now, now, now, now)}
    of_state = [(state, *found.get(state, (0, 0, 0))) for state in WITH_BACKUPS]
    yield _labelled(
        "newest_backup_age_seconds",
        "Age of a project's newest backup, and of its newest proven one, where it is oldest.",
        ["project_state", "proven"],
        [
            (state, is_proven, age or 0)
            for state, newest, proven, _ in of_state
            for is_proven, age in (("no", newest), ("yes", proven))
        ],
    )
    overdue = sum(count for state, _, _, count in of_state if state == Project.State.ACTIVE)
    yield _gauge("projects_without_backup", "Running projects without one for 26 hours.", overdue)


def _snapshots(now: datetime) -> Iterator[Metric]:
    rows = _rows(SNAPSHOTS, now - DAY)
    of_last_day = [(state, count) for state, count, *_ in rows]
    yield _labelled("snapshots_last_day", "Backups of the last day.", ["state"], of_last_day)
    done = next((row for row in rows if row[0] == "completed"), ("completed", 0, 0, 0, 0, 0))
    yield _gauge("snapshot_new_bytes_last_day", "Bytes that the last day added.", done[2])
    yield _gauge("snapshot_rows_last_day", "Rows in the backups of the last day.", done[3])
    yield _labelled(
        "snapshot_duration_seconds",
        "How long taking one took, in the last day.",
        ["of"],
        [("average", done[4]), ("longest", done[5])],
    )


def _work(now: datetime) -> Iterator[Metric]:
    rows = _rows(WORK, now)
    yield _labelled(
        "work", "What waits or is at work.", ["kind", "state"], [row[:3] for row in rows]
    )
    yield _labelled(
        "work_age_seconds",
        "Since when the oldest of it was due.",
        ["kind", "state"],
        [(kind, state, age) for kind, state, _, age in rows],
    )


def _builds(now: datetime) -> Iterator[Metric]:
    since = now - DAY
    yield _labelled(
        "builds_last_day",
        "Restores and proofs that ended in the last day.",
        ["kind", "state"],
        _rows(BUILDS, since, since),
    )
    ((average, longest),) = _rows(RESTORE_SECONDS, since)
    yield _labelled(
        "restore_seconds",
        "How long restoring took when it was proven, in the last day.",
        ["of"],
        [("average", average), ("longest", longest)],
    )


def _failures(now: datetime) -> Metric:
    """Every cause of every kind, also where there is none: a rule need not tell 0 from nothing."""
    counts = {(kind, cause): 0 for kind in FAILING for cause in (*Cause, UNKNOWN)}
    for kind, cause, count in _rows(FAILURES, since=now - DAY):
        counts[kind, cause or UNKNOWN] = count
    return _labelled(
        "failures_last_day",
        "What failed in the last day, or waits for its next try after it failed, by the cause of "
        "its last try. What has worked since is not counted.",
        ["kind", "cause"],
        [(*labels, count) for labels, count in counts.items()],
    )


def _copies(now: datetime) -> Iterator[Metric]:
    without, needing = _rows(COPIES, now - TIME_TO_COPY)[0] if has_copies() else (0, 0)
    yield _gauge(
        "snapshots_without_copy",
        "Backups that are in the first storage only, three hours after they were taken.",
        without,
    )
    yield _gauge(
        "snapshots_needing_copy",
        "Backups of which the first storage has lost or damaged something.",
        needing,
    )


def _damaged() -> Iterator[Metric]:
    rows = Snapshot.objects.completed().filter(verdict=Snapshot.Verdict.FAILED)
    yield _gauge(
        "snapshots_damaged", "Stored backups that cannot be restored as recorded.", rows.count()
    )
    try:
        doubts: float = rounds.doubts()
    except RedisError:
        doubts = 0
    yield _gauge(
        "projects_in_doubt",
        "Projects of which the sweep could not make sure that their backups are there.",
        doubts,
    )


def _signs(now: datetime) -> Iterator[Metric]:
    ages = []
    copies = [pulse.COPIES] if has_copies() else []
    for sign in (pulse.WORKER, pulse.SCHEDULE, pulse.STORAGE, *copies):
        try:
            last = pulse.last_sign(sign)
        except RedisError:
            last = None
        ages.append((sign, (now - last).total_seconds() if last else NEVER))
    yield _labelled(
        "sign_of_life_age_seconds",
        "Since when a worker, the schedule and the storages have not been seen to work.",
        ["of"],
        ages,
    )


def _rows(statement: str, *arguments: Any, **named: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, named or arguments)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _gauge(name: str, text: str, value: Any) -> Metric:
    return GaugeMetricFamily(f"backups_portal_{name}", text, value=float(value))


def _labelled(name: str, text: str, labels: list[str], rows: Iterable[tuple[Any, ...]]) -> Metric:
    family = GaugeMetricFamily(f"backups_portal_{name}", text, labels=labels)
    for *values, value in rows:
        family.add_metric([str(one) for one in values], float(value))
    return family
