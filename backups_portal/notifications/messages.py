"""Compose the message of an audit event, for people and for programs."""

from collections.abc import Callable
from datetime import UTC

from django.conf import settings
from django.urls import reverse

from backups_portal.audit.audit_log import subject_in_words
from backups_portal.audit.models import AuditEvent
from backups_portal.notifications.digest_contents import digest_as_text
from backups_portal.notifications.models import Kind
from backups_portal.projects.models import Project
from backups_portal.ui.formats import day_and_time
from backups_portal.ui.visible_names import seen_name

Words = tuple[str, str, str]


def compose(event: AuditEvent, project: Project) -> dict[str, object]:
    """Compose an event's message, as it is stored and sent to webhooks.

    Its `data` has `title` and `text` in words, a `url` of the portal, and the event's subject and
    details as in the audit log, which never holds a secret.
    """
    _, words = EVENTS[event.action]
    title, text, path = words(event, project)
    return {
        "type": event.action,
        "timestamp": event.at.astimezone(UTC).isoformat(),
        "data": {
            "project": {
                "id": str(project.pk),
                "slug": project.slug,
                "name": seen_name(project.name),
            },
            "title": title,
            "text": text,
            "url": f"{settings.PORTAL_URL}{path}",
            "subject": event.subject,
            "details": event.details,
        },
    }


def _subject(event: AuditEvent) -> str:
    return subject_in_words(event.subject)


def _failed(event: AuditEvent, project: Project) -> Words:
    text = f"{_subject(event)} failed. {_reason(event)}"
    if planned := project.main_database.next_snapshot_at:
        text += (
            f" The next backup is due on {day_and_time(planned)} UTC. If it fails, too, tell your "
            "operator. Stored backups can be restored all the same."
        )
    return "Backup failed", text, reverse("backups", args=[project.slug])


def _missed(event: AuditEvent, project: Project) -> Words:
    return "Backup missed", _reason(event), reverse("backups", args=[project.slug])


def _size(event: AuditEvent, project: Project) -> Words:
    text = (
        f"{_subject(event)} is stored, but much smaller than the ones before it. {_reason(event)} "
        "If nobody deleted data, find out what is missing before the older backups expire."
    )
    return "Backup unusually small", text, _of_snapshot(event, project)


def _proof(event: AuditEvent, project: Project) -> Words:
    text = (
        f"{_subject(event)} does not restore to what it recorded, so it is no longer "
        f"offered. {_reason(event)} Tell your operator, and restore another backup if you need one."
    )
    return "Proof failed", text, _of_snapshot(event, project)


def _checks(event: AuditEvent, project: Project) -> Words:
    title = "Check failed" if event.details.get("failed") else "Check could not be run"
    text = (
        f"{_subject(event)} restores to what it recorded, but {event.details.get('checks', '')}. "
        f"{_reason(event)} The backup can be restored all the same."
    )
    return title, text, _of_snapshot(event, project)


def _restored(event: AuditEvent, project: Project) -> Words:
    text = (
        f"“{seen_name(event.subject)}” was restored from a backup of “{seen_name(project.name)}” "
        "and is ready. Every row was compared. It costs money for as long as it runs."
    )
    return "Restore finished", text, _of_restore(event)


def _not_restored(event: AuditEvent, project: Project) -> Words:
    text = (
        f"“{seen_name(event.subject)}” could not be restored from a backup of "
        f"“{seen_name(project.name)}”. {_reason(event)} Nothing was charged. The restore's page "
        "says what you can do."
    )
    return "Restore failed", text, _of_restore(event)


def _running(event: AuditEvent, project: Project) -> Words:
    text = (
        f"{_reason(event)} It costs money for as long as it runs. Shut it down once you no longer "
        "need it."
    )
    return "Restored project still running", text, reverse("project", args=[project.slug])


def _objective_missed(event: AuditEvent, project: Project) -> Words:
    path = reverse("objectives", args=[project.slug])
    return "Recovery objective missed", f"{event.subject}. {_reason(event)}", path


def _objective_met(event: AuditEvent, project: Project) -> Words:
    path = reverse("objectives", args=[project.slug])
    return "Recovery objective met again", f"{event.subject}. {_reason(event)}", path


def _stored(event: AuditEvent, project: Project) -> Words:
    return "Backup stored", f"{_subject(event)} is stored.", _of_snapshot(event, project)


def _digest(event: AuditEvent, project: Project) -> Words:
    path = reverse("project", args=[project.slug])
    return f"Weekly digest, {event.details['period']}", digest_as_text(event.details), path


def _tested(event: AuditEvent, project: Project) -> Words:
    name = seen_name(project.name)
    text = f"Someone sent this test from the Notifications page of “{name}”."
    return "Test", text, reverse("notifications", args=[project.slug])


# The kind of an event by its action, and the function that puts it in words.
EVENTS: dict[str, tuple[Kind, Callable[[AuditEvent, Project], Words]]] = {
    "snapshot.failed": (Kind.FAILED, _failed),
    "snapshot.missed": (Kind.MISSED, _missed),
    "snapshot.size_anomaly": (Kind.SIZE, _size),
    "proof.failed": (Kind.PROOF, _proof),
    "check.failed": (Kind.CHECK, _checks),
    "restore.completed": (Kind.RESTORE, _restored),
    "restore.failed": (Kind.RESTORE, _not_restored),
    "project.still_running": (Kind.RUNNING, _running),
    "objective.missed": (Kind.OBJECTIVE, _objective_missed),
    "objective.met": (Kind.OBJECTIVE, _objective_met),
    "snapshot.completed": (Kind.STORED, _stored),
    "notifications.digest": (Kind.DIGEST, _digest),
    "notifications.tested": (Kind.TEST, _tested),
}
KINDS = {action: kind for action, (kind, _) in EVENTS.items()}


def _reason(event: AuditEvent) -> str:
    return str(event.details.get("reason", ""))


def _of_snapshot(event: AuditEvent, project: Project) -> str:
    snapshot = event.details.get("snapshot")
    if not snapshot:
        return reverse("backups", args=[project.slug])
    return reverse("snapshot", args=[project.slug, snapshot])


def _of_restore(event: AuditEvent) -> str:
    return reverse("restore", args=[event.details["restore"]])
