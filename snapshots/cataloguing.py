"""Making the catalogue anew from what lies in storage, where the portal's own database was lost.

A manifest is complete in itself. What only the portal knew is lost with it: members, charges, the
audit log, the passwords of main databases. A project that is not known any more therefore comes
back shut down, with its backups, for one owner; each of them becomes a new project by a restore.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.services import record
from backups_portal.projectdb.provisioning import database_name
from backups_portal.projects.connections import PASSWORD_PURPOSE, keyring
from backups_portal.projects.models import MainDatabase, Membership, Project
from backups_portal.projects.servers import choose_server
from backups_portal.projects.services import NAME_LENGTH, free_slug, new_password
from snapshots.backup_settings import LONGEST_DAYS
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest, manifest_folder
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages import copy_place

log = logging.getLogger(__name__)


@dataclass
class Rebuilt:
    """What was found of one project.

    Attributes:
        is_new: The portal did not know the project.
        added: Snapshots that came back.
        known: Snapshots that were there already.
        damaged: By the manifest's key, why it cannot be read.
    """

    project_id: UUID
    name: str = ""
    is_new: bool = False
    added: int = 0
    known: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def rebuild_each(storage: Storage, owner: Account, *, is_copy: bool = False) -> Iterator[Rebuilt]:
    """Bring back every snapshot whose manifest can be read; safe to repeat.

    Args:
        owner: Who gets the projects that the portal does not know.
        is_copy: It is the second storage; the first one need not have anything.

    Raises:
        StorageError: the storage cannot be read.
    """
    for project_id in _project_ids(storage):
        yield _rebuild(storage, project_id, owner, is_copy=is_copy)


def _project_ids(storage: Storage) -> list[UUID]:
    found = []
    for folder in storage.folders():
        try:
            found.append(UUID(folder))
        except ValueError:
            log.warning("not a project's folder: %s", folder)
    return found


def _rebuild(storage: Storage, project_id: UUID, owner: Account, *, is_copy: bool) -> Rebuilt:
    rebuilt = Rebuilt(project_id)
    manifests = _read_manifests(storage, project_id, rebuilt)
    project = Project.objects.filter(pk=project_id).first()
    rebuilt.is_new = project is None
    if project is None and not manifests:
        return rebuilt
    with transaction.atomic():
        project = project or _bring_back(manifests[-1], owner)
        rebuilt.name = project.name
        for manifest in manifests:
            if Snapshot.objects.filter(pk=manifest.snapshot_id).exists():
                rebuilt.known += 1
            else:
                _add(project, manifest)
                if is_copy:
                    _add_copy(manifest)
                rebuilt.added += 1
        if rebuilt.added:
            details = {"snapshots": rebuilt.added}
            record(action="catalogue.rebuilt", actor=None, project=project, details=details)
    return rebuilt


def _read_manifests(storage: Storage, project_id: UUID, rebuilt: Rebuilt) -> list[Manifest]:
    manifests = []
    for item in storage.list(manifest_folder(project_id)):
        try:
            manifest = Manifest.load(storage, item.key)
        except EngineError as error:
            rebuilt.damaged[item.key] = str(error)
            continue
        if manifest.key == item.key:
            manifests.append(manifest)
        else:
            rebuilt.damaged[item.key] = "It is the manifest of another backup."
    return sorted(manifests, key=lambda manifest: manifest.taken_at)


def _bring_back(manifest: Manifest, owner: Account) -> Project:
    name = _free_name(manifest.labels.get("project") or f"Project {manifest.prefix}", owner)
    project = Project.objects.create(
        id=manifest.project_id,
        slug=free_slug(name),
        name=name,
        state=Project.State.SHUT_DOWN,
        prefix=manifest.prefix,
        server=choose_server(),
        database=database_name(manifest.prefix),
        role=database_name(manifest.prefix),
        sealed_password=keyring().seal(new_password(), PASSWORD_PURPOSE),
        created_by=owner,
    )
    Membership.objects.create(project=project, account=owner, role=Membership.Role.OWNER)
    MainDatabase.objects.create(
        project=project,
        backup_time=time(3),
        backup_time_zone=manifest.labels.get("time_zone", "UTC"),
        # What the period was is lost, too: nothing may go because of it.
        retention_days=LONGEST_DAYS,
    )
    return project


def _free_name(name: str, owner: Account) -> str:
    taken = set(Project.objects.filter(created_by=owner).values_list("name", flat=True))
    lowered = {text.lower() for text in taken}
    number, found = 1, name[:NAME_LENGTH]
    while found.lower() in lowered:
        number += 1
        ending = f" ({number})"
        found = name[: NAME_LENGTH - len(ending)] + ending
    return found


def _add(project: Project, manifest: Manifest) -> None:
    Snapshot.objects.create(
        id=manifest.snapshot_id,
        project=project,
        state=Snapshot.State.COMPLETED,
        local_date=_free_date(project, manifest),
        scheduled_for=manifest.taken_at,
        started_at=manifest.taken_at,
        taken_at=manifest.taken_at,
        finished_at=manifest.taken_at,
        manifest=manifest.key,
        is_full=manifest.is_full,
        table_rows=manifest.table_rows,
        rows=manifest.rows,
        rows_done=manifest.rows,
        rows_total=manifest.rows,
        logical_bytes=manifest.logical_bytes,
        stored_bytes=manifest.stored_bytes,
        new_bytes=manifest.new_bytes,
        postgresql_version=manifest.postgresql_version,
        schema_version=manifest.schema_version,
    )


def _add_copy(manifest: Manifest) -> None:
    """Say where it is: nothing is built upon it until the first storage has it again."""
    now = timezone.now()
    SnapshotCopy.objects.create(
        snapshot_id=manifest.snapshot_id,
        state=SnapshotCopy.State.COPIED,
        place=copy_place(),
        copied_at=now,
        needed_at=now,
    )


def _free_date(project: Project, manifest: Manifest) -> date:
    """The local date that it had, or the nearest one before that no other snapshot has."""
    label = manifest.labels.get("local_date")
    day = date.fromisoformat(label) if label else manifest.taken_at.date()
    while Snapshot.objects.filter(project=project, local_date=day).exists():
        day -= timedelta(days=1)
    return day
