"""Gather the evidence of a period, in a number of queries that does not grow with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, F, Q

from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.backup_days import (
    GOOD,
    DayBackup,
    DayLine,
    Facts,
    Kind,
    MissedNote,
    Span,
    day_lines,
    spans,
)
from backups_portal.evidence.evidence_period import DAY
from backups_portal.evidence.evidence_scope import Scope
from backups_portal.evidence.project_events import (
    ACCESS,
    COMPLETED,
    CREATED,
    DELETIONS,
    HOLDS,
    MISSED,
    RETRIED,
    STARTED,
    STOPPED,
    EventSection,
    ProjectEvents,
)
from backups_portal.evidence.recovery_measurements import (
    Measured,
    Measurement,
    RecoveryPoint,
    RecoveryTime,
    recovery_point,
)
from backups_portal.evidence.settings_history import SettingsHistory, settings_history
from backups_portal.evidence.storage_places import Places, places
from backups_portal.projects.redaction import Mention, hide, readers_of
from restores.models import Proof, Restore
from snapshots.models import Hold, Snapshot

# A file holds so many rows of a section, and says how many there are.
MAX_ROWS = 50_000
# Of these there are a few in a quarter; a script may have made more.
MAX_RESTORES = 10_000
# What `DayBackup` has of them.
OF_SNAPSHOT: Sequence[str] = (
    *("id", "local_date", "state", "cause", "reason", "scheduled_for", "taken_at"),
    *("finished_at", "removed_at", "rows", "stored_bytes", "manifest_sha256", "locked_until"),
    *("verdict", "verdict_reason", "proven_at", "restore_seconds"),
)


@dataclass(frozen=True)
class RestoreLine:
    """A restore, with the name that the readers may read."""

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
        """Return how long it took; None unless it has made a project."""
        is_done = self.state == Restore.State.COMPLETED
        if not is_done or self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


@dataclass(frozen=True)
class HoldLine:
    """A hold that is in force now."""

    day: date
    who: str
    since: datetime


@dataclass(frozen=True)
class Seal:
    """The newest seal of the audit log's chain, which covers every event before it.

    Attributes:
        position: How many events are sealed; 0 if none is.
        unsealed: Events of this project and period that wait for their seal, within a minute.
    """

    position: int
    seal: str
    at: datetime | None
    events: int
    unsealed: int

    @property
    def noted(self) -> str:
        """Write it as `verify_audit --expect` takes it; "" if there is none."""
        return f"{self.position}:{self.seal}" if self.position else ""


@dataclass(frozen=True)
class Report:
    """The evidence of a period."""

    scope: Scope
    settings: SettingsHistory
    days: Sequence[DayLine]
    restores: Sequence[RestoreLine]
    restores_total: int
    recovery_time: RecoveryTime
    recovery_point: RecoveryPoint
    holds: EventSection
    holds_now: Sequence[HoldLine]
    deletions: EventSection
    access: EventSection
    places: Places
    seal: Seal

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Count the days of each kind."""
        return Counter(line.kind for line in self.days)

    @property
    def due(self) -> int:
        """Count the days on which a backup was due, but for one that is under way."""
        return len(self.days) - self.counts.get(Kind.COMING, 0) - self.counts.get(Kind.NOT_DUE, 0)

    @property
    def good(self) -> int:
        """Count the days with a backup that can be restored, or could until it was deleted."""
        return sum(self.counts.get(kind, 0) for kind in GOOD)

    @property
    def bad_days(self) -> list[DayLine]:
        """List the days without a good backup."""
        return [line for line in self.days if line.kind in (Kind.MISSED, Kind.FAILED_PROOF)]

    @property
    def bad_spans(self) -> list[Span]:
        """List them with days that follow one another for one cause joined."""
        return spans(self.bad_days)

    @property
    def causes(self) -> list[tuple[str, int]]:
        """Count why backups were missed, the most frequent cause first."""
        missed = (line.cause for line in self.days if line.kind == Kind.MISSED)
        return Counter(missed).most_common()


def make_report(scope: Scope) -> Report:
    """Gather the evidence of a period."""
    events = ProjectEvents(scope)
    backups = _backups(scope)
    history = settings_history(scope.project.main_database, scope.period)
    facts = _facts(scope, history, backups, events.telling)
    days = day_lines(scope.period, facts)
    restores, total = _restores(scope, events.telling)
    return Report(
        scope=scope,
        settings=history,
        days=days,
        restores=restores,
        restores_total=total,
        recovery_time=RecoveryTime([*_proofs(scope), *_measured(scope, restores)]),
        recovery_point=_recovery_point(scope, days, facts),
        holds=events.section(HOLDS),
        holds_now=_holds(scope),
        deletions=events.section(DELETIONS),
        access=events.section(ACCESS),
        places=places(list(backups.values()), scope.now),
        seal=_seal(scope, sum(events.counts.values())),
    )


def _backups(scope: Scope) -> dict[date, DayBackup]:
    of_period = Snapshot.objects.filter(
        project=scope.project, local_date__range=(scope.period.first, scope.period.last)
    )
    rows = of_period.order_by("local_date").values(
        *OF_SNAPSHOT,
        is_held=ExpressionWrapper(Q(hold__isnull=False), output_field=BooleanField()),
        copy_state=F("copy__state"),
        copied_at=F("copy__copied_at"),
    )
    return {row["local_date"]: DayBackup(**row) for row in rows}


