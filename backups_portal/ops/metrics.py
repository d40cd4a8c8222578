"""Collect figures for Prometheus from the control database and Redis.

Rates are of the last day, so that a scrape needs no memory of its own. Counts of nothing are 0,
with every label that a rule may ask for. What there is none of has no age and no duration: that is
NaN, of which no comparison is true. What never happened is as old as what waits for it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from redis.exceptions import RedisError

from backups_portal.lib import liveness
from backups_portal.lib.failure_causes import Cause
from backups_portal.notifications.models import Delivery
from backups_portal.ops import sweep_state
from backups_portal.projects.models import DatabaseServer, Project
from restores.models import Proof, Restore
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import has_copies

DAY = timedelta(days=1)
TIME_TO_COPY = timedelta(hours=3)
# The age of something that was never seen.
NEVER = float("inf")
# There is no figure, or it is not known.
NONE = float("nan")

PROJECTS = "SELECT state, count(*) FROM projects_project GROUP BY state"
# The newest of each project, by the index of stored snapshots; of those that are removed for good
# there are none. One that was never backed up, or never proven, waits since it was created. Where
# its owner wants no proofs, none is waited for.
NEWEST = """
SELECT p.state,
       extract(epoch FROM %s - min(coalesce(newest.taken_at, p.created_at))),
       extract(epoch FROM %s - min(coalesce(proven.taken_at, p.created_at))
           FILTER (WHERE m.proof_policy IS DISTINCT FROM 'off')),
       count(*) FILTER (WHERE newest.taken_at IS NULL OR newest.taken_at < %s - interval '26 hours')
FROM projects_project p
LEFT JOIN projects_maindatabase m ON m.project_id = p.id
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
       coalesce(avg(extract(epoch FROM finished_at - started_at)), 'NaN'),
       coalesce(max(extract(epoch FROM finished_at - started_at)), 'NaN'),
       count(*) FILTER (WHERE storage_note <> '')
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
# Copies and their retries have some time before they count as late.
COPIES = """
SELECT count(*) FILTER (WHERE c.state IS DISTINCT FROM 'copied'
           AND coalesce(s.finished_at, s.taken_at) < %s),
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
# The final states of a restore, and of a proof.
ENDED = (
    *(("restore", state) for state in (Restore.State.COMPLETED, Restore.State.FAILED)),
    *(("proof", state) for state in (Proof.State.PASSED, Proof.State.FAILED, Proof.State.GIVEN_UP)),
)
FAILING = ("snapshot", "copy", "restore", "proof")
# The cause of rows that failed before causes were recorded.
UNKNOWN = "unknown"
RESTORE_SECONDS = """
SELECT coalesce(avg(restore_seconds), 'NaN'), coalesce(max(restore_seconds), 'NaN')
FROM restores_proof WHERE finished_at > %s AND state = 'passed'
"""

UNDELIVERED = """
SELECT channel, count(*) FROM notifications_delivery
WHERE state = 'failed' AND finished_at > %s GROUP BY channel
"""


def exposition() -> bytes:
    """Write all figures in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Collector())
    return generate_latest(registry)


class _Collector:
    """Collect figures once for each scrape."""

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        yield _counted("projects", "Projects by state.", _rows(PROJECTS), state=Project.State)
        yield from _newest(now)
        yield from _snapshots(now)
        yield from _work(now)
        yield from _builds(now)
        yield _failures(now)
        yield _counted(
            "notifications_failed_last_day",
            "Notifications of the last day that did not arrive, after all tries.",
            _rows(UNDELIVERED, now - DAY),
            channel=Delivery.Channel,
        )
        yield from _copies(now)
        yield from _damaged()
        yield from _sweeps(now)
        down = DatabaseServer.objects.filter(unreachable_since__isnull=False).count()
        yield _gauge("database_servers_down", "Database servers that do not answer.", down)
        yield from _signs(now)


def _newest(now: datetime) -> Iterator[Metric]:
    found = {state: rest for state, *rest in _rows(NEWEST, now, now, now, now)}
    of_state = [(state, *found.get(state, (None, None, 0))) for state in WITH_BACKUPS]
    yield _labelled(
        "newest_backup_age_seconds",
        "Age of a project's newest backup, and of its newest proven one, where it is oldest; of "
        "one that has none, since it was created. NaN: there is no project that should have one.",
        ["project_state", "proven"],
        [
            (state, is_proven, NONE if age is None else age)
            for state, newest, proven, _ in of_state
            for is_proven, age in (("no", newest), ("yes", proven))
        ],
    )
    overdue = sum(count for state, _, _, count in of_state if state == Project.State.ACTIVE)
    yield _gauge("projects_without_backup", "Running projects without one for 26 hours.", overdue)


