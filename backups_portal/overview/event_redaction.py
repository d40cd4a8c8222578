"""Redaction of audit events: hides the names of projects that readers may not enter."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from uuid import UUID

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.redaction import Mention, Reader, hide, reader_of
from backups_portal.transfers.models import Transfer
from restores.models import Restore

EVENTS_AT_A_TIME = 1_000


def mentions_in(events: Sequence[AuditEvent]) -> Mapping[int, Sequence[Mention]]:
    """Find the other projects that events name, in at most two queries."""
    named: dict[int, list[Mention]] = defaultdict(list)
    for of_kind, mentions_of in (("transfer", _of_transfers), ("restore", _of_restores)):
        found: dict[str, list[int]] = defaultdict(list)
        for event in events:
            if key := event.details.get(of_kind):
                found[str(key)].append(event.pk)
        for key, both in mentions_of(list(found)) if found else ():
            for event_id in found[str(key)]:
                named[event_id] += both
    return named


def _of_transfers(ids: list[str]) -> Iterator[tuple[UUID, list[Mention]]]:
    rows = Transfer.objects.filter(pk__in=ids)
    fields = ("pk", "source_name", "source_id", "target_name", "target_id", "requested_by_id")
    for pk, source_name, source, target_name, target, who in rows.values_list(*fields):
        yield pk, [Mention(source_name, source, who), Mention(target_name, target, who)]


def _of_restores(ids: list[str]) -> Iterator[tuple[UUID, list[Mention]]]:
    rows = Restore.objects.filter(pk__in=ids)
    source = ("snapshot__project__name", "snapshot__project_id")
    for pk, name, project, who, origin, origin_id in rows.values_list(
        "pk", "name", "project_id", "requested_by_id", *source
    ):
        yield pk, [Mention(name, project, who), Mention(origin, origin_id)]


def redacted(
    event: AuditEvent, mentions: Sequence[Mention], readers: Sequence[Reader]
) -> AuditEvent:
    """Redact an event in place for these readers; it must not be saved."""
    event.subject = hide(event.subject, mentions, readers)
    event.details = {
        key: hide(value, mentions, readers) if isinstance(value, str) else value
        for key, value in event.details.items()
    }
    return event


def events_for(account: Account, events: Iterable[AuditEvent]) -> Iterator[AuditEvent]:
    """Redact any number of events for an account."""
    remaining = iter(events)
    while batch := list(islice(remaining, EVENTS_AT_A_TIME)):
        named = mentions_in(batch)
        reader = reader_of(account, [one.project_id for both in named.values() for one in both])
        for event in batch:
            yield redacted(event, named.get(event.pk, ()), [reader])