def _facts(
    scope: Scope,
    history: SettingsHistory,
    backups: Mapping[date, DayBackup],
    telling: Sequence[AuditEvent],
) -> Facts:
    return Facts(
        now=scope.now,
        first_run=_first_run(scope, telling),
        history=history,
        backups=backups,
        stopped=_stopped(telling),
        notes=[
            MissedNote(one.at, one.details.get("local_date", ""), one.details.get("reason", ""))
            for one in telling
            if one.action == MISSED
        ],
        completed={
            one.subject.removeprefix("Backup of "): one.at
            for one in telling
            if one.action == COMPLETED
        },
    )


def _first_run(scope: Scope, telling: Sequence[AuditEvent]) -> datetime:
    """Return when the first backup was planned, or the day after if that was not written down."""
    planned = [one.details.get("first_backup") for one in telling if one.action == CREATED]
    return (
        datetime.fromisoformat(planned[0])
        if planned and planned[0]
        else (scope.project.created_at + DAY)
    )


def _stopped(telling: Sequence[AuditEvent]) -> list[tuple[datetime, datetime | None]]:
    """Pair each shut-down with the start after it."""
    found: list[tuple[datetime, datetime | None]] = []
    for event in telling:
        is_stopped = bool(found) and found[-1][1] is None
        if event.action == STOPPED and not is_stopped:
            found.append((event.at, None))
        elif event.action == STARTED and is_stopped:
            found[-1] = (found[-1][0], event.at)
    return found


def _restores(scope: Scope, telling: Sequence[AuditEvent]) -> tuple[list[RestoreLine], int]:
    begin, end = scope.period.begins_at, scope.until
    in_period = Q(created_at__gte=begin, created_at__lt=end) | Q(
        finished_at__gte=begin, finished_at__lt=end
    )
    found = Restore.objects.filter(in_period, snapshot__project=scope.project)
    rows = list(
        found.select_related("requested_by", "snapshot")
        .only(
            *("state", "name", "project_id", "operator", "created_at", "started_at"),
            *("finished_at", "reason", "was_warm", "requested_by__email", "snapshot__local_date"),
        )
        .order_by("-created_at", "-pk")[: MAX_RESTORES + 1]
    )
    total = len(rows) if len(rows) <= MAX_RESTORES else found.count()
    # A restore that was tried again began then: nobody waited for it in between.
    again = {one.details.get("restore"): one.at for one in telling if one.action == RETRIED}
    readers = readers_of(scope.reader_ids, [row.project_id for row in rows])
    lines = []
    for row in rows[:MAX_RESTORES]:
        mention = Mention(row.name, row.project_id, row.requested_by_id)
        started, retried = row.started_at, again.get(str(row.pk))
        lines.append(
            RestoreLine(
                id=row.pk,
                day=row.snapshot.local_date,
                state=row.state,
                name=hide(row.name, [mention], readers),
                requested_by=f"operator ({row.operator})"
                if row.operator
                else row.requested_by.email,
                requested_at=row.created_at,
                started_at=max(started, retried) if started and retried else started,
                finished_at=row.finished_at,
                reason=hide(row.reason, [mention], readers),
                was_warm=row.was_warm,
            )
        )
    return lines, total


def _measured(scope: Scope, restores: Sequence[RestoreLine]) -> list[Measurement]:
    begin, end = scope.period.begins_at, scope.until
    return [
        Measurement(Measured.RESTORE, line.day, line.finished_at, line.took.total_seconds())
        for line in restores
        if line.took is not None and line.finished_at and begin <= line.finished_at < end
    ]


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
        for day, at, seconds in rows[:MAX_ROWS]
        if at is not None and seconds is not None
    ]


def _recovery_point(scope: Scope, days: Sequence[DayLine], facts: Facts) -> RecoveryPoint:
    earlier = Snapshot.objects.filter(
        project=scope.project, local_date__lt=scope.period.first, taken_at__isnull=False
    )
    # One that retention has deleted by now was there then.
    good = earlier.filter(state__in=(Snapshot.State.COMPLETED, Snapshot.State.EXPIRED)).exclude(
        verdict=Snapshot.Verdict.FAILED
    )
    before = good.order_by("-local_date").values_list("taken_at", flat=True).first()
    taken = [
        line.backup.taken_at
        for line in days
        if line.kind in GOOD and line.backup and line.backup.taken_at
    ]
    return recovery_point(taken, before=before, until=scope.until, stopped=facts.stopped)


def _holds(scope: Scope) -> list[HoldLine]:
    held = Hold.objects.filter(snapshot__project=scope.project, created_at__lt=scope.until)
    rows = held.order_by("snapshot__local_date").values_list(
        "snapshot__local_date", "account__email", "created_at"
    )
    return [HoldLine(*row) for row in rows]


def _seal(scope: Scope, events: int) -> Seal:
    sealed = AuditEvent.objects.filter(position__isnull=False).order_by("-position")
    newest = sealed.values_list("position", "seal", "at").first()
    unsealed = AuditEvent.objects.filter(position=None, project_id=scope.project.pk).filter(
        at__gte=scope.period.begins_at, at__lt=scope.until
    )
    position, seal, at = newest or (None, None, None)
    return Seal(position or 0, bytes(seal or b"").hex(), at, events, unsealed.count())
