"""Every day of a period with its backup, and why a day has none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from backups_portal.evidence.evidence_period import DAY, Period
from backups_portal.evidence.settings_history import SettingsHistory, time_of_day, zone_name
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.due_times import local_date, run_on
from backups_portal.projects.shutdown_periods import ShutdownPeriod
from backups_portal.ui.formats import day_and_time
from snapshots.models import Snapshot
from snapshots.schedule.missed_backups import LATE, OLDEST

# Phrases for the middle of a sentence: "1 missed: database server unreachable".
CAUSES: Mapping[str, str] = {
    Cause.DATABASE_UNREACHABLE: "database server unreachable",
    Cause.DATABASE_REFUSED: "refused by the database",
    Cause.LOCKED: "a table was locked",
    Cause.NO_ROOM: "no room on the database server",
    Cause.STORAGE: "backup storage unreachable",
    Cause.ENCRYPTION_KEY: "encryption key missing",
    Cause.DAMAGED: "damaged",
    Cause.VERSION: "database of another version",
    Cause.TIME_LIMIT: "took too long",
    Cause.INTERRUPTED: "workers were lost",
    Cause.SHUT_DOWN: "project shut down",
}
FAILED = "backup failed"
NOT_TAKEN = "not taken when due"
RESCHEDULED = "schedule changed"
RECORD_GONE = "record of the backup removed"
UNKNOWN = "no cause recorded"


class Kind(StrEnum):
    """The result of a day's backup."""

    PROVEN = "proven"
    STORED = "stored"
    FAILED_PROOF = "failed_proof"
    MISSED = "missed"
    COMING = "coming"
    # No backup was due: the project was shut down, or the zone skipped the date.
    NOT_DUE = "not_due"


LABELS = {
    Kind.PROVEN: "Proven",
    Kind.STORED: "Stored, not proven",
    Kind.FAILED_PROOF: "Failed its proof",
    Kind.MISSED: "Missed",
    Kind.COMING: "Under way",
    Kind.NOT_DUE: "None due",
}
GOOD = (Kind.PROVEN, Kind.STORED)


@dataclass(frozen=True)
class DayBackup:
    """The facts about a snapshot and its copy.

    Attributes:
        locked_until: When the object lock that prevents its deletion ends; None if there is none.
        why_other_failed: Why another snapshot of the same day failed its proof; "" if none did.
    """

    id: UUID
    local_date: date
    state: str
    cause: str
    reason: str
    scheduled_for: datetime
    taken_at: datetime | None
    finished_at: datetime | None
    removed_at: datetime | None
    rows: int | None
    stored_bytes: int | None
    manifest_sha256: str
    locked_until: datetime | None
    verdict: str
    verdict_reason: str
    proven_at: datetime | None
    restore_seconds: float | None
    is_held: bool
    copy_state: str | None
    copied_at: datetime | None
    why_other_failed: str = ""

    @property
    def was_stored(self) -> bool:
        """Tell whether it was completed, even if it has been deleted since."""
        is_over = self.state in (Snapshot.State.COMPLETED, Snapshot.State.EXPIRED)
        return is_over and self.taken_at is not None

    @property
    def is_deleted(self) -> bool:
        """Tell whether retention has deleted it."""
        return self.was_stored and self.state == Snapshot.State.EXPIRED

    @property
    def kind(self) -> Kind:
        """Return its result."""
        if self.state in Snapshot.UNFINISHED:
            return Kind.COMING
        if not self.was_stored:
            return Kind.MISSED
        return {
            Snapshot.Verdict.PASSED: Kind.PROVEN,
            Snapshot.Verdict.FAILED: Kind.FAILED_PROOF,
        }.get(Snapshot.Verdict(self.verdict), Kind.STORED)

    @property
    def restore_time(self) -> timedelta | None:
        """Return how long its restore took, if that was measured."""
        return None if self.restore_seconds is None else timedelta(seconds=self.restore_seconds)


@dataclass(frozen=True)
class DayLine:
    """A day of the period.

    Attributes:
        cause: Why it has no good backup, in a few words; "" if it has one.
        reason: The same in sentences, or other remarks about the day.
    """

    day: date
    kind: Kind
    backup: DayBackup | None = None
    cause: str = ""
    reason: str = ""

    @property
    def label(self) -> str:
        """Return the label of its result, for a page."""
        return LABELS[self.kind]


@dataclass(frozen=True)
class Span:
    """Consecutive days without a good backup, for the same cause."""

    lines: Sequence[DayLine]

    @property
    def first(self) -> DayLine:
        """Return the oldest day."""
        return self.lines[0]

    @property
    def last(self) -> DayLine:
        """Return the newest day."""
        return self.lines[-1]


@dataclass(frozen=True)
class DayNote:
    """An event of the audit log about a day's backup.

    Attributes:
        day: The day in ISO format.
    """

    at: datetime
    day: str
    reason: str


