"""Segments: immutable Parquet objects, named by their content."""

import hashlib
import io
import math
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import numpy as np

# pyarrow needs it for every array; imported here, it is loaded before workers fork.
import numpy.ma
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from backups_portal.ui.formats import count
from snapshots.engine.digest import Digest
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.layout import segment_key
from snapshots.engine.manifest import MAX_INLINE, Segment
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.storage import Storage

# Ascending within a segment, so that their differences are small.
ASCENDING = frozenset({"time", "created_at", "id", "chunk", "device"})
# Neighbouring rows rarely share these values, so a dictionary would only add its indices.
PLAIN = frozenset({"group_key", "digest"})
# A column is long if its values have more bytes than this on average.
LONG = 4_096
# A column is regular if its steps have at most this share of distinct values.
REGULAR = 1 / 8
SAMPLE_ROWS = 8192
# Fibonacci hashing: 2^64 divided by the golden ratio spreads neighbouring numbers evenly.
HASH_BITS, GOLDEN = 18, np.uint64(0x9E3779B97F4A7C15)
COMPRESSION_LEVEL = 1
# Rows of a row group: a search for one series reads only the groups whose statistics include it.
# A dictionary of this many rows is small too, so that segments are no larger (decision 0038).
GROUP_ROWS = 32_768
SOUGHT = "series_id"


@dataclass(frozen=True)
class EncodedSegment:
    """A segment and its bytes, not stored yet."""

    segment: Segment
    content: bytes

    def in_line(self) -> Segment | None:
        """Return the segment with its bytes inline; None if they are too many."""
        text = b64encode(self.content).decode()
        return replace(self.segment, inline=text) if len(text) <= MAX_INLINE else None


@dataclass(frozen=True)
class Coverage:
    """The part of time that a segment covers; by default all of it.

    Attributes:
        chunks: The range that its rows come from.
        rows: For variables: rows by chunk.
        orphans: For variables: rows of the range that were left out, by chunk.
    """

    chunks: ChunkRange = field(default_factory=lambda: ChunkRange(None, None))
    rows: dict[int, int] = field(default_factory=dict)
    orphans: dict[int, int] = field(default_factory=dict)


def encode(
    table: pa.Table,
    *,
    project_id: UUID,
    name: str,
    digest: Digest,
    covers: Coverage | None = None,
) -> EncodedSegment:
    """Encode rows of one table as a segment.

    Args:
        digest: The digest over the columns that a restore must reproduce exactly.
    """
    covers = covers or Coverage()
    content = _parquet(table)
    sha256 = hashlib.sha256(content).hexdigest()
    segment = Segment(
        table=name,
        key=segment_key(project_id, sha256),
        sha256=sha256,
        rows=table.num_rows,
        bytes=len(content),
        logical_bytes=table.nbytes,
        digest=str(digest),
        first_chunk=covers.chunks.first,
        end_chunk=covers.chunks.end,
        chunk_rows=covers.rows,
        orphans=covers.orphans,
    )
    return EncodedSegment(segment, content)


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    deltas = {name for name in table.column_names if name in ASCENDING and _is_delta(table[name])}
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=[name for name in table.column_names if _has_dictionary(table, name)],
        column_encoding=dict.fromkeys(sorted(deltas), "DELTA_BINARY_PACKED") or None,
        write_statistics=[SOUGHT] if SOUGHT in table.column_names else False,
        row_group_size=GROUP_ROWS,
    )
    return sink.getvalue()


def _has_dictionary(table: pa.Table, name: str) -> bool:
    # A dictionary of long texts takes twice their size in memory before Parquet abandons it.
    is_long = table[name].nbytes > LONG * table.num_rows
    return not is_long and name not in ASCENDING and name not in PLAIN


def _is_delta(column: pa.ChunkedArray) -> bool:
    """Tell whether differences of neighbours compress better than the values.

    The records of one reading share their times: rows sorted by series repeat the same sequence of
    times for each variable of a device, which compression finds in the plain values but not in
    packed differences. Regular times are only small as differences.
    """
    if not (pa.types.is_integer(column.type) or pa.types.is_timestamp(column.type)):
        return False
    if column.null_count or not len(column):
        return True
    values = column.cast(pa.int64()).combine_chunks().to_numpy()
    # Sorting this few values is several times as fast as numpy's hash tables.
    steps = np.sort(np.diff(values[:SAMPLE_ROWS]))
    if np.count_nonzero(steps[1:] != steps[:-1]) + 1 <= len(steps) * REGULAR:
        return True
    return _distinct(values) > len(values) / 2


def _distinct(values: npt.NDArray[np.int64]) -> float:
    """Estimate the number of distinct values by linear counting (Whang, 1990)."""
    seen = np.zeros(1 << HASH_BITS, bool)
    seen[(values.view(np.uint64) * GOLDEN) >> np.uint64(64 - HASH_BITS)] = True
    free = max(1, len(seen) - int(np.count_nonzero(seen)))
    return len(seen) * math.log(len(seen) / free)


def read_segment(storage: Storage, segment: Segment) -> pa.Table:
    """Read the rows of a stored segment, comparing its bytes with the record.

    Raises:
        MissingObjectError: storage lacks the object.
        DamagedSnapshotError: the object is not what the snapshot recorded.
    """
    content = read_bytes(storage, segment)
    try:
        # pyarrow's read_table would first import its datasets: 45 ms of a new process.
        table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}, {segment.key}) is not a Parquet file."
        ) from error
    if table.num_rows != segment.rows:
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}) holds {count(table.num_rows, 'row')} instead "
            f"of {segment.rows:,}."
        )
    return table


def check_columns(found: Iterable[str], columns: Iterable[str], name: str) -> None:
    """Raise DamagedSnapshotError if a table lacks one of the columns."""
    if missing := sorted({*columns} - {*found}):
        raise DamagedSnapshotError(
            f"A part of this backup ({name}) lacks the columns {', '.join(missing)}."
        )


def read_bytes(storage: Storage, segment: Segment) -> bytes:
    """Read the bytes of a stored segment; raises as `read_segment` does."""
    if (content := segment.content) is not None:
        return check_bytes(segment, content)
    return storage.read(segment.key, partial(check_bytes, segment))


def check_bytes(segment: Segment, content: bytes) -> bytes:
    """Return the bytes; DamagedSnapshotError if they are not the segment's."""
    if hashlib.sha256(content).hexdigest() != segment.sha256:
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}, {segment.key}) was changed in storage after "
            "it was written."
        )
    return content


def total_digest(segments: list[Segment]) -> Digest:
    """Add up the digests of some segments."""
    return sum((Digest.parse(segment.digest) for segment in segments), Digest())
