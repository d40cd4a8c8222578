"""Writing the audit log."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from django.http import HttpRequest

from backups_portal.audit.models import AuditEvent

log = logging.getLogger(__name__)

SUBJECT_LENGTH = 200
# By which means the account acts, where it is no browser: every event of a request says it.
_means: ContextVar[str] = ContextVar("means", default="")


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
    """Let the events in between say `means` as their detail "via", such as "API token nightly"."""
    before = _means.set(means)
    try:
        yield
    finally:
        _means.reset(before)


def record(
    *,
    action: str,
    actor: Actor | None,
    project: Subject | None = None,
    subject: str = "",
    details: dict[str, Any] | None = None,
    address: str | None = None,
) -> AuditEvent:
    """Append one event, and say it in the log too.

    Args:
        action: "area.verb", such as "settings.changed".
        actor: None where the system acted by itself.
        subject: what it was about, in a few words; cut at 200 characters.
        details: plain values that JSON can hold; never a secret.
        address: the IP address that the request came from.
    """
    project_id: uuid.UUID | None = project.id if project else None
    via = {"via": means} if (means := _means.get()) else {}
    event = AuditEvent.objects.create(
        action=action,
        account_id=actor.pk if actor else None,
        account_email=actor.email if actor else "",
        project_id=project_id,
        project_name=project.name if project else "",
        # PostgreSQL holds no NUL in text, and a refused sign-in may bring one.
        subject=subject.replace("\0", "")[:SUBJECT_LENGTH],
        details={**(details or {}), **via},
        address=address,
    )
    log.info(
        "%s account=%s project=%s subject=%r",
        action,
        event.account_id or "system",
        project_id or "-",
        event.subject,
    )
    return event


def address_of(request: HttpRequest) -> str | None:
    """Where a request came from, as the web server saw it; None behind a socket file."""
    return request.META.get("REMOTE_ADDR") or None