@dataclass(frozen=True)
class Facts:
    """The facts by which days are judged.

    Attributes:
        first_run: When the first backup was planned; none was due before its day.
        stopped: The shut-downs of the project.
        notes: Events of missed backups, oldest first.
        failures: Events of failed backups, some of which succeeded later, oldest first.
        completed: When the audit log recorded a day's backup as stored, by the day in ISO format.
    """

    now: datetime
    first_run: datetime
    history: SettingsHistory
    backups: Mapping[date, DayBackup]
    stopped: Sequence[ShutdownPeriod] = ()
    notes: Sequence[DayNote] = ()
    failures: Sequence[DayNote] = ()
    completed: Mapping[str, datetime] = field(default_factory=dict)


def day_lines(period: Period, facts: Facts) -> list[DayLine]:
    """Judge every day of the period that has begun, the oldest first."""
    today = local_date(facts.now, period.zone)
    begun = min([*facts.backups, _first_day(facts)])
    found = (_judge(day, period, facts, begun) for day in period.days(max(today, period.first)))
    return [line for line in found if line is not None]


def spans(lines: Sequence[DayLine]) -> list[Span]:
    """Join consecutive days that share result, cause and reason."""
    found: list[list[DayLine]] = []
    for line in lines:
        before = found[-1][-1] if found else None
        if before and before.day + DAY == line.day and _same(before) == _same(line):
            found[-1].append(line)
        else:
            found.append([line])
    return [Span(joined) for joined in found]


def _same(line: DayLine) -> tuple[str, str, str]:
    return line.kind, line.cause, line.reason


def _judge(day: date, period: Period, facts: Facts, begun: date) -> DayLine | None:
    backup = facts.backups.get(day)
    if backup is not None:
        return _of_backup(day, backup, facts)
    if day < begun:
        return None
    settings = facts.history.at(_end_of(day, period))
    run = run_on(day, time_of_day(settings), zone_name(settings))
    if run is None:
        return DayLine(day, Kind.NOT_DUE, reason="The time zone skipped this day.")
    if run > facts.now:
        return None
    if facts.now - run < LATE:
        return DayLine(day, Kind.COMING, reason="It is due now.")
    if any(period.has(run) for period in facts.stopped):
        return DayLine(day, Kind.NOT_DUE, reason="The project was shut down.")
    return _missed(day, run, facts)


def _of_backup(day: date, backup: DayBackup, facts: Facts) -> DayLine:
    kind = backup.kind
    if kind == Kind.MISSED:
        cause = CAUSES.get(backup.cause, FAILED)
        return DayLine(day, kind, backup, cause, backup.reason)
    if kind == Kind.FAILED_PROOF:
        return DayLine(day, kind, backup, reason=backup.verdict_reason)
    return DayLine(day, kind, backup, reason=_before(backup, facts) if kind in GOOD else "")


def _before(backup: DayBackup, facts: Facts) -> str:
    """Say what else went wrong on a day that has a good backup."""
    name = backup.local_date.isoformat()
    late = [note.reason for note in facts.notes if note.day == name]
    failed = [
        f"It had failed before, the last time on {day_and_time(note.at)} UTC: {note.reason}"
        for note in facts.failures
        if note.day == name
    ]
    other = [f"Another backup of this day failed its proof: {backup.why_other_failed}"]
    return " ".join([*late[:1], *failed[-1:], *(other if backup.why_other_failed else [])])


def _missed(day: date, run: datetime, facts: Facts) -> DayLine:
    """Explain why a day whose backup was due has none."""
    name = day.isoformat()
    if name in facts.completed:
        reason = (
            "The audit log says that the backup of this day was stored. "
            "The portal no longer has a record of it."
        )
        return DayLine(day, Kind.MISSED, cause=RECORD_GONE, reason=reason)
    if facts.history.left_out(day):
        reason = "The daily schedule was changed, so that no backup was due on this day any more."
        return DayLine(day, Kind.MISSED, cause=RESCHEDULED, reason=reason)
    # A missing backup is detected up to a day later, and its event may name the day of detection.
    notes = [note for note in facts.notes if run <= note.at <= run + OLDEST]
    notes.sort(key=lambda note: note.day != name)
    if notes:
        return DayLine(day, Kind.MISSED, cause=NOT_TAKEN, reason=notes[0].reason)
    return DayLine(day, Kind.MISSED, cause=UNKNOWN)


def _first_day(facts: Facts) -> date:
    """Return the day of the first run, in the zone of its schedule."""
    return local_date(facts.first_run, zone_name(facts.history.at(facts.first_run)))


def _end_of(day: date, period: Period) -> datetime:
    return Period(day, day, period.zone).ends_at - timedelta(microseconds=1)
