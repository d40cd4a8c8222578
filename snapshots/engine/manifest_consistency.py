"""Checks of a manifest's consistency, beyond the types of its values.

They find parts that were cut out or put in when nothing else is known about the snapshot, as after
the loss of the control database.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from backups_portal.projectdb.catalogue import BY_NAME, VARIABLE, Table, digest_columns
from backups_portal.projectdb.schema_version import SCHEMA_VERSION
from snapshots.engine.layout import segment_key

if TYPE_CHECKING:
    from snapshots.engine.manifest import Manifest, Segment

CONTENTS = "contents."
# These contents are divided by time, as variables are (contents_index.py).
CELLS = f"{CONTENTS}variable"


def load_unambiguous(content: bytes) -> dict[str, object]:
    """Read a JSON object; ValueError or TypeError if it is invalid."""
    document = json.loads(content, object_pairs_hook=_without_repetition)
    if not isinstance(document, dict):
        raise TypeError("it is not an object")
    return document


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def check_consistency(manifest: "Manifest") -> None:
    """Raise ValueError if a manifest contradicts itself or lacks a part."""
    for item in (*manifest.segments, *manifest.contents):
        _check_object(manifest, item)
    _check_tables(manifest)
    _check_covers_time(manifest.of(VARIABLE.name))
    _check_covers_time([item for item in manifest.contents if item.table == CELLS])
    if not 2000 <= manifest.taken_at.year < 3000:
        raise ValueError("it has an impossible date")
    if manifest.rows >= 2**63 or manifest.stored_bytes >= 2**63 or manifest.logical_bytes >= 2**63:
        raise ValueError("its totals are impossibly large")


def _check_object(manifest: "Manifest", item: "Segment") -> None:
    if item.key != segment_key(manifest.project_id, item.sha256):
        raise ValueError(f"the key of {item.key} does not match its SHA-256")
    content = item.content
    if content is not None:
        if not item.table.startswith(CONTENTS):
            raise ValueError(f"{item.table} is inline, but only contents may be")
        if len(content) != item.bytes or hashlib.sha256(content).hexdigest() != item.sha256:
            raise ValueError(f"the inline bytes of {item.key} do not match its record")
    is_variable = item.table == VARIABLE.name
    if sum(item.chunk_rows.values()) != (item.rows if is_variable else 0):
        raise ValueError(f"the chunks of {item.key} do not add up to its rows")
    first, end = item.first_chunk, item.end_chunk
    if first is not None and end is not None and first >= end:
        raise ValueError(f"{item.key} begins after its end")


def _check_tables(manifest: "Manifest") -> None:
    """Check that segments and columns are about the same tables."""
    if {segment.table for segment in manifest.segments} != manifest.columns.keys():
        raise ValueError("its tables differ from those of its segments")
    if VARIABLE.name not in manifest.columns:
        raise ValueError("it has no variables")
    if not all(item.table.startswith(CONTENTS) for item in manifest.contents):
        raise ValueError("its contents have an unknown name")
    if manifest.schema_version == SCHEMA_VERSION:
        for table, names in manifest.columns.items():
            if table not in BY_NAME or not {*names} <= _known_columns(BY_NAME[table]):
                raise ValueError(f"this version has no such table or columns: {table}")


def _known_columns(table: Table) -> set[str]:
    return {*table.stored(), *digest_columns(table)}


def _check_covers_time(items: "Iterable[Segment]") -> None:
    """Check that time has no gap and no overlap; ranges may be equal."""
    ranges = {(item.first_chunk, item.end_chunk) for item in items}
    ordered = sorted(ranges, key=lambda one: (one[0] is not None, one[0] or 0))
    ends = [None, *(end for _, end in ordered)]
    starts = [*(first for first, _ in ordered), None]
    if not ordered or starts != ends:
        raise ValueError("its segments leave a gap in time, or overlap")
