"""Shut a project down, or start it again within its grace period."""

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.billing.charge_ledger import current_quote, start_running, stop_running
from backups_portal.lib.db_time import database_now
from backups_portal.projects.access import Permission, hold_right
from backups_portal.projects.errors import ShutDownRefusedError
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.projects.shutdown_periods import STARTED, STOPPED
from backups_portal.ui.visible_names import seen_name


@transaction.atomic
def shut_down(*, project: Project, actor: Account, typed_name: str) -> Project:
    """Shut a project down: end its charge, API and backups, remove nothing.

    Repeating it changes nothing: the grace period counts from the first time.

    Raises:
        ShutDownRefusedError: the typed name is not the project's.
        RightLostError: the actor was removed a moment ago.
    """
    shown = seen_name(project.name)
    if " ".join(typed_name.split()) not in (project.name, shown):
        raise ShutDownRefusedError(
            f"That is not this project's name. Type “{shown}” exactly as shown here.",
            field="name",
        )
    hold_right(actor, Permission.MANAGE_PROJECT, project)
    row = _locked(project)
    if row.state == Project.State.SHUT_DOWN:
        return row
    now = timezone.now()
    # By a clock that runs behind, the grace period would be over at once.
    row.state, row.shut_down_at = Project.State.SHUT_DOWN, max(now, database_now())
    row.save(update_fields=["state", "shut_down_at"])
    MainDatabase.objects.filter(project=row).update(next_snapshot_at=None)
    stop_running(project=row, at=now)
    record(action=STOPPED, actor=actor, project=row)
    return row


@transaction.atomic
def start_again(*, project: Project, actor: Account, shown_terms: str = "") -> Project:
    """Start a shut-down project again, and charge for it again.

    Its next backup is due at once, and is skipped if this day has one.

    Args:
        shown_terms: The prices that the actor saw, as `Quote.terms`; empty: any.

    Raises:
        ShutDownRefusedError: its grace period is over, or the prices have changed.
        RightLostError: the actor was removed a moment ago.
    """
    hold_right(actor, Permission.MANAGE_PROJECT, project)
    row = _locked(project)
    if row.state == Project.State.ACTIVE:
        return row
    now, until = timezone.now(), row.removed_after
    if until is None or until <= now:
        raise ShutDownRefusedError(
            "This project's grace period is over. It can't be started again."
        )
    quote = current_quote()
    if shown_terms and shown_terms != quote.terms:
        raise ShutDownRefusedError(
            "The price has changed since this page was shown. Check it, then start the project."
        )
    row.state, row.shut_down_at = Project.State.ACTIVE, None
    row.save(update_fields=["state", "shut_down_at"])
    MainDatabase.objects.filter(project=row).update(next_snapshot_at=now)
    start_running(project=row, quote=quote, reason="Started again")
    record(action=STARTED, actor=actor, project=row)
    return row


def _locked(project: Project) -> Project:
    # FOR UPDATE could deadlock with a transaction that adds a row of the project, such as an
    # objective or a check: it holds the lock on the main database, which this one takes next.
    return Project.objects.select_for_update(no_key=True).get(pk=project.pk)
