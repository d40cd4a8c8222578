"""Manifests and segments made without an engine, for tests of their consumers."""

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from backups_portal.projectdb.catalogue import VARIABLE
from snapshots.engine.layout import segment_key
from snapshots.engine.manifest import Manifest, Segment


def make_manifest(project_id: uuid.UUID, **fields: Any) -> Manifest:
    """Make a manifest that names nothing unless given fields."""
    return Manifest(
        project_id=project_id,
        **{
            "snapshot_id": uuid.uuid4(),
            "prefix": "0" * 8,
            "taken_at": datetime.now(UTC),
            "is_full": True,
            "postgresql_version": "18.0",
            "schema_version": 1,
            "columns": {VARIABLE.name: ("series_id", "time")},
            "segments": (),
            "contents": (),
            "new_keys": frozenset(),
            **fields,
        },
    )


def make_segment(
    project_id: uuid.UUID,
    name: str,
    chunk_rows: Mapping[int, int],
    *,
    table: str = VARIABLE.name,
    size: int = 1,
) -> Segment:
    """Make a segment with this many rows by chunk but no object; its name determines its key."""
    return Segment(
        table=table,
        key=key_of(project_id, name),
        sha256=_digest(name),
        rows=sum(chunk_rows.values()),
        bytes=size,
        logical_bytes=5 * size,
        digest=_digest(name)[:32],
        chunk_rows=dict(chunk_rows) if table == VARIABLE.name else {},
    )


def key_of(project_id: uuid.UUID, name: str) -> str:
    """Return the key of an object with this name."""
    return segment_key(project_id, _digest(name))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
