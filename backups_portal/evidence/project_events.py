"""The audit log's events of a project in a period, by section."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from django.db.models import Count, QuerySet
from django.utils.functional import cached_property

from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.evidence_scope import Scope
from backups_portal.overview.event_redaction import EVENTS_AT_A_TIME, mentions_in, redacted
from backups_portal.projects.redaction import readers_of
from backups_portal.projects.shutdown_periods import STARTED, STOPPED

HOLDS = ("snapshot.held", "snapshot.released")
DELETIONS = ("snapshot.expired",)
ACCESS = (
    *("snapshot.downloaded", "snapshot.download_refused", "snapshot.download_broken"),
    *("snapshot.looked_inside", "snapshot.device_exported"),
    *("restore.requested", "restore.retried"),
    *("evidence.viewed", "evidence.downloaded", "access.refused"),
    *("invitation.accepted", "member.removed"),
)
COMPLETED, MISSED, FAILED = "snapshot.completed", "snapshot.missed", "snapshot.failed"
RETRIED = "restore.retried"
CREATED = "project.created"
# There are a few a day at most; none of these events is written by the thousand.
MAX_RELEVANT = 20_000


@dataclass(frozen=True)
class EventSection:
    """Events of some actions, redacted for the readers, newest first."""

    scope: Scope
    actions: Sequence[str]
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Count all events."""
        return sum(self.counts.values())

    def rows(self, limit: int) -> Iterator[AuditEvent]:
        """Yield the newest `limit` events, in bounded memory."""
        if not self.total:
            return
        found = events_of(self.scope).filter(action__in=self.actions).order_by("-at", "-pk")
        remaining = found[:limit].iterator(chunk_size=EVENTS_AT_A_TIME)
        while batch := list(islice(remaining, EVENTS_AT_A_TIME)):
            yield from self._redacted(batch)

    def _redacted(self, batch: Sequence[AuditEvent]) -> Iterator[AuditEvent]:
        named = mentions_in(batch)
        projects = [one.project_id for both in named.values() for one in both]
        readers = readers_of(self.scope.reader_ids, projects)
        for event in batch:
            yield redacted(event, named.get(event.pk, ()), readers)


@dataclass(frozen=True)
class ProjectEvents:
    """The events of the scope, counted by action in one query."""

    scope: Scope

    @cached_property
    def counts(self) -> dict[str, int]:
        """Count the events of each action."""
        counted = events_of(self.scope).order_by().values_list("action").annotate(Count("id"))
        return dict(counted)

    def section(self, actions: Sequence[str]) -> EventSection:
        """Select the events of some actions."""
        counts = {name: self.counts[name] for name in actions if name in self.counts}
        return EventSection(self.scope, actions, counts)

    @cached_property
    def relevant(self) -> list[AuditEvent]:
        """List the events that days and restores are judged by, oldest first.

        Shut-downs count even long before the period. Missed backups are recorded after their day.
        """
        of_project = AuditEvent.objects.filter(
            project_id=self.scope.project.pk, at__lt=self.scope.now
        )
        ever = of_project.filter(action__in=(CREATED, STOPPED, STARTED, RETRIED))
        period = self.scope.period
        lately = of_project.filter(
            action__in=(COMPLETED, MISSED, FAILED),
            at__gte=period.begins_at,
            at__lt=self.scope.events_until,
        )
        fields = ("at", "action", "subject", "details")
        found = ever.order_by().only(*fields).union(lately.order_by().only(*fields), all=True)
        return sorted(found[:MAX_RELEVANT], key=lambda event: event.at)

    def relevant_of(self, *actions: str) -> list[AuditEvent]:
        """List those of these events that have some actions, oldest first."""
        return [event for event in self.relevant if event.action in actions]


def events_of(scope: Scope) -> QuerySet[AuditEvent]:
    """Select the events of the period, up to the moment of the report."""
    return AuditEvent.objects.filter(
        project_id=scope.project.pk, at__gte=scope.period.begins_at, at__lt=scope.until
    )
