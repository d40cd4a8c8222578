"""Read the resources of a small database before anything else."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
from psycopg import Connection

from backups_portal.projectdb.catalogue import RESOURCE_TABLES, Table
from snapshots.engine.day_device_counts import SeriesDevices
from snapshots.engine.digest import table_digest
from snapshots.engine.instant_reader import TOGETHER_BYTES, Reader
from snapshots.engine.inventory import NOTED
from snapshots.engine.manifest import Manifest
from snapshots.engine.source_database import Instant


@dataclass(frozen=True)
class Resources:
    """All rows of all resource tables, in the order in which they are read."""

    parts: tuple[tuple[Table, pa.Table], ...]

    def series_devices(self) -> SeriesDevices:
        """Map each series to its device."""
        found = [part.select(["id", "device_id"]) for part in self._of("series")]
        return SeriesDevices(
            (row["id"], row["device_id"]) for part in found for row in part.to_pylist()
        )

    def same_as(self, base: Manifest, columns: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Name the tables about devices whose rows equal those of a snapshot.

        Args:
            columns: By table, the columns that a restore must reproduce.
        """
        return frozenset(
            name
            for name in NOTED
            if base.columns.get(name) == columns[name]
            and [_digest(part, columns[name]) for part in self._of(name)]
            == [(segment.rows, segment.digest) for segment in base.of(name)]
        )

    def _of(self, name: str) -> list[pa.Table]:
        return [part for table, part in self.parts if table.name == name]


def _digest(part: pa.Table, columns: tuple[str, ...]) -> tuple[int, str]:
    return part.num_rows, str(table_digest(part, columns))


def read_few(dsn: str, connection: Connection, instant: Instant) -> Resources | None:
    """Read all resources in one round trip at the instant; None if too large."""
    tables = [table for table in RESOURCE_TABLES if table.name in instant.types]
    found = instant.find(table.name for table in tables)
    if sum(relation.row_bytes for relation in found) > TOGETHER_BYTES:
        return None
    with ExitStack() as resources:
        reader = Reader(dsn, instant, resources, connection=connection)
        return Resources(tuple(reader.whole(tables)))
