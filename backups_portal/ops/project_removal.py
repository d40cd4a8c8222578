"""Remove shut down projects after their grace period.

One transaction takes a project away from all its members; then its database and its backups are
deleted, and each sweep retries that until it succeeds. The row itself stays, so that restores and
charges can still show the project's name.
"""

from datetime import datetime
from uuid import UUID

import psycopg
from django.db import transaction
from django.db.models import Q

from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.models import Delivery, NotificationSettings
from backups_portal.objectives.models import Objective
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import answering_url
from backups_portal.projects.models import Invitation, MainDatabase, Membership, Project
from backups_portal.transfers.models import Transfer
from restores.models import Proof, Restore
from snapshots.engine.errors import StorageError
from snapshots.engine.object_sweep import destroy_project
from snapshots.models import Hold, Snapshot, SnapshotCopy
from snapshots.replication.copy_sweep import destroy_copies
from snapshots.storages.storage_marker import right_storage

log = get_logger(__name__)


def remove_if_over(project_id: UUID, now: datetime) -> bool:
    """Remove a project for good if its grace period is over.

    Returns whether all its data is deleted.

    Does nothing while a snapshot, copy, download, restore, proof or transfer is unfinished.
    Idempotent.
    """
    project = _retire(project_id, now)
    if project is None:
        return False
    if not (_drop_database(project) and _delete_backups(project)):
        return False
    with transaction.atomic():
        if Project.objects.filter(pk=project.pk, removed_at=None).update(removed_at=now):
            record(action="project.data_removed", actor=None, project=project)
    return True


@transaction.atomic
def _retire(project_id: UUID, now: datetime) -> Project | None:
    """Take the project away from its members; return it if its data may go."""
    # Lock in the same order as all actions of owners: memberships, then the project. A lock on keys
    # would also block transactions that hold a membership and insert a row for the project.
    members = Membership.objects.filter(project=project_id).order_by("pk")
    list(members.select_for_update(no_key=True).values_list("pk"))
    project = Project.objects.select_for_update(no_key=True).filter(pk=project_id).first()
    if project is None or project.removed_at is not None:
        return None
    if project.state == Project.State.REMOVED:
        return project
    until = project.removed_after
    # The locks wait for a restore that is being requested, and block the next request.
    snapshots = Snapshot.objects.filter(project=project)
    list(snapshots.order_by("id").select_for_update().values_list("id"))
    if until is None or now < until or _is_in_use(project, now):
        return None
    _detach(project, now)
    return project


def _detach(project: Project, now: datetime) -> None:
    for model in (Membership, Invitation, NotificationSettings, Delivery):
        model._default_manager.filter(project=project).delete()
    Objective.objects.filter(project=project).delete()
    Hold.objects.filter(snapshot__project=project).delete()
    Snapshot.objects.filter(project=project).update(
        state=Snapshot.State.EXPIRED, removed_at=now, retry_at=None
    )
    MainDatabase.objects.filter(project=project).update(next_snapshot_at=None, warm_restore=False)
    Project.objects.filter(pk=project.pk).update(state=Project.State.REMOVED, sealed_password=b"")
    record(
        action="project.removed",
        actor=None,
        project=project,
        subject=project.name,
        details={"shut_down_at": str(project.shut_down_at), "database": project.database},
    )


def _is_in_use(project: Project, now: datetime) -> bool:
    under_way = (
        Snapshot.objects.unfinished().filter(project=project),
        Snapshot.objects.filter(project=project, read_until__gt=now),
        Restore.objects.unfinished().filter(snapshot__project=project),
        Proof.objects.unfinished().filter(snapshot__project=project),
        Transfer.objects.all().unfinished().filter(Q(source=project) | Q(target=project)),
        # Only running copies: queued ones may wait long, and never start for an expired snapshot.
        SnapshotCopy.objects.filter(
            snapshot__project=project,
            state=SnapshotCopy.State.RUNNING,
            lease_until__gt=now,
        ),
    )
    return any(rows.exists() for rows in under_way)


def _drop_database(project: Project) -> bool:
    if project.server.removed_at:
        # The server is lost or given up, with everything on it.
        return True
    try:
        drop_database(answering_url(project.server), prefix=project.prefix)
    except psycopg.Error:
        log.warning("could not drop the database", project=project.pk, exc_info=True)
        return False
    return True


def _delete_backups(project: Project) -> bool:
    """Delete the backups in each storage separately: one may be unreachable."""
    is_gone = True
    for destroy in (_destroy_backups, destroy_copies):
        try:
            destroy(project.pk)
        except StorageError:
            log.warning("could not delete the backups", project=project.pk, exc_info=True)
            is_gone = False
    return is_gone


def _destroy_backups(project_id: UUID) -> None:
    destroy_project(right_storage(), project_id)
