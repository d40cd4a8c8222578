"""Rebuild the catalogue from storage after the portal's database was lost.

A manifest is complete in itself, but data that only the portal had is lost: members, charges, the
audit log, the passwords of main databases. A project that is no longer known therefore comes back
shut down, with its backups, for one owner, who can restore any of them as a new project.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.lib.advisory_locks import session_lock
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.catalogue import VARIABLE
from backups_portal.projectdb.provisioning import database_name
from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, keyring
from backups_portal.projects.due_times import parse_zone
from backups_portal.projects.models import MainDatabase, Membership, Project
from backups_portal.projects.project_creation import NAME_LENGTH, insert_project, new_password
from backups_portal.projects.servers import choose_server
from backups_portal.ui.visible_names import name_problem
from snapshots.engine.contents_index import read_cells
from snapshots.engine.errors import DamagedSnapshotError, EngineError
from snapshots.engine.layout import PROBES, is_manifest, manifest_folder, project_of
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import catalogue_fields, load_manifest
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.schedule.backup_settings import MAX_DAYS
from snapshots.schedule.replacements import release_dates
from snapshots.storages.configured_storages import copy_place

log = get_logger(__name__)

# A late backup keeps the date it was due on; a label further away than this is not a due date.
NEARBY = timedelta(days=366)
# The most by which a database server's clock may be ahead of ours.
AHEAD = timedelta(days=1)
# Used for nothing else: projects' locks derive from their random ids.
REBUILD_LOCK = 20_260_001


class RebuildingError(Exception):
    """Another process is rebuilding the catalogue."""


@dataclass
class Rebuilt:
    """What was found of one project.

    Attributes:
        is_new: The portal did not know the project.
        added: The number of snapshots that came back.
        known: The number of snapshots that the portal had already.
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
        owner: The account that gets projects unknown to the portal.
        is_copy: Read the second storage; the first one may be empty.

    Raises:
        StorageError: the storage cannot be read.
        ProvisioningError: no database server could take a project.
        RebuildingError: another process is rebuilding already.
    """
    with session_lock(REBUILD_LOCK) as is_ours:
        if not is_ours:
            raise RebuildingError("The catalogue is already being rebuilt.")
        for project_id in _project_ids(storage):
            yield _rebuild(storage, project_id, owner, is_copy=is_copy)


def _project_ids(storage: Storage) -> list[UUID]:
    found = []
    for folder in storage.folders():
        project_id = project_of(folder)
        if project_id is not None:
            found.append(project_id)
        elif folder != PROBES:
            log.warning("not a project's folder: %s", folder)
    return found


def _rebuild(storage: Storage, project_id: UUID, owner: Account, *, is_copy: bool) -> Rebuilt:
    rebuilt = Rebuilt(project_id)
    project = Project.objects.filter(pk=project_id).first()
    manifests = _of_one_database(_read_manifests(storage, project_id, rebuilt), project, rebuilt)
    rebuilt.is_new = project is None
    if project is None and not manifests:
        return rebuilt
    with transaction.atomic():
        project = project or _bring_back(manifests[-1], owner)
        rebuilt.name = project.name
        # Newest first: of two snapshots for one date, the newer one counts.
        for manifest in reversed(manifests):
            if known := Snapshot.objects.filter(pk=manifest.snapshot_id).first():
                _check_known(storage, manifest, known, rebuilt)
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
    """Read all manifests, checking each against its own name and contents."""
    manifests = []
    keys = [item.key for item in storage.list(manifest_folder(project_id))]
    for key in filter(is_manifest, keys):
        try:
            manifest = Manifest.load(storage, key)
            _check_moment(manifest)
            _check_contents(storage, manifest)
            manifests.append(manifest)
        except EngineError as error:
            rebuilt.damaged[key] = str(error)
    return sorted(manifests, key=lambda manifest: manifest.taken_at)


def _check_moment(manifest: Manifest) -> None:
    """Raise DamagedSnapshotError for a backup from the future.

    It would remain the newest one, and retention would remove all others first.
    """
    if manifest.taken_at > timezone.now() + AHEAD:
        raise DamagedSnapshotError(f"It says that it was taken on {manifest.taken_at:%Y-%m-%d}.")


def _check_contents(storage: Storage, manifest: Manifest) -> None:
    """Raise DamagedSnapshotError if contents and segments differ in rows."""
    try:
        cells = read_cells(storage, manifest.contents)
    except EngineError:
        # All rows may still be there; a proof will show it.
        log.warning("the contents cannot be read", manifest=manifest.key, exc_info=True)
        return
    counted = sum(cells["rows"].to_pylist())
    if counted != manifest.table_rows[VARIABLE.name]:
        raise DamagedSnapshotError(
            f"It names {manifest.table_rows[VARIABLE.name]:,} variables, and its contents tell of "
            f"{counted:,}."
        )


def _of_one_database(
    manifests: list[Manifest], project: Project | None, rebuilt: Rebuilt
) -> list[Manifest]:
    """Select the manifests of the project's own database.

    For an unknown project that is the prefix of most manifests, or the older prefix in a tie: a
    single forged manifest cannot keep the others out.
    """
    if not manifests:
        return []
    most_have = Counter(manifest.prefix for manifest in manifests).most_common(1)[0][0]
    prefix = project.prefix if project else most_have
    others = Project.objects.filter(prefix=prefix).exclude(pk=rebuilt.project_id)
    wanted = None if others.exists() else prefix
    for manifest in manifests:
        if manifest.prefix != wanted:
            rebuilt.damaged[manifest.key] = "It is a backup of another project's database."
    return [manifest for manifest in manifests if manifest.prefix == wanted]


def _check_known(storage: Storage, manifest: Manifest, known: Snapshot, rebuilt: Rebuilt) -> None:
    """Compare a manifest with the existing row of its snapshot."""
    try:
        if known.project_id != rebuilt.project_id:
            raise DamagedSnapshotError("It is the backup of another project.")
        if known.state == Snapshot.State.COMPLETED:
            load_manifest(storage, known)
        rebuilt.known += 1
    except EngineError as error:
        rebuilt.damaged[manifest.key] = str(error)


def _bring_back(manifest: Manifest, owner: Account) -> Project:
    name = _free_name(_labelled_name(manifest), owner)
    project = insert_project(
        name=name,
        id=manifest.project_id,
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
        backup_time_zone=_labelled_zone(manifest),
        # The period is lost too, and no backup may be removed because of that.
        retention_days=MAX_DAYS,
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
    day, is_replaced = _free_date(project, manifest)
    Snapshot.objects.create(
        id=manifest.snapshot_id,
        project=project,
        state=Snapshot.State.COMPLETED,
        local_date=day,
        is_replaced=is_replaced,
        scheduled_for=manifest.taken_at,
        started_at=manifest.taken_at,
        finished_at=manifest.taken_at,
        **catalogue_fields(manifest),
    )


def _add_copy(manifest: Manifest) -> None:
    """Record the copy; until it is put back, no snapshot builds upon it."""
    now = timezone.now()
    SnapshotCopy.objects.create(
        snapshot_id=manifest.snapshot_id,
        state=SnapshotCopy.State.COPIED,
        place=copy_place(),
        copied_at=now,
        needed_at=now,
    )


def _free_date(project: Project, manifest: Manifest) -> tuple[date, bool]:
    """Return its local date, and whether another has replaced it there.

    A date has room for two; if it is full, the nearest earlier one with room is used.
    """
    day = _labelled_date(manifest)
    release_dates({project.pk: day})
    rows = Snapshot.objects.filter(project=project)
    while True:
        taken = set(rows.filter(local_date=day).values_list("is_replaced", flat=True))
        if len(taken) < 2:
            return day, False in taken
        day -= timedelta(days=1)


def _labelled_date(manifest: Manifest) -> date:
    """Read the label; the snapshot's UTC date if it is invalid or far away."""
    taken = manifest.taken_at.date()
    try:
        day = date.fromisoformat(manifest.labels.get("local_date", ""))
    except ValueError:
        return taken
    return day if abs(day - taken) <= NEARBY else taken


def _labelled_name(manifest: Manifest) -> str:
    """Read the label; a name made of the prefix if it is not valid."""
    name = manifest.labels.get("project", "").strip()[:NAME_LENGTH]
    return f"Project {manifest.prefix}" if name_problem(name) else name


def _labelled_zone(manifest: Manifest) -> str:
    """Read the label; UTC if this machine does not know the time zone."""
    try:
        return parse_zone(manifest.labels.get("time_zone", "UTC"))
    except ValueError:
        return "UTC"
