"""Past backup settings, reconstructed from changes in the audit log."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID

from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.evidence_period import DAY, Period
from backups_portal.lib.json_types import JsonObject
from backups_portal.projects.due_times import parse_time, run_on
from backups_portal.projects.models import MainDatabase, plain_settings

ACTION = "settings.changed"
SCHEDULE = ("backup_time", "backup_time_zone")
NAMES = (*SCHEDULE, "retention_days", "proof_policy")
# More changes than a person makes; `total` counts even those beyond it.
MAX_CHANGES = 1_000
INSTANT = timedelta(microseconds=1)

Settings = Mapping[str, object]


@dataclass(frozen=True)
class SettingsChange:
    """A change of settings, with the old and new values by name."""

    at: datetime
    who: str
    old: Settings
    new: Settings

    @property
    def is_of_schedule(self) -> bool:
        """Tell whether the time of day or the zone changed."""
        return any(name in self.new for name in SCHEDULE)

    @property
    def details(self) -> JsonObject:
        """Return the old and new values in the audit log's form."""
        return {name: {"old": self.old[name], "new": value} for name, value in self.new.items()}


@dataclass(frozen=True)
class SettingsHistory:
    """The settings of a period.

    Attributes:
        at_start: The settings in force when the period began.
        at_end: The settings in force when it ended, or now.
        changes: The changes within the period, oldest first.
        total: The number of changes, also if `changes` was cut.
    """

    at_start: Settings
    at_end: Settings
    changes: Sequence[SettingsChange]
    total: int

    def at(self, moment: datetime) -> Settings:
        """Return the settings in force at a moment of the period."""
        found = dict(self.at_start)
        for change in self.changes:
            if change.at > moment:
                break
            found.update(change.new)
        return found

    def left_out(self, day: date) -> bool:
        """Tell whether a change of schedule left a day without a due backup."""
        near = (one for one in self.changes if abs(one.at.date() - day) <= 2 * DAY)
        return any(one.is_of_schedule and self._leaves_out(one, day) for one in near)

    def _leaves_out(self, change: SettingsChange, day: date) -> bool:
        """Tell if the day's new run had passed at the change, but not the old."""
        before, after = (
            run_on(day, time_of_day(settings), zone_name(settings))
            for settings in (self.at(change.at - INSTANT), self.at(change.at))
        )
        return before is not None and after is not None and after <= change.at < before


def settings_history(database: MainDatabase, period: Period) -> SettingsHistory:
    """Derive a period's settings from the current ones, in one query."""
    at_start, at_end = plain_settings(database), plain_settings(database)
    changes: deque[SettingsChange] = deque(maxlen=MAX_CHANGES)
    total = 0
    # Newest first, because each event has the settings before it.
    for event in _events(database.pk, period):
        pairs = {
            name: pair
            for name, pair in event.details.items()
            if isinstance(pair, dict) and pair.keys() == {"old", "new"}
        }
        old = {name: pair["old"] for name, pair in pairs.items()}
        at_start |= old
        if event.at >= period.ends_at:
            at_end |= old
            continue
        total += 1
        new = {name: pair["new"] for name, pair in pairs.items()}
        # If there are too many, the newest drops out.
        changes.appendleft(SettingsChange(event.at, event.who, old, new))
    return SettingsHistory(
        at_start=_known(at_start), at_end=_known(at_end), changes=list(changes), total=total
    )


def time_of_day(settings: Settings) -> time:
    """Return the time of day of the schedule."""
    return parse_time(str(settings["backup_time"]))


def zone_name(settings: Settings) -> str:
    """Return the time zone of the schedule."""
    return str(settings["backup_time_zone"])


def _events(project_id: UUID, period: Period) -> Iterable[AuditEvent]:
    since = AuditEvent.objects.filter(
        project_id=project_id, action=ACTION, at__gte=period.begins_at
    )
    return since.order_by("-at", "-pk").only("at", "account_email", "details").iterator()


def _known(settings: Settings) -> Settings:
    """Keep settings of backups only, not for example that of warm restores."""
    return {name: settings[name] for name in NAMES}
