"""Compare manifests of stored snapshots with what was recorded."""

from snapshots.engine.manifest import Manifest
from snapshots.engine.manifest_record import ManifestRecord
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot


def load_manifest(storage: Storage, snapshot: Snapshot) -> Manifest:
    """Read a stored snapshot's manifest; raises as `ManifestRecord.load`."""
    return record_of(snapshot).load(storage)


def record_of(snapshot: Snapshot) -> ManifestRecord:
    """Gather what the database recorded of a stored snapshot's manifest."""
    # The digest alone is enough. Lists defer `table_rows`, and have enough figures without it.
    is_enough = snapshot.manifest_sha256 or "table_rows" in snapshot.get_deferred_fields()
    table_rows = {} if is_enough else snapshot.table_rows
    return ManifestRecord(
        key=snapshot.manifest,
        project_id=snapshot.project_id,
        snapshot_id=snapshot.pk,
        sha256=snapshot.manifest_sha256,
        taken_at=snapshot.taken_at,
        rows=snapshot.rows,
        logical_bytes=snapshot.logical_bytes,
        stored_bytes=snapshot.stored_bytes,
        table_rows=tuple(sorted(table_rows.items())),
    )


def note_digest(snapshot: Snapshot, manifest: Manifest) -> None:
    """Record the digest of a checked manifest, if none is recorded yet."""
    rows = Snapshot.objects.filter(pk=snapshot.pk, manifest_sha256="")
    rows.update(manifest_sha256=manifest.sha256)


def catalogue_fields(manifest: Manifest) -> dict[str, object]:
    """Return a snapshot's fields whose values come from its manifest."""
    return {
        "taken_at": manifest.taken_at,
        "manifest": manifest.key,
        "manifest_sha256": manifest.sha256,
        "is_full": manifest.is_full,
        "table_rows": manifest.table_rows,
        "rows": manifest.rows,
        "rows_done": manifest.rows,
        "rows_total": manifest.rows,
        "logical_bytes": manifest.logical_bytes,
        "stored_bytes": manifest.stored_bytes,
        "new_bytes": manifest.new_bytes,
        "postgresql_version": manifest.postgresql_version,
        "schema_version": manifest.schema_version,
    }
