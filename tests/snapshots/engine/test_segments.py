"""Segments choose the encoding that compresses their times best, and return what went in."""

import io
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from snapshots.engine.digest import Digest
from snapshots.engine.segments import encode

SERIES, READINGS = 1_000, 60
RANDOM = np.random.default_rng(7)


def jittered(count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.sort(RANDOM.integers(0, 86_400_000, count)) * 1_000


def table(times: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> pa.Table:
    return pa.table(
        {
            "series_id": pa.array(np.repeat(np.arange(len(times) // READINGS), READINGS)),
            "time": pa.array(times).cast(pa.timestamp("us", "UTC")),
        }
    )


@pytest.mark.parametrize(
    ("times", "encoding"),
    [
        pytest.param(
            np.concatenate([np.tile(jittered(READINGS), 5) for _ in range(SERIES // 5)]),
            "PLAIN",
            id="five variables of a reading share its time",
        ),
        pytest.param(
            np.concatenate([jittered(READINGS) for _ in range(SERIES)]),
            "DELTA_BINARY_PACKED",
            id="every variable has times of its own",
        ),
        pytest.param(
            np.concatenate(
                [np.arange(READINGS) * 1_200_000_000 + jittered(1) for _ in range(SERIES)]
            ),
            "DELTA_BINARY_PACKED",
            id="every device has a clock of its own, which is regular",
        ),
    ],
)
def test_times_are_encoded_as_they_compress_best(
    times: "np.ndarray[tuple[int], np.dtype[np.int64]]", encoding: str
) -> None:
    rows = table(times)
    encoded = encode(rows, project_id=uuid.uuid4(), name="variable", digest=Digest())
    stored = pq.ParquetFile(io.BytesIO(encoded.content))
    assert encoding in stored.metadata.row_group(0).column(1).encodings
    assert stored.read().equals(rows)
    other = io.BytesIO()
    chosen = {"time": "DELTA_BINARY_PACKED" if encoding == "PLAIN" else "PLAIN"}
    pq.write_table(
        rows, other, compression="zstd", compression_level=1, use_dictionary=["series_id"],
        column_encoding=chosen, write_statistics=False,
    )  # fmt: skip
    assert len(encoded.content) < len(other.getvalue())


def test_the_same_rows_are_the_same_object() -> None:
    rows = table(jittered(6_000))
    project = uuid.uuid4()
    first, second = (
        encode(rows, project_id=project, name="variable", digest=Digest()) for _ in range(2)
    )
    assert first == second
