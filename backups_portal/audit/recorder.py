"""Write the audit log."""

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
# By which means the account acts, if it is no browser: every event of a request says it.
_means: ContextVar[str] = ContextVar("means", default="")
# The system user who runs a command: every event of it is theirs.
_operator: ContextVar[str] = ContextVar("operator", default="")
COMMAND = "command"
# The demo's events are dated back to before they are seeded.
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
    """Give the events in between `means` as their detail "via"."""
    before = _means.set(means)
    try:
        yield
    finally:
        _means.reset(before)


@contextmanager
def acting_by_command(system_user: str) -> Iterator[None]:
    """Record the events in between as an operator's, whichever account they are about.

    Args:
        system_user: Who runs, or has run, the command; nothing changes if it is empty.
    """
    before = _operator.set(system_user or _operator.get())
    try:
        yield
    finally:
        _operator.reset(before)


def operator() -> str:
    """Return the system user whose command is at work; "" if none is."""
    return _operator.get()


@contextmanager
def told_of(moment: datetime) -> Iterator[None]:
    """Date the events in between to another moment, for a seeded story."""
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
        actor: None if the system acted by itself; a command's events are the operator's.
        subject: what it was about, in a few words; cut at 200 characters.
        details: plain values that JSON can hold; never a secret.
    """
    project_id: uuid.UUID | None = project.id if project else None
    via = {"via": means} if (means := _means.get()) else {}
    if system_user := operator():
        actor, via = None, {"via": COMMAND, "system_user": system_user}
    told: JsonObject = {"at": moment} if (moment := _moment.get()) else {}
    event = AuditEvent.objects.create(
        **told,
        action=action,
        account_id=actor.pk if actor else None,
        account_email=actor.email if actor else "",
        project_id=project_id,
        project_name=project.name if project else "",
        # PostgreSQL holds no NUL in text, and a refused sign-in may bring one.
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
