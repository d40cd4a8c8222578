"""Load real series from CSV files (timestamp, value), one device per file."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from psycopg import Connection

from backups_portal.demo.past_records import date_back
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb import devices
from backups_portal.projectdb.record_writer import MAX_RECORDS, send


def fill_archive(connection: Connection, *, keys: Keyring, folder: Path) -> int:
    """Load every CSV file below a folder; return the number of records.

    Raises:
        FileNotFoundError: the folder contains no CSV file.
        ValueError: a file is not such a series; the message names it.
    """
    files = sorted(folder.rglob("*.csv"))
    if not files:
        raise FileNotFoundError(f"There is no CSV file below {folder}.")
    with connection.transaction():
        count = sum(_load(connection, keys, file) for file in files)
        oldest = connection.execute("SELECT min(time) FROM variable").fetchone()
        if oldest and oldest[0]:
            date_back(connection, oldest[0])
    return count


def _load(connection: Connection, keys: Keyring, file: Path) -> int:
    device_id, _ = devices.create_device(
        connection,
        keys=keys,
        name=file.stem,
        tags=[{"key": "folder", "value": file.parent.name}],
    )
    count = 0
    records = _records(file)
    while block := list(islice(records, MAX_RECORDS)):
        count += send(connection, device_id=device_id, records=block)
    return count


def _records(file: Path) -> Iterator[JsonObject]:
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                moment = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
                yield {"variable": "value", "value": float(row["value"]), "time": moment}
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{file.name} is not a series: {error}") from error
