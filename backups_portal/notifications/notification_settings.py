"""Change which events a project reports and where, and test the channels."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.accounts.sign_in_limits import minutes
from backups_portal.audit.recorder import record
from backups_portal.lib.limits import Limit
from backups_portal.lib.safe_http import OutgoingError, check_address, host_of
from backups_portal.notifications.digest_contents import next_digest
from backups_portal.notifications.errors import NotificationsRefusedError
from backups_portal.notifications.message_queue import make_deliveries
from backups_portal.notifications.models import (
    CHOSEN,
    HEARTBEAT_URL,
    WEBHOOK_SECRET,
    WEBHOOK_URL,
    Kind,
    NotificationSettings,
    seal,
)
from backups_portal.notifications.webhook_signature import new_secret
from backups_portal.projects.access import Permission, hold_right
from backups_portal.projects.models import Project
from backups_portal.ui.formats import count

TESTS = Limit("notification-tests", tries=10, seconds=60 * 60)
NOWHERE = "none"


def settings_of(project: Project) -> NotificationSettings:
    """Return what the project's owners have chosen, or the defaults."""
    found = NotificationSettings.objects.filter(pk=project.pk).first()
    return found or NotificationSettings(project=project)


@dataclass(frozen=True)
class Choice:
    """The settings that owners choose.

    Attributes:
        wanted: The kinds that are reported.
        webhook: The URL to post messages to; empty: none, and the secret is deleted.
        heartbeat: The URL to request after each stored backup; empty: none.
        weekly_digest: Whether every owner gets an e-mail about each week.
    """

    by_email: bool
    wanted: Collection[str]
    reminder_days: int
    webhook: str
    heartbeat: str
    weekly_digest: bool = False


@transaction.atomic
def change_notifications(*, project: Project, actor: Account, choice: Choice) -> str:
    """Save which events are reported and where, and record the changes.

    Only the hosts of addresses are recorded.

    Returns:
        The secret of a webhook that had none, else "". It can never be read again.

    Raises:
        NotificationsRefusedError: an address is invalid; nothing was saved.
        RightLostError: the actor was removed a moment ago.
    """
    hold_right(actor, Permission.MANAGE_NOTIFICATIONS, project)
    _check("webhook", choice.webhook)
    _check("heartbeat", choice.heartbeat)
    row = _locked(project)
    before, old = _as_values(row), _urls(row)
    secret = _take_over(row, choice)
    row.save()
    changes = _changes(before, _as_values(row))
    for name, url in _urls(row).items():
        if url != old[name] and name not in changes:
            changes[name] = {"old": host_of(url), "new": f"{host_of(url)}, another address"}
    if changes:
        _record("notifications.changed", project, actor, changes)
    return secret


def _take_over(row: NotificationSettings, choice: Choice) -> str:
    """Copy a choice into the row; return the secret of a new webhook."""
    row.by_email, row.reminder_days = choice.by_email, choice.reminder_days
    row.muted = [kind.value for kind in CHOSEN if kind not in choice.wanted]
    if choice.weekly_digest != (row.next_digest_at is not None):
        zone = row.project.main_database.backup_time_zone
        row.next_digest_at = next_digest(timezone.now(), zone) if choice.weekly_digest else None
    row.sealed_webhook_url = seal(choice.webhook, WEBHOOK_URL)
    row.sealed_heartbeat_url = seal(choice.heartbeat, HEARTBEAT_URL)
    if not choice.webhook:
        row.sealed_webhook_secret = None
    if not choice.webhook or row.sealed_webhook_secret is not None:
        return ""
    secret = new_secret()
    row.sealed_webhook_secret = seal(secret, WEBHOOK_SECRET)
    return secret


@transaction.atomic
def turn_off_digest(*, project: Project, actor: Account) -> bool:
    """Stop the weekly digest of a project; tell whether it was on."""
    row = _locked(project)
    if row.next_digest_at is None:
        return False
    row.next_digest_at = None
    row.save(update_fields=["next_digest_at"])
    changes: dict[str, object] = {"weekly_digest": {"old": "on", "new": "off"}}
    _record("notifications.changed", project, actor, changes)
    return True


@transaction.atomic
def renew_secret(*, project: Project, actor: Account) -> str:
    """Make a new secret for the webhook; return "" if there is no webhook.

    It signs messages from the next one on.

    Raises:
        RightLostError: the actor was removed a moment ago.
    """
    hold_right(actor, Permission.MANAGE_NOTIFICATIONS, project)
    row = _locked(project)
    if not row.sealed_webhook_url:
        return ""
    secret = new_secret()
    row.sealed_webhook_secret = seal(secret, WEBHOOK_SECRET)
    row.save(update_fields=["sealed_webhook_secret"])
    _record("notifications.secret_renewed", project, actor, {})
    return secret


def request_test(*, project: Project, actor: Account) -> list[UUID]:
    """Make a test message for the requesting owner and the webhook.

    Returns:
        The deliveries, for the caller to enqueue; none if there is nowhere to send it.

    Raises:
        NotificationsRefusedError: too many tests were requested; try again later.
        RightLostError: the actor was removed a moment ago.
    """
    if seconds := TESTS.take(str(project.pk)):
        raise NotificationsRefusedError(
            f"Too many test messages were sent. Try again in {count(minutes(seconds), 'minute')}."
        )
    with transaction.atomic():
        hold_right(actor, Permission.MANAGE_NOTIFICATIONS, project)
        event = _record("notifications.tested", project, actor, {})
        return make_deliveries([event], timezone.now(), only_for=actor.pk)


def _locked(project: Project) -> NotificationSettings:
    NotificationSettings.objects.get_or_create(project=project)
    return NotificationSettings.objects.select_for_update().get(project=project)


def _check(name: str, url: str) -> None:
    try:
        if url:
            check_address(url)
    except OutgoingError as error:
        raise NotificationsRefusedError(str(error), field=name) from error


def _urls(row: NotificationSettings) -> dict[str, str]:
    return {"webhook": row.webhook_url, "heartbeat": row.heartbeat_url}


def _as_values(row: NotificationSettings) -> dict[str, object]:
    """Return the settings in the audit log's form, without secrets."""
    hosts = {name: host_of(url) if url else NOWHERE for name, url in _urls(row).items()}
    muted = ", ".join(Kind(kind).label for kind in row.muted if kind in Kind.values)
    return {
        "by_email": "on" if row.by_email else "off",
        "weekly_digest": "on" if row.next_digest_at else "off",
        "not_told": muted or "nothing",
        "reminder_days": row.reminder_days,
        **hosts,
    }


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    return {
        name: {"old": before[name], "new": after[name]}
        for name in after
        if before[name] != after[name]
    }


def _record(action: str, project: Project, actor: Account, details: dict[str, object]) -> Any:
    return record(
        action=action, actor=actor, project=project, subject="Notifications", details=details
    )
