"""The documentation's scripts, and two projects to run them on."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg

from backups_portal.projectdb.devices import create_device
from backups_portal.projectdb.record_writer import send
from backups_portal.projects.database_dsn import keyring
from tests.contract.conftest import Endpoint

DOCUMENT = Path(__file__).parents[2] / ".github" / "docs" / "moving-data.md"
DEVICE = "a" * 24
# More than one page of either script.
RECORDS = 12_345
SECONDS = 120
ROWS = """SELECT variable, type, unit, time, number_value, group_key
    FROM variable JOIN series ON series.id = series_id ORDER BY time, number_value"""


def printed(language: str) -> str:
    """Return the document's script in this language."""
    (script,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(script)


def assert_moves(
    command: Sequence[str], endpoints: tuple[Endpoint, Endpoint], folder: Path
) -> None:
    """Run a script as documented, and find the records in the target."""
    old, new = endpoints
    fill(old, RECORDS)
    fill(new, 0)
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "API_URL": old.url,
            "SOURCE_TOKEN": old.token,
            "TARGET_TOKEN": new.token,
            "DEVICE": DEVICE,
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{RECORDS} records moved\n"), done.stderr
    with psycopg.connect(old.dsn) as one, psycopg.connect(new.dsn) as other:
        rows = one.execute(ROWS).fetchall()
        assert len(rows) == RECORDS
        assert other.execute(ROWS).fetchall() == rows


def fill(endpoint: Endpoint, count: int) -> None:
    """Give the device this many records a second apart."""
    with psycopg.connect(endpoint.dsn) as connection:
        create_device(connection, keys=keyring(), id=DEVICE, name="Truck")
        records = [
            {
                "variable": "t",
                "value": number,
                "unit": "C",
                "time": f"2026-03-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            }
            for number in range(count)
        ]
        for start in range(0, count, 5_000):
            send(connection, device_id=DEVICE, records=records[start : start + 5_000])
