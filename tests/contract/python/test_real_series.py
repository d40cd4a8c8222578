"""The Numenta Anomaly Benchmark's real series, loaded through the SDK page by page."""

import csv
from itertools import islice
from pathlib import Path

import psycopg
import pytest
from tagoio_sdk import Device

from tests.contract.conftest import Endpoint
from tests.contract.python.test_migration import region, resources

ARCHIVE = Path(__file__).resolve().parents[4] / "shared" / "data" / "nab"
PAGE = 5000
LOADED = """SELECT device.name, to_char(time, 'YYYY-MM-DD HH24:MI:SS'), value::float8
            FROM variable_record AS record JOIN device ON device.id = record.device
            ORDER BY 1, record.id"""


@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the real series are not on this machine")
def test_real_series_arrive_as_they_are(endpoints: tuple[Endpoint, Endpoint]) -> None:
    project, (endpoint, _) = resources(endpoints[0]), endpoints
    expected = []
    files = sorted(ARCHIVE.rglob("*.csv"), key=lambda file: file.stem)
    for file in files:
        made = project.devices.create({"name": file.stem, "type": "mutable"})
        device = Device({"token": made["token"], "region": region(endpoint.url)})
        with file.open(newline="") as stream:
            rows = [(row["timestamp"][:19], float(row["value"])) for row in csv.DictReader(stream)]
        pages = iter(rows)
        while page := list(islice(pages, PAGE)):
            records = [{"variable": "value", "value": value, "time": time} for time, value in page]
            assert device.sendData(records) == f"{len(records)} Data Added"
        expected += [(file.stem, time, value) for time, value in rows]

    with psycopg.connect(endpoint.dsn) as connection:
        loaded = connection.execute("SET timezone = 'UTC'") and connection.execute(LOADED)
        assert loaded.fetchall() == expected
    assert project.devices.amount(made["device_id"]) == len(rows)
