"""Collect metrics for Prometheus from the control database and Redis.

During an outage the remaining metrics are still served: without the database its metrics are left
out, without Redis its values are NaN, and `backups_portal_up` says which of them responds.

Rates cover the last day, so that a scrape needs no state. Zero counts are exported with every label
that a rule may ask for. If nothing exists, its age or duration is NaN, for which no comparison is
true. If something never happened, its age counts from the creation of the project that waits for
it, or is +Inf.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from prometheus_client.core import Metric

from backups_portal.lib import health
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.metric_families import NONE, counted, exposition_of, gauge, labelled, up
from backups_portal.notifications.models import Delivery
from backups_portal.objectives.models import Objective
from backups_portal.ops.liveness_metrics import signs_and_sweeps, storages
from backups_portal.projects.models import DatabaseServer, Project
from restores.models import Proof, Restore
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import has_copies

log = get_logger(__name__)

DAY = timedelta(days=1)
TIME_TO_COPY = timedelta(hours=3)

PROJECTS = "SELECT state, count(*) FROM projects_project GROUP BY state"
# Uses the index of stored snapshots to find the newest of each project; removed projects have none.
# A project that was never backed up, or never proven, counts from its creation; if its owner wants
# no proofs, it has no age for them. A new time of day can put up to two days between backups, so
# none is missing before the next one is due, nor while that is queued or running, for the two hours
# beyond 24 that any day's backup may take.
NEWEST = """
SELECT p.state,
       extract(epoch FROM %s - min(coalesce(newest.taken_at, p.created_at))),
       extract(epoch FROM %s - min(coalesce(proven.taken_at, p.created_at))
           FILTER (WHERE m.proof_policy IS DISTINCT FROM 'off')),
       count(*) FILTER (WHERE newest.taken_at IS NULL OR newest.taken_at < %s - interval '26 hours'
           AND NOT (coalesce(m.next_snapshot_at > %s, false)
               AND newest.taken_at > %s - interval '50 hours'
               AND NOT EXISTS (SELECT FROM snapshots_snapshot later WHERE later.project_id = p.id
                   AND later.local_date > newest.local_date
                   AND NOT (later.state IN ('queued', 'running')
                       AND later.scheduled_for > %s - interval '2 hours'))))
FROM projects_project p
LEFT JOIN projects_maindatabase m ON m.project_id = p.id
LEFT JOIN LATERAL (
    SELECT taken_at, local_date FROM snapshots_snapshot s
        WHERE s.project_id = p.id AND state = 'completed' AND verdict <> 'failed'
        ORDER BY taken_at DESC LIMIT 1) newest ON true
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
SELECT kind, state, count(*), greatest(max(extract(epoch FROM %s - since)), 0) FROM (
    SELECT 'snapshot' AS kind, state, greatest(scheduled_for, retry_at) AS since
        FROM snapshots_snapshot
        WHERE state IN ('queued', 'running')
    UNION ALL SELECT 'restore', state, created_at FROM restores_restore
        WHERE state IN ('queued', 'running')
    UNION ALL SELECT 'proof', state, created_at FROM restores_proof
        WHERE state IN ('queued', 'running')) work
