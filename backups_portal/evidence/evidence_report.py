"""Gather the evidence of a period, in a constant number of queries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import BooleanField, ExpressionWrapper, F, Q

from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.backup_days import (
    GOOD,
    DayBackup,
    DayLine,
    DayNote,
    Facts,
    Kind,
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
    FAILED,
    HOLDS,
    MISSED,
    RETRIED,
    EventSection,
    ProjectEvents,
)
from backups_portal.evidence.recovery_measurements import (
    RecoveryPoint,
    RecoveryTime,
    recovery_point,
)
from backups_portal.evidence.restore_history import (
    RestoreHistory,
    recovery_times,
    restore_history,
)
from backups_portal.evidence.settings_history import SettingsHistory, settings_history
from backups_portal.evidence.storage_places import Places, places
from backups_portal.objectives.objective_report import ObjectiveReport, report_of
from backups_portal.objectives.objective_verdicts import GOOD_ONCE
from backups_portal.projects.shutdown_periods import pair_shutdowns
from snapshots.models import Hold, Snapshot

# A file holds up to this many rows of a section, and says how many there are.
MAX_ROWS = 50_000
# The columns of snapshots that `DayBackup` has.
OF_SNAPSHOT: Sequence[str] = (
    *("id", "local_date", "state", "cause", "reason", "scheduled_for", "taken_at"),
    *("finished_at", "removed_at", "rows", "stored_bytes", "manifest_sha256", "locked_until"),
    *("verdict", "verdict_reason", "proven_at", "restore_seconds"),
)


@dataclass(frozen=True)
class HoldLine:
    """A hold that is in force now."""

    day: date
    who: str
    since: datetime


@dataclass(frozen=True)
class Seal:
    """The newest seal of the audit log's chain, covering all earlier events.

    Attributes:
        position: The number of sealed events; 0 if there are none.
        events: The number of events of this project and period.
        unsealed: The project's events of the period that are still to be sealed, within a minute.
    """

    position: int
    seal: str
    at: datetime | None
    events: int
    unsealed: int

    @property
    def noted(self) -> str:
        """Return the argument of `verify_audit --expect`; "" without a seal."""
        return f"{self.position}:{self.seal}" if self.position else ""


@dataclass(frozen=True)
class Report:
    """The evidence of a period."""

    scope: Scope
    settings: SettingsHistory
    days: Sequence[DayLine]
    restores: RestoreHistory
    recovery_time: RecoveryTime
    recovery_point: RecoveryPoint
    objectives: ObjectiveReport
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
        """Count the days on which a backup was due, except one under way."""
        return len(self.days) - self.counts.get(Kind.COMING, 0) - self.counts.get(Kind.NOT_DUE, 0)

    @property
    def good(self) -> int:
        """Count the days with a backup that is good, or was until its deletion."""
        return sum(self.counts.get(kind, 0) for kind in GOOD)

    @property
    def bad_days(self) -> list[DayLine]:
        """List the days without a good backup."""
        return [line for line in self.days if line.kind in (Kind.MISSED, Kind.FAILED_PROOF)]

    @property
    def bad_spans(self) -> list[Span]:
        """List these days, joining consecutive ones of the same cause."""
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
    facts = _facts(scope, history, backups, events)
    days = day_lines(scope.period, facts)
    retried = {one.details.get("restore", ""): one.at for one in events.relevant_of(RETRIED)}
    restores = restore_history(scope, retried)
    return Report(
        scope=scope,
        settings=history,
        days=days,
        restores=restores,
        recovery_time=RecoveryTime(recovery_times(scope, restores.lines)),
        recovery_point=_recovery_point(scope, days, facts),
        objectives=report_of(scope.project, scope.period.begins_at, scope.until),
        holds=events.section(HOLDS),
        holds_now=_holds(scope),
        deletions=events.section(DELETIONS),
        access=events.section(ACCESS),
        places=places(list(backups.values())),
        seal=_seal(scope, sum(events.counts.values())),
    )


def _backups(scope: Scope) -> dict[date, DayBackup]:
    of_period = Snapshot.objects.filter(
        project=scope.project, local_date__range=(scope.period.first, scope.period.last)
    )
    rows = of_period.by_day().values(
        *OF_SNAPSHOT,
        is_held=ExpressionWrapper(Q(hold__isnull=False), output_field=BooleanField()),
        copy_state=F("copy__state"),
        copied_at=F("copy__copied_at"),
    )
    found: dict[date, DayBackup] = {}
    for row in rows:
        if row["locked_until"] and row["locked_until"] <= scope.now:
            # The lock has expired, or it is a mark of `lock_notes` and never was one.
            row["locked_until"] = None
        other = found.get(row["local_date"])
        why = other.verdict_reason if other else ""
        found[row["local_date"]] = DayBackup(**row, why_other_failed=why)
    return found


def _facts(
    scope: Scope,
    history: SettingsHistory,
    backups: Mapping[date, DayBackup],
    events: ProjectEvents,
) -> Facts:
    return Facts(
        now=scope.now,
        first_run=_first_run(scope, events),
        history=history,
        backups=backups,
        stopped=pair_shutdowns(events.relevant),
        notes=[
            DayNote(one.at, one.details.get("local_date", ""), one.details.get("reason", ""))
            for one in events.relevant_of(MISSED)
        ],
        failures=[
            DayNote(one.at, _day_of(one), one.details.get("reason", ""))
            for one in events.relevant_of(FAILED)
        ],
        completed={_day_of(one): one.at for one in events.relevant_of(COMPLETED)},
    )


def _day_of(event: AuditEvent) -> str:
    return event.subject.removeprefix("Backup of ")


def _first_run(scope: Scope, events: ProjectEvents) -> datetime:
    """Return the first planned run; a day after the creation if unknown."""
    for event in events.relevant_of(CREATED):
        if planned := event.details.get("first_backup"):
            return datetime.fromisoformat(planned)
    return scope.project.created_at + DAY


def _recovery_point(scope: Scope, days: Sequence[DayLine], facts: Facts) -> RecoveryPoint:
    earlier = Snapshot.objects.filter(
        GOOD_ONCE, project=scope.project, local_date__lt=scope.period.first
    )
    before = earlier.order_by("-local_date").values_list("taken_at", flat=True).first()
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
