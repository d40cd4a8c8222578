"""Deliveries for the events of the audit log, each made exactly once.

Services record events in the audit log, in their own transactions, and know nothing of
notifications. Events are read in the order of their positions in the chain. Positions have no gaps
and are assigned after the commit, so an event that is committed late is not missed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from datetime import datetime
from uuid import UUID

from django.db import transaction

from backups_portal.accounts.password_reset import can_send
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.leases import message_counts_for
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.messages import KINDS, compose
from backups_portal.notifications.models import Cursor, Delivery, Kind, NotificationSettings
from backups_portal.notifications.repeated_failures import repeated_failures
from backups_portal.overview.event_redaction import mentions_in, redacted
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.redaction import readers_of

log = get_logger(__name__)

BATCH = 1_000
Channel = Delivery.Channel
# Kinds that are reported only while the project runs: nobody expects backups of a shut-down one.
WHILE_RUNNING = {
    *(Kind.FAILED, Kind.MISSED, Kind.SIZE, Kind.STORED, Kind.RUNNING),
    *(Kind.OBJECTIVE, Kind.DIGEST),
}


def plan_deliveries(now: datetime, *, limit: int = 20_000) -> list[UUID]:
    """Make the deliveries for new events, for the caller to enqueue.

    Args:
        limit: The most events to read; the next tick continues after them.
    """
    made: list[UUID] = []
    seen = 0
    while seen < limit:
        count, new = _plan_batch(now)
        made, seen = made + new, seen + count
        if count < BATCH:
            break
    return made


@transaction.atomic
def _plan_batch(now: datetime) -> tuple[int, list[UUID]]:
    """Read a batch of events; return their number and the new deliveries."""
    Cursor.objects.get_or_create(pk=1)
    # A concurrent tick waits here, and then finds the cursor after the events that this one read.
    cursor = Cursor.objects.select_for_update().get(pk=1)
    events = list(
        AuditEvent.objects.filter(position__gt=cursor.position).order_by("position")[:BATCH]
    )
    if not events:
        return 0, []
    made = make_deliveries(events, now)
    Cursor.objects.filter(pk=1).update(position=events[-1].position)
    return len(events), made


def make_deliveries(
    events: Iterable[AuditEvent], now: datetime, *, only_for: int | None = None
) -> list[UUID]:
    """Make the deliveries of events that the settings ask for.

    Call it in a transaction.

    Args:
        only_for: The account that gets the e-mails instead of all owners.
    """
    reported = [event for event in events if event.action in KINDS and event.project_id]
    repeated = repeated_failures(reported)
    reported = [event for event in reported if event.pk not in repeated]
    found = _Wanted(reported, only_for)
    rows = [
        Delivery(
            project=project,
            event_id=event.pk,
            kind=KINDS[event.action],
            channel=channel,
            account_id=account_id,
            message=compose(found.redacted(event, account_id), project),
            lease_until=now + message_counts_for(),
        )
        for event in reported
        for project, channel, account_id in found.of(event)
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    for row in rows:
        log.info(
            "notification queued",
            delivery=row.pk,
            kind=row.kind,
            channel=row.channel,
            project=row.project_id,
        )
    return [row.pk for row in rows]


class _Wanted:
    """Decides who gets which messages of events, in at most six queries."""

    def __init__(self, events: Sequence[AuditEvent], only_for: int | None) -> None:
        project_ids = {event.project_id for event in events if event.project_id}
        projects = Project.objects.exclude(state=Project.State.REMOVED)
        self._projects = projects.in_bulk(project_ids)
        self._settings = NotificationSettings.objects.in_bulk(project_ids)
        self._owners = self._owners_of(self._projects) if only_for is None else None
        self._only_for = only_for
        self._mentions = mentions_in(events)
        accounts = {one for all_of in (self._owners or {}).values() for one in all_of}
        readers = readers_of(
            sorted(accounts),
            [mention.project_id for both in self._mentions.values() for mention in both],
        )
        self._readers_by_id = {reader.account_id: reader for reader in readers}

    def redacted(self, event: AuditEvent, account_id: int | None) -> AuditEvent:
        """Copy an event, redacted for one account.

        Without an account, as for a webhook, it is redacted for all owners of the project.
        """
        of_project = self._owners[event.project_id] if self._owners and event.project_id else []
        owners = [account_id] if account_id else of_project
        readers = [self._readers_by_id[one] for one in owners if one in self._readers_by_id]
        return redacted(copy(event), self._mentions.get(event.pk, ()), readers)

    def of(self, event: AuditEvent) -> Iterator[tuple[Project, str, int | None]]:
        """Yield project, channel and account of each message of an event."""
        project, kind = self._projects.get(event.project_id), KINDS[event.action]
        if project is None:
            return
        if kind in WHILE_RUNNING and project.state != Project.State.ACTIVE:
            return
        chosen = self._settings.get(project.pk) or NotificationSettings(project=project)
        if kind == Kind.STORED:
            if chosen.sealed_heartbeat_url:
                yield project, Channel.HEARTBEAT, None
            return
        if kind in chosen.muted:
            return
        is_digest = kind == Kind.DIGEST
        if can_send() and (chosen.next_digest_at if is_digest else chosen.by_email):
            for account_id in self._readers(project):
                yield project, Channel.EMAIL, account_id
        if chosen.sealed_webhook_url and not is_digest:
            yield project, Channel.WEBHOOK, None

    def _readers(self, project: Project) -> Sequence[int]:
        if self._owners is None:
            return [self._only_for] if self._only_for is not None else []
        return self._owners[project.pk]

    @staticmethod
    def _owners_of(project_ids: Iterable[UUID]) -> dict[UUID, list[int]]:
        owners: dict[UUID, list[int]] = defaultdict(list)
        members = Membership.objects.filter(
            project__in=list(project_ids), role=Membership.Role.OWNER, account__is_active=True
        )
        for project_id, account_id in members.values_list("project_id", "account_id"):
            owners[project_id].append(account_id)
        return owners
