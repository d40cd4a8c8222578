"""The restores of a period, and recovery times from them and proofs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from backups_portal.evidence.evidence_scope import Scope
from backups_portal.evidence.recovery_measurements import Measured, Measurement
from backups_portal.projects.redaction import Mention, Reader, hide, readers_of
from restores.models import Proof, Restore

# There are usually a few in a quarter, but a script may make more.
MAX_RESTORES = 10_000
# Proofs are a few a day at most.
MAX_PROOFS = 50_000


@dataclass(frozen=True)
class RestoreLine:
    """A restore, with the name that the readers may see."""

    id: UUID
    day: date
    state: str
    name: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: str
    was_warm: bool

    @property
    def took(self) -> timedelta | None:
        """Return how long it took; None unless it made a project."""
        is_done = self.state == Restore.State.COMPLETED
        if not is_done or self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


@dataclass(frozen=True)
class RestoreHistory:
    """Restores requested or ended in a period, newest first, and their number."""

    lines: Sequence[RestoreLine]
    total: int


def restore_history(scope: Scope, retried: Mapping[str, datetime]) -> RestoreHistory:
    """List the restores of a period.

    Args:
        retried: When a restore was last retried, by its id; the time before does not count.
    """
    found = _of_period(scope)
    rows = list(found[: MAX_RESTORES + 1])
    total = len(rows) if len(rows) <= MAX_RESTORES else found.count()
    readers = readers_of(scope.reader_ids, [row.project_id for row in rows])
    lines = [_line(row, retried.get(str(row.pk)), readers) for row in rows[:MAX_RESTORES]]
    return RestoreHistory(lines, total)


def recovery_times(scope: Scope, restores: Sequence[RestoreLine]) -> list[Measurement]:
    """List the measurements of a period's proofs and completed restores."""
    begin, end = scope.period.begins_at, scope.until
    by_restores = [
        Measurement(Measured.RESTORE, line.day, line.finished_at, line.took.total_seconds())
        for line in restores
        if line.took is not None and line.finished_at and begin <= line.finished_at < end
    ]
    return [*_proofs(scope), *by_restores]


def _of_period(scope: Scope) -> QuerySet[Restore]:
    within = (scope.period.begins_at, scope.until)
    requested = Q(created_at__gte=within[0], created_at__lt=within[1])
    ended = Q(finished_at__gte=within[0], finished_at__lt=within[1])
    found = Restore.objects.filter(requested | ended, snapshot__project=scope.project)
    shown = (
        *("state", "name", "project_id", "operator", "created_at", "started_at"),
        *("finished_at", "reason", "was_warm", "requested_by__email", "snapshot__local_date"),
    )
    newest_first = found.select_related("requested_by", "snapshot").order_by("-created_at", "-pk")
    return newest_first.only(*shown)


def _line(row: Restore, retried: datetime | None, readers: Sequence[Reader]) -> RestoreLine:
    mention = Mention(row.name, row.project_id, row.requested_by_id)
    started = row.started_at
    return RestoreLine(
        id=row.pk,
        day=row.snapshot.local_date,
        state=row.state,
        name=hide(row.name, [mention], readers),
        requested_by=f"operator ({row.operator})" if row.operator else row.requested_by.email,
        requested_at=row.created_at,
        started_at=max(started, retried) if started and retried else started,
        finished_at=row.finished_at,
        reason=hide(row.reason, [mention], readers),
        was_warm=row.was_warm,
    )


def _proofs(scope: Scope) -> list[Measurement]:
    passed = Proof.objects.filter(
        snapshot__project=scope.project,
        state=Proof.State.PASSED,
        restore_seconds__isnull=False,
        finished_at__gte=scope.period.begins_at,
        finished_at__lt=scope.until,
    )
    rows = passed.order_by("finished_at").values_list(
        "snapshot__local_date", "finished_at", "restore_seconds"
    )
    return [
        Measurement(Measured.PROOF, day, at, seconds)
        for day, at, seconds in rows[:MAX_PROOFS]
        if at is not None and seconds is not None
    ]