def _snapshots(now: datetime) -> Iterator[Metric]:
    rows = _rows(SNAPSHOTS, now - DAY)
    of_last_day = [(state, count) for state, count, *_ in rows]
    yield _counted(
        "snapshots_last_day", "Backups of the last day.", of_last_day, state=Snapshot.State
    )
    nothing = ("completed", 0, 0, 0, NONE, NONE, 0)
    done = next((row for row in rows if row[0] == "completed"), nothing)
    yield _gauge("snapshot_new_bytes_last_day", "Bytes that the last day added.", done[2])
    yield _gauge("snapshot_rows_last_day", "Rows in the backups of the last day.", done[3])
    yield _labelled(
        "snapshot_duration_seconds",
        "How long taking one took, in the last day; NaN: none was taken.",
        ["of"],
        [("average", done[4]), ("longest", done[5])],
    )
    yield _gauge(
        "snapshots_healing_last_day",
        "Backups of the last day that found objects of earlier ones lost or damaged in the first "
        "storage, and wrote them again.",
        done[6],
    )


def _work(now: datetime) -> Iterator[Metric]:
    rows = _rows(WORK, now)
    yield _counted(
        "work",
        "What waits or is at work.",
        [row[:3] for row in rows],
        kind=("snapshot", "restore", "proof"),
        state=Snapshot.UNFINISHED,
    )
    yield _labelled(
        "work_age_seconds",
        "How long ago the oldest of it was due; no figure where there is none.",
        ["kind", "state"],
        [(kind, state, age) for kind, state, _, age in rows],
    )


def _builds(now: datetime) -> Iterator[Metric]:
    since = now - DAY
    counts: dict[tuple[str, str], int] = dict.fromkeys(ENDED, 0)
    counts.update({(kind, state): count for kind, state, count in _rows(BUILDS, since, since)})
    yield _labelled(
        "builds_last_day",
        "Restores and proofs that ended in the last day.",
        ["kind", "state"],
        [(*labels, count) for labels, count in counts.items()],
    )
    ((average, longest),) = _rows(RESTORE_SECONDS, since)
    yield _labelled(
        "restore_seconds",
        "How long restoring took when it was proven, in the last day; NaN: none was.",
        ["of"],
        [("average", average), ("longest", longest)],
    )


def _failures(now: datetime) -> Metric:
    found = _rows(FAILURES, since=now - DAY)
    return _counted(
        "failures_last_day",
        "What failed in the last day, or waits for its next try after it failed, by the cause of "
        "its last try. What has worked since is not counted.",
        [(kind, cause or UNKNOWN, count) for kind, cause, count in found],
        kind=FAILING,
        cause=(*Cause, UNKNOWN),
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


def _sweeps(now: datetime) -> Iterator[Metric]:
    try:
        doubts: float = sweep_state.doubts()
        last = liveness.last_sign(liveness.SWEEP)
    except RedisError:
        doubts, last = NONE, None
    yield _gauge(
        "projects_in_doubt",
        "Projects of which the sweep could not make sure that their backups are there; NaN: no "
        "sweep has looked at all of them yet, or Redis does not tell.",
        doubts if last or doubts else NONE,
    )
    yield _gauge(
        "sweep_age_seconds",
        "Since when no sweep has come to its end; +Inf: none ever has, or Redis does not tell.",
        (now - last).total_seconds() if last else NEVER,
    )


def _signs(now: datetime) -> Iterator[Metric]:
    ages = []
    copies = [liveness.COPIES] if has_copies() else []
    for sign in (liveness.WORKER, liveness.SCHEDULE, liveness.STORAGE, *copies):
        try:
            last = liveness.last_sign(sign)
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


def _counted(
    name: str, text: str, rows: Iterable[tuple[Any, ...]], **labels: Iterable[str]
) -> Metric:
    """Count every combination of labels, 0 if there is none.

    So a rule need not tell 0 from nothing.
    """
    counts: dict[tuple[str, ...], Any] = dict.fromkeys(product(*labels.values()), 0)
    counts.update({tuple(values): count for *values, count in rows})
    return _labelled(name, text, [*labels], [(*values, count) for values, count in counts.items()])


def _labelled(name: str, text: str, labels: list[str], rows: Iterable[tuple[Any, ...]]) -> Metric:
    family = GaugeMetricFamily(f"backups_portal_{name}", text, labels=labels)
    for *values, value in rows:
        family.add_metric([str(one) for one in values], float(value))
    return family
