"""Damage that was found in a storage, and the backups that it affects."""

from collections.abc import Collection

from django.db import transaction

from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.ui import formats
from snapshots.engine.errors import EngineError
from snapshots.engine.fallback_storage import is_away
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import SECOND, snapshot_storage

log = get_logger(__name__)

# A sentence names this many backups, and counts the rest.
MAX_NAMED = 5


def note_healed(snapshot: Snapshot, healed: Collection[str]) -> None:
    """Record what an attempt at a full snapshot wrote again, if anything.

    The snapshot's page says so too, even if the snapshot fails.
    """
    if not healed:
        return
    text = _describe_healed(snapshot, healed)
    log.error("storage had lost or damaged objects: %s", text, snapshot=snapshot.pk)
    with transaction.atomic():
        rows = Snapshot.objects.select_for_update(of=("self",))
        row = rows.get(pk=snapshot.pk)
        row.storage_note = f"{row.storage_note} {text}".strip()
        row.save(update_fields=["storage_note"])
        # The new objects are not locked, even if the ones they replace were.
        Snapshot.objects.filter(project=snapshot.project_id).exclude(pk=snapshot.pk).update(
            locked_until=None
        )
        snapshot.record("snapshot.storage_healed", reason=text, objects=sorted(healed)[:20])


def _describe_healed(snapshot: Snapshot, healed: Collection[str]) -> str:
    """Tell an owner what was written again, and what that means."""
    objects = len(healed)
    text = (
        f"The backup storage had lost or damaged {objects} object{'s'[: objects != 1]} of earlier "
        f"backups. This backup has written {'it' if objects == 1 else 'them'} again."
    )
    shared = _sharing(snapshot, healed)
    if not shared:
        return text
    failed = any(row.verdict == Snapshot.Verdict.FAILED for row in shared)
    again = " A backup that had failed its proof is offered again once an operator proves it."
    have = "it has" if len(shared) == 1 else "they have"
    return (
        f"{text} So {_names(shared)} can be restored again, unless {have} other damage."
        f"{again if failed else ''}"
    )


def note_healed_copy(snapshot: Snapshot, healed: Collection[str]) -> None:
    """Record damaged objects of the second storage that were copied again."""
    reason = (
        f"{SECOND} had damaged {len(healed)} object{'s'[: len(healed) != 1]} of earlier copies. "
        "This copy has written what it has of them again."
    )
    log.error("the second storage had damaged objects: %s", reason, snapshot=snapshot.pk)
    record(
        action="snapshot.storage_healed",
        actor=None,
        project=snapshot.project,
        subject=f"Copy of the backup of {snapshot.local_date}",
        details={"snapshot": str(snapshot.pk), "reason": reason, "objects": sorted(healed)[:20]},
    )


def _sharing(snapshot: Snapshot, objects: Collection[str]) -> list[Snapshot]:
    """Find other stored backups that name any of the objects, newest first."""
    stored = Snapshot.objects.completed().filter(project=snapshot.project_id)
    found = []
    for row in stored.exclude(pk=snapshot.pk).order_by("-taken_at"):
        try:
            manifest = load_manifest(snapshot_storage(), row)
        except EngineError as error:
            log.warning("the manifest cannot be read", snapshot=row.pk, exc_info=True)
            if is_away(error):
                break
            continue
        if not manifest.objects.keys().isdisjoint(objects):
            found.append(row)
    return found


def _names(rows: list[Snapshot]) -> str:
    names = [formats.day(row.local_date) for row in rows[:MAX_NAMED]]
    more = len(rows) - len(names)
    if more:
        names.append(f"{more} more")
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"the backup{'s'[: len(rows) != 1]} of {listed}"
