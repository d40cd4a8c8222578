"""The writer of the audit log."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.client_address import client_address
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)

SUBJECT_LENGTH = 200
# How the account acts, if not by browser; recorded with every event of a request.
_means: ContextVar[str] = ContextVar("means", default="")
# The system user who runs a command, and to whom its events are attributed.
_operator: ContextVar[str] = ContextVar("operator", default="")
COMMAND = "command"
# The time of events, if not now: the demo seeds backdated ones.
_moment: ContextVar[datetime | None] = ContextVar("moment", default=None)


class Actor(Protocol):
    """The account that did something."""

    pk: Any
    email: Any


class Subject(Protocol):
    """The project that something was done to."""

    id: Any
    name: Any


@contextmanager
def acting_by(means: str) -> Iterator[None]:
    """Record `means` as the detail "via" of events in the block."""
    before = _means.set(means)
    try:
        yield
    finally:
        _means.reset(before)


@contextmanager
def acting_by_command(system_user: str) -> Iterator[None]:
    """Attribute the block's events to an operator, whatever their account.

    Args:
        system_user: The user who runs, or ran, the command; "" changes nothing.
    """
    before = _operator.set(system_user or _operator.get())
    try:
        yield
    finally:
        _operator.reset(before)


def operator() -> str:
    """Return the system user whose command is running, or ""."""
    return _operator.get()


@contextmanager
def backdated_to(moment: datetime) -> Iterator[None]:
    """Date events in the block to another time, for seeded stories."""
    before = _moment.set(moment)
    try:
        yield
    finally:
        _moment.reset(before)


def record(
    *,
    action: str,
    actor: Actor | None,
    project: Subject | None = None,
    subject: str = "",
    details: JsonObject | None = None,
) -> AuditEvent:
    """Append one event, and write it to the log too.

    Args:
        action: "area.verb", such as "settings.changed".
        actor: None if the system acted by itself; ignored within an operator's command.
        subject: what the event is about, in a few words; cut at 200 characters.
        details: plain values that JSON can hold; never a secret.
    """
    project_id: uuid.UUID | None = project.id if project else None
    via = {"via": means} if (means := _means.get()) else {}
    if system_user := operator():
        actor, via = None, {"via": COMMAND, "system_user": system_user}
    backdated: JsonObject = {"at": moment} if (moment := _moment.get()) else {}
    event = AuditEvent.objects.create(
        **backdated,
        action=action,
        account_id=actor.pk if actor else None,
        account_email=actor.email if actor else "",
        project_id=project_id,
        project_name=project.name if project else "",
        # PostgreSQL cannot store NUL in text, and a refused sign-in may contain one.
        subject=subject.replace("\0", "")[:SUBJECT_LENGTH],
        details={**(details or {}), **via},
        address=client_address(),
    )
    log.info(
        "%s",
        action,
        account=event.account_id or event.who or "system",
        project=project_id or "-",
        subject=event.subject,
    )
    return event
