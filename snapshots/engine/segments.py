"""Segments: immutable Parquet objects, named by what they hold."""

import hashlib
import io
import math
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from snapshots.engine.digest import Digest, table_digest
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Segment
from snapshots.engine.storage import Storage

# Ascending within a segment, so that their differences are small.
ASCENDING = frozenset({"time", "created_at", "id", "chunk", "device"})
# Hardly ever the same in neighbouring rows; a dictionary would only add its numbers to them.
PLAIN = frozenset({"group_key", "digest"})
# Below, a column is regular where so few of its steps differ.
REGULAR = 1 / 8
SAMPLE_ROWS = 8192
# Fibonacci hashing: 2^64 divided by the golden ratio spreads neighbouring numbers evenly.
HASH_BITS, GOLDEN = 18, np.uint64(0x9E3779B97F4A7C15)
COMPRESSION_LEVEL = 1


@dataclass(frozen=True)
class EncodedSegment:
    """A segment and its bytes, not stored yet."""

    segment: Segment
    content: bytes


def segment_key(project_id: UUID, sha256: str) -> str:
    """Where a segment of these bytes lives; the same bytes of a project are stored once."""
    return f"{project_id}/segments/{sha256[:2]}/{sha256}.parquet"


def encode(
    table: pa.Table,
    *,
    project_id: UUID,
    name: str,
    digest_columns: tuple[str, ...] = (),
    digest: Digest | None = None,
    first_chunk: int | None = None,
    end_chunk: int | None = None,
    chunk_rows: dict[int, int] | None = None,
) -> EncodedSegment:
    """Rows of one table as a segment.

    Args:
        digest_columns: The columns that a restore must reproduce exactly.
        digest: The digest over them, where the caller has computed it already.
        first_chunk: The first chunk of the range that the rows come from; None for no bound.
        end_chunk: The chunk behind the last one of that range; None for no bound.
    """
    content = _parquet(table)
    sha256 = hashlib.sha256(content).hexdigest()
    segment = Segment(
        table=name,
        key=segment_key(project_id, sha256),
        sha256=sha256,
        rows=table.num_rows,
        bytes=len(content),
        logical_bytes=table.nbytes,
        digest=str(digest or table_digest(table, digest_columns)),
        first_chunk=first_chunk,
        end_chunk=end_chunk,
        chunk_rows=chunk_rows or {},
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
        use_dictionary=[
            name for name in table.column_names if name not in ASCENDING and name not in PLAIN
        ],
        column_encoding=dict.fromkeys(sorted(deltas), "DELTA_BINARY_PACKED") or None,
        write_statistics=False,
    )
    return sink.getvalue()


def _is_delta(column: pa.ChunkedArray) -> bool:
    """Whether differences of neighbours are smaller than what compression makes of the values.

    The records of a reading share their times: rows that are sorted by series repeat the same
    sequence of times for each variable of a device, which compression finds in the plain values,
    and not in packed differences. Regular times are small as differences alone.
    """
    if not (pa.types.is_integer(column.type) or pa.types.is_timestamp(column.type)):
        return False
    if column.null_count or not len(column):
        return True
    values = column.cast(pa.int64()).combine_chunks().to_numpy()
    steps = np.diff(values[:SAMPLE_ROWS])
    if len(np.unique(steps)) <= len(steps) * REGULAR:
        return True
    return _distinct(values) > len(values) / 2


def _distinct(values: npt.NDArray[np.int64]) -> float:
    """About how many values differ (linear counting; Whang, Vander-Zanden and Taylor, 1990)."""
    seen = np.zeros(1 << HASH_BITS, bool)
    seen[(values.view(np.uint64) * GOLDEN) >> np.uint64(64 - HASH_BITS)] = True
    free = max(1, len(seen) - int(np.count_nonzero(seen)))
    return len(seen) * math.log(len(seen) / free)


def read_segment(storage: Storage, segment: Segment) -> pa.Table:
    """The rows of a stored segment, after its bytes were found to be the recorded ones.

    Raises:
        MissingObjectError: storage lacks the object.
        DamagedSnapshotError: the object is not what the snapshot recorded.
    """
    table = pq.read_table(io.BytesIO(read_bytes(storage, segment)), use_threads=False)
    if table.num_rows != segment.rows:
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}) holds {table.num_rows} rows where "
            f"{segment.rows} were recorded."
        )
    return table


def read_bytes(storage: Storage, segment: Segment) -> bytes:
    """The bytes of a stored segment, as they were recorded; raises as `read_segment` does."""
    return storage.read(segment.key, partial(check_bytes, segment))


def check_bytes(segment: Segment, content: bytes) -> bytes:
    """The bytes; DamagedSnapshotError where they are not those that the segment was named by."""
    if hashlib.sha256(content).hexdigest() != segment.sha256:
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}, {segment.key}) was changed in storage after "
            "it was written."
        )
    return content


def total_digest(segments: list[Segment]) -> Digest:
    """The digest of all rows of some segments."""
    return sum((Digest.parse(segment.digest) for segment in segments), Digest())
