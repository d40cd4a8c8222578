"""Store past records as if each had arrived when it was measured."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from backups_portal.projectdb.catalogue import variable_columns
from backups_portal.projectdb.ids import new_group
from backups_portal.projectdb.provisioning import INTERNAL_TABLES
from backups_portal.projectdb.record_writer import ensure_series
from backups_portal.projectdb.records import Record, parse_record

ON_ITS_WAY = timedelta(seconds=1)
COLUMNS = variable_columns(without=("id",))
STORE = f"""
    INSERT INTO variable ({COLUMNS})
    SELECT series, time, time + %s, number, text, group_key, point(x, y), metadata
    FROM unnest(%s::integer[], %s::timestamptz[], %s::float8[], %s::text[], %s::text[],
                %s::float8[], %s::float8[], %s::json[])
         AS past (series, time, number, text, group_key, x, y, metadata)"""  # noqa: S608


def store_past(connection: Connection, device_id: str, items: Sequence[Mapping[str, Any]]) -> int:
    """Store records with their times, and date the device's last input.

    Args:
        items: Records as a client sends them, each with its time.

    Returns:
        The number of records.
    """
    group = new_group()
    records = [parse_record(item, now=item["time"], group=group) for item in items]
    series = ensure_series(connection, device_id, {record[:3] for record in records})
    columns = zip(*(_columns(series[record[:3]], record) for record in records), strict=True)
    connection.execute(STORE, [ON_ITS_WAY, *map(list, columns)])
    _note_input(connection, device_id, max(record.time for record in records) + ON_ITS_WAY)
    return len(records)


def _columns(series: int, record: Record) -> tuple[Any, ...]:
    x, y = record.location or (None, None)
    return (series, record.time, record.number, record.text, record.group, x, y, record.metadata)


def _note_input(connection: Connection, device_id: str, at: datetime) -> None:
    values = {"at": at, "id": device_id}
    connection.execute(
        "UPDATE device SET last_input = greatest(last_input, %(at)s) WHERE id = %(id)s", values
    )
    connection.execute(
        """UPDATE token SET last_used_at = greatest(last_used_at, %(at)s)
           WHERE device_id = %(id)s""",
        values,
    )


def date_back(connection: Connection, moment: datetime) -> None:
    """Date everything in a project except its records back to one moment."""
    rows = connection.execute(
        """SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
           JOIN information_schema.tables USING (table_schema, table_name)
           WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
                 AND column_name IN ('created_at', 'updated_at') AND table_name <> ALL(%s)
           GROUP BY table_name""",
        [["variable", *INTERNAL_TABLES]],
    ).fetchall()
    for table, columns in rows:
        values = ", ".join(f"{column} = %(moment)s" for column in columns)
        connection.execute(f"UPDATE {table} SET {values}".encode(), {"moment": moment})  # noqa: S608
