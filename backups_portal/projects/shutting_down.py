"""Shutting a project down, and starting it again while its grace period lasts."""

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.services import record
from backups_portal.billing.services import current_quote, start_running, stop_running
from backups_portal.projects.errors import ShutDownRefusedError
from backups_portal.projects.models import MainDatabase, Project


@transaction.atomic
def shut_down(
    *, project: Project, actor: Account, typed_name: str, address: str | None = None
) -> Project:
    """End a project's running charge, its API and its backups; nothing of it is removed yet.

    Doing it again changes nothing: the grace period counts from the first time.

    Raises:
        ShutDownRefusedError: the name that was typed is not the project's.
    """
    if " ".join(typed_name.split()) != project.name:
        raise ShutDownRefusedError(
            f"That is not the name of this project. Type “{project.name}”, as it is written here."
        )
    row = Project.objects.select_for_update().get(pk=project.pk)
    if row.state == Project.State.SHUT_DOWN:
        return row
    now = timezone.now()
    row.state, row.shut_down_at = Project.State.SHUT_DOWN, now
    row.save(update_fields=["state", "shut_down_at"])
    MainDatabase.objects.filter(project=row).update(next_snapshot_at=None)
    stop_running(project=row, at=now)
    record(action="project.shut_down", actor=actor, project=row, address=address)
    return row


@transaction.atomic
def start_again(*, project: Project, actor: Account, address: str | None = None) -> Project:
    """Let a project that was shut down run again, and cost again.

    Its next backup is due at once, and is left out where this day has one.

    Raises:
        ShutDownRefusedError: its grace period is over.
    """
    row = Project.objects.select_for_update().get(pk=project.pk)
    if row.state == Project.State.ACTIVE:
        return row
    now, until = timezone.now(), row.removed_after
    if until is None or until <= now:
        raise ShutDownRefusedError(
            "The grace period of this project is over: it cannot be started again."
        )
    row.state, row.shut_down_at = Project.State.ACTIVE, None
    row.save(update_fields=["state", "shut_down_at"])
    MainDatabase.objects.filter(project=row).update(next_snapshot_at=now)
    start_running(project=row, quote=current_quote(), reason="Started again")
    record(action="project.started_again", actor=actor, project=row, address=address)
    return row
