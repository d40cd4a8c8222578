"""The hash chain of the audit log: each seal covers an event and the seal before it.

Seals are HMACs with a key outside the database, so that somebody who can change rows cannot forge
them. Events are sealed up to a minute later, so that requests do not wait for the chain's lock.
Only a seal noted elsewhere reveals that the newest events were cut off, so each sealing also logs
its last seal.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

from django.conf import settings
from django.db import connection, transaction

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)

BATCH = 1_000
# No other lock of the portal uses this number; those of projects are random.
LOCK = 0x61756469
BEGINNING = bytes(32)


@dataclass(frozen=True)
class Verdict:
    """The result of checking the chain.

    Attributes:
        sealed: How many events have matching seals, up to the first that does not.
        seal: The last matching seal, in hex digits.
        unsealed: How many events are not sealed yet.
        broken: What is wrong with the first event that does not match; empty if all do.
    """

    sealed: int
    seal: str
    unsealed: int
    broken: str


def seal_events(*, limit: int = 10_000) -> int:
    """Seal the oldest unsealed events, by id; return how many."""
    sealed = 0
    while sealed < limit and (count := _seal_batch()):
        sealed += count
    return sealed


@transaction.atomic
def _seal_batch() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    events = list(AuditEvent.objects.filter(position=None).order_by("id")[:BATCH])
    if not events:
        return 0
    last = AuditEvent.objects.filter(position__isnull=False).order_by("-position").first()
    position = last.position or 0 if last else 0
    seal = bytes(last.seal or b"") if last else BEGINNING
    for event in events:
        position += 1
        seal = _seal_of(event, position, seal)
        event.position, event.seal = position, seal
    AuditEvent.objects.bulk_update(events, ["position", "seal"])
    log.info("audit log sealed", position=position, seal=seal.hex())
    return len(events)


def verify(expected: tuple[int, str] | None = None) -> Verdict:
    """Compare every seal with its event.

    Args:
        expected: A position and its seal in hex digits, from the application's log.
    """
    position, seal, broken = 0, BEGINNING, ""
    for event in _chained():
        if event.position != position + 1:
            broken = f"The event at position {position + 1} is missing."
            break
        found = _seal_of(event, position + 1, seal)
        if found != bytes(event.seal or b""):
            broken = (
                f"The event at position {event.position} was changed: "
                f"{event.action} of {event.at:%Y-%m-%d %H:%M:%S} UTC."
            )
            break
        position, seal = position + 1, found
        if expected and expected[0] == position and expected[1] != seal.hex():
            broken = f"The seal at position {position} is not the one that was noted."
            break
    if not broken and expected and expected[0] > position:
        broken = f"The log ends at position {position}; position {expected[0]} was noted."
    unsealed = AuditEvent.objects.filter(position=None).count()
    return Verdict(position, seal.hex(), unsealed, broken)


def _chained() -> Iterator[AuditEvent]:
    chained = AuditEvent.objects.filter(position__isnull=False).order_by("position")
    last = 0
    while batch := list(chained.filter(position__gt=last)[:BATCH]):
        yield from batch
        last = batch[-1].position or 0


def _seal_of(event: AuditEvent, position: int, before: bytes) -> bytes:
    fields = [
        position,
        before.hex(),
        event.pk,
        event.at.astimezone(UTC).isoformat(),
        event.action,
        event.account_id,
        event.account_email,
        str(event.project_id),
        event.project_name,
        event.subject,
        event.details,
        event.address,
    ]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return Keyring.from_hex(settings.INSTALLATION_KEY).digest(f"audit chain {text}")