GROUP BY kind, state
"""
# A backup may wait TIME_TO_COPY for its copy, retries included, before it counts as uncopied.
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
# Failed jobs, through the indexes of failures, and jobs that wait for or run a retry, through the
# indexes of unfinished ones.
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

# Checks of the newest proof of each backup, through the index `snapshot_checks_failed`.
CHECKS = """
SELECT coalesce(sum(checks_failed), 0), coalesce(sum(checks_not_run), 0)
FROM snapshots_snapshot
WHERE proven_at > %s AND verdict = 'passed' AND (checks_failed > 0 OR checks_not_run > 0)
"""
UNDELIVERED = """
SELECT channel, count(*) FROM notifications_delivery
WHERE state = 'failed' AND finished_at > %s GROUP BY channel
"""
# For running projects, by kind: the number of objectives, how many are missed, and how many seconds
# ago the longest breach began.
OBJECTIVES = """
SELECT o.kind, count(*), count(b.id), extract(epoch FROM %s - min(b.began_at))
FROM objectives_objective o JOIN projects_project p ON p.id = o.project_id AND p.state = 'active'
LEFT JOIN objectives_breach b ON b.objective_id = o.id AND b.ended_at IS NULL
WHERE o.ended_at IS NULL GROUP BY o.kind
"""


def exposition() -> bytes:
    """Export all metrics in the text format of Prometheus."""
    return exposition_of(_figures(timezone.now()))


def _figures(now: datetime) -> Iterator[Metric]:
    states = {**health.servers(), **storages()}
    yield up(states)
    missing = len(FROM_DATABASE)
    # Skip the queries if the database is down, because each of them may wait for its timeout.
    if states["database"] == health.OK:
        for figures in FROM_DATABASE:
            found = _available(figures, now)
            missing -= bool(found)
            yield from found
    yield gauge(
        "figures_missing", "Groups of metrics missing because the database did not answer.", missing
    )
    yield from signs_and_sweeps(now)


def _available(figures: Callable[[datetime], Iterable[Metric]], now: datetime) -> list[Metric]:
    """Return metrics of the database; [] if the query fails."""
    try:
        return list(figures(now))
    except DatabaseError:
        log.exception("some metrics are missing", of=figures.__name__)
        return []


def _projects(now: datetime) -> Iterator[Metric]:
    yield counted("projects", "Projects by state.", _rows(PROJECTS), state=Project.State)


def _undelivered(now: datetime) -> Iterator[Metric]:
    yield counted(
        "notifications_failed_last_day",
        "Notifications of the last day that were not delivered after all attempts.",
        _rows(UNDELIVERED, now - DAY),
        channel=Delivery.Channel,
    )


def _servers(now: datetime) -> Iterator[Metric]:
    away = DatabaseServer.objects.filter(unreachable_since__isnull=False)
    # Operators close a server that is lost for good; it no longer matters without running projects.
    running = Project.objects.active().filter(server=OuterRef("pk"))
    down = away.filter(Q(is_open=True) | Exists(running)).count()
    yield gauge(
        "database_servers_down",
        "Database servers that do not respond, except closed ones without running projects.",
        down,
    )


def _newest(now: datetime) -> Iterator[Metric]:
    moments = [*[now] * 5, now - settings.SNAPSHOT_SPREAD, now]
    found = {state: rest for state, *rest in _rows(NEWEST, *moments)}
    of_state = [(state, *found.get(state, (None, None, 0))) for state in WITH_BACKUPS]
    yield labelled(
        "newest_backup_age_seconds",
        "Age of the newest backup, and of the newest proven one, of the project where it is "
        "oldest; a project without any counts from its creation. NaN: no project needs backups.",
        ["project_state", "proven"],
        [
            (state, is_proven, NONE if age is None else age)
            for state, newest, proven, _ in of_state
            for is_proven, age in (("no", newest), ("yes", proven))
        ],
    )
    overdue = sum(count for state, _, _, count in of_state if state == Project.State.ACTIVE)
    yield gauge(
        "projects_without_backup",
        "Running projects without a backup for 26 hours although one was due.",
        overdue,
    )


def _snapshots(now: datetime) -> Iterator[Metric]:
    rows = _rows(SNAPSHOTS, now - DAY)
    of_last_day = [(state, count) for state, count, *_ in rows]
    yield counted(
        "snapshots_last_day", "Backups of the last day.", of_last_day, state=Snapshot.State
    )
    nothing = ("completed", 0, 0, 0, NONE, NONE, 0)
    done = next((row for row in rows if row[0] == "completed"), nothing)
    yield gauge("snapshot_new_bytes_last_day", "Bytes added in the last day.", done[2])
    yield gauge("snapshot_rows_last_day", "Rows in the backups of the last day.", done[3])
    yield labelled(
        "snapshot_duration_seconds",
        "How long backups of the last day took; NaN: none was taken.",
        ["of"],
        [("average", done[4]), ("longest", done[5])],
    )
    yield gauge(
        "snapshots_healing_last_day",
        "Backups of the last day that rewrote objects of earlier ones that were lost or damaged "
        "in the first storage.",
        done[6],
    )


def _work(now: datetime) -> Iterator[Metric]:
    rows = _rows(WORK, now)
    yield counted(
        "work",
        "Jobs that are queued or running.",
        [row[:3] for row in rows],
        kind=("snapshot", "restore", "proof"),
        state=Snapshot.UNFINISHED,
    )
    yield labelled(
        "work_age_seconds",
        "How long ago the oldest of these jobs was due; no sample without jobs.",
        ["kind", "state"],
        [(kind, state, age) for kind, state, _, age in rows],
    )


def _builds(now: datetime) -> Iterator[Metric]:
    since = now - DAY
    counts: dict[tuple[str, str], int] = dict.fromkeys(ENDED, 0)
    counts.update({(kind, state): count for kind, state, count in _rows(BUILDS, since, since)})
    yield labelled(
        "builds_last_day",
        "Restores and proofs that ended in the last day.",
        ["kind", "state"],
        [(*labels, count) for labels, count in counts.items()],
    )
    ((average, longest),) = _rows(RESTORE_SECONDS, since)
    yield labelled(
        "restore_seconds",
        "How long restoring took in the proofs of the last day; NaN: no proof.",
        ["of"],
        [("average", average), ("longest", longest)],
    )


def _checks(now: datetime) -> Iterator[Metric]:
    ((failed, not_run),) = _rows(CHECKS, now - DAY)
    yield labelled(
        "checks_last_day",
        "Owners' checks that failed, or could not be run, in proofs of the last day.",
        ["outcome"],
        [("failed", failed), ("not_run", not_run)],
    )


def _failures(now: datetime) -> Iterator[Metric]:
    found = _rows(FAILURES, since=now - DAY)
    yield counted(
        "failures_last_day",
        "Jobs that failed in the last day or wait for a retry, by the cause of the last attempt. "
        "Jobs that have succeeded since are not counted.",
        [(kind, cause or UNKNOWN, count) for kind, cause, count in found],
        kind=FAILING,
        cause=(*Cause, UNKNOWN),
    )


def _copies(now: datetime) -> Iterator[Metric]:
    without, needing = _rows(COPIES, now - TIME_TO_COPY)[0] if has_copies() else (0, 0)
    yield gauge(
        "snapshots_without_copy",
        "Backups without a copy in the second storage three hours after they were taken.",
        without,
    )
    yield gauge(
        "snapshots_needing_copy",
        "Backups with objects that are lost or damaged in the first storage.",
        needing,
    )


def _damaged(now: datetime) -> Iterator[Metric]:
    rows = Snapshot.objects.completed().filter(verdict=Snapshot.Verdict.FAILED)
    yield gauge(
        "snapshots_damaged", "Stored backups that cannot be restored as recorded.", rows.count()
    )


def _objectives(now: datetime) -> Iterator[Metric]:
    found = {kind: rest for kind, *rest in _rows(OBJECTIVES, now)}
    of_kind = [
        (f"recovery_{kind}", *found.get(kind, (0, 0, None))) for kind in Objective.Kind.values
    ]
    yield labelled(
        "objectives",
        "Recovery objectives of running projects.",
        ["kind"],
        [(kind, count) for kind, count, _, _ in of_kind],
    )
    yield labelled(
        "objectives_missed",
        "Recovery objectives of running projects that are missed now.",
        ["kind"],
        [(kind, missed) for kind, _, missed, _ in of_kind],
    )
    yield labelled(
        "objective_missed_seconds",
        "How long the objective missed for the longest has been missed; NaN: none is missed.",
        ["kind"],
        [(kind, NONE if age is None else age) for kind, _, _, age in of_kind],
    )


def _rows(statement: str, *arguments: Any, **named: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, named or arguments)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


FROM_DATABASE = (
    *(_projects, _newest, _snapshots, _work, _builds, _checks, _failures, _undelivered, _copies),
    *(_damaged, _servers, _objectives),
)
