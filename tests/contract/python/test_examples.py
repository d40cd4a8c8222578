"""The documentation's script does what it says, exactly as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg

from backups_portal.projectdb.devices import create_device
from backups_portal.projectdb.variables import send
from backups_portal.projects.connections import keyring
from tests.contract.conftest import Endpoint

DOCUMENT = Path(__file__).parents[3] / ".github" / "moving-data.md"
DEVICE = "a" * 24


def test_moving_a_device_with_the_python_sdk(endpoints: tuple[Endpoint, Endpoint]) -> None:
    old, new = endpoints
    for endpoint, count in ((old, 25), (new, 0)):
        with psycopg.connect(endpoint.dsn) as connection:
            create_device(connection, keys=keyring(), id=DEVICE, name="Truck")
            records = [{"variable": "t", "value": number} for number in range(count)]
            send(connection, device_id=DEVICE, records=records)
    (script,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "API_URL": old.url,
            "SOURCE_TOKEN": old.token,
            "TARGET_TOKEN": new.token,
            "DEVICE": DEVICE,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "25 records moved\n"
    with psycopg.connect(new.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM variable").fetchone()
    assert row == (25,)
